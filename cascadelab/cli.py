"""The ``cascadelab`` command: reads arguments, calls the library, prints; no logic of its own.

A command is one function that adds its arguments to a subparser and names the function that does
the work; put it into :data:`COMMANDS`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from cascadelab.errors import CascadelabError

__all__ = ["COMMANDS", "main"]

# argparse has no public name for what add_subparsers gives.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str or None
        Words after ``cascadelab``; those of the process if None.

    Returns
    -------
    int
        0 done; 1 a notebook failed; 2 bad input or an output that cannot be written;
        130 interrupted.
    """
    given = _parser().parse_args(arguments)
    try:
        status: int = given.work(given)
        sys.stdout.flush()
    except CascadelabError as error:
        if given.debug:
            raise
        return _say(str(error), _BAD_INPUT)
    except KeyboardInterrupt:
        return _say("Interrupted. Finished runs are kept; run again to go on.", _INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`cascadelab notebooks | head`); nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _say(message: str, status: int) -> int:
    print("cascadelab: " + " ".join(message.split()), file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cascadelab", description="Liquidation cascades: notebooks, reports, data."
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands, shared)
    return parser


def _add_report(commands: Subparsers, shared: argparse.ArgumentParser) -> None:
    words = "run notebooks and write pages, numbers and provenance"
    command = commands.add_parser("report", parents=[shared], help=words, description=words)
    command.add_argument(
        "spec", nargs="?", type=Path, metavar="SPEC.yml", help="which notebooks (default: shipped)"
    )
    command.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="notebooks at a time (default: 2)"
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("reports/out"),
        metavar="DIR",
        help="output folder (default: reports/out)",
    )
    command.set_defaults(work=_report)


def _report(given: argparse.Namespace) -> int:
    from cascadelab.files import shipped
    from cascadelab.report.runner import run_report

    # A shell that starts us in the background makes us deaf to Ctrl-C; listen again.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    spec = given.spec or shipped("reports", "default.yml")
    outcome = run_report(spec, given.out, given.jobs)
    for line in outcome.failures:
        _say(line, _FAILED)
    n_done = outcome.n_run - len(outcome.failures)
    print(f"{n_done} run, {outcome.n_unchanged} unchanged, {len(outcome.failures)} failed")
    print(f"report: {outcome.index}")
    return _FAILED if outcome.failures else 0


def _add_notebooks(commands: Subparsers, shared: argparse.ArgumentParser) -> None:
    words = "list notebooks and their parameters"
    command = commands.add_parser("notebooks", parents=[shared], help=words, description=words)
    command.add_argument(
        "names", nargs="*", metavar="NOTEBOOK", help="names or files (default: all that ship)"
    )
    command.set_defaults(work=_notebooks)


def _notebooks(given: argparse.Namespace) -> int:
    from cascadelab.report.parameters import describe, read_notebook
    from cascadelab.report.spec import find_notebook, shipped_notebooks

    named = [find_notebook(name, Path(), "notebooks") for name in given.names]
    for path in named or shipped_notebooks():
        print(describe(read_notebook(path)))
    return 0


def _add_block(commands: Subparsers, shared: argparse.ArgumentParser) -> None:
    words = "write the print block of executed notebooks as JSON beside them"
    command = commands.add_parser("block", parents=[shared], help=words, description=words)
    command.add_argument(
        "path", nargs="+", type=Path, metavar="NOTEBOOK", help="executed notebooks"
    )
    command.set_defaults(work=_block)


def _block(given: argparse.Namespace) -> int:
    from cascadelab.report.extract import write_block

    for path in given.path:
        print(write_block(path))
    return 0


def _add_data(commands: Subparsers, shared: argparse.ArgumentParser) -> None:
    words = "list, fetch, verify and find files of public archives"
    command = commands.add_parser("data", parents=[shared], help=words, description=words)
    command.add_argument("action", choices=("list", "fetch", "verify", "path"))
    command.add_argument(
        "words", nargs="*", metavar="WORD", help="addresses, or an archive and name=value fields"
    )
    command.add_argument("--from", dest="first", default="", metavar="DAY", help="first day")
    command.add_argument("--until", dest="last", default="", metavar="DAY", help="last day")
    command.add_argument("--jobs", type=int, default=2, metavar="N", help="files at a time (1-4)")
    command.add_argument("--cache", type=Path, metavar="DIR", help="folder of the cache")
    command.set_defaults(work=_data)


def _data(given: argparse.Namespace) -> int:
    from cascadelab.history import data_command as data
    from cascadelab.history.fetch import Policy, default_folder

    folder = given.cache or default_folder()
    if given.action == "list":
        lines, n_bad = data.list_lines(*given.words[:1]), 0
    elif given.action == "verify":
        lines, n_bad = data.verify_lines(folder)
    else:
        remotes = data.remotes_of(given.words, given.first, given.last)
        if given.action == "fetch":
            lines, n_bad = data.fetch_lines(remotes, folder, Policy(n_jobs=given.jobs))
        else:
            lines, n_bad = data.path_lines(remotes, folder)
    print("\n".join(lines))
    if n_bad:
        words = {"path": "not in the cache; fetch first", "verify": "not good; fetch again"}
        return _say(f"{n_bad} files {words.get(given.action, 'failed')}", _FAILED)
    return 0


def _add_version(commands: Subparsers, shared: argparse.ArgumentParser) -> None:
    words = "print the version"
    command = commands.add_parser("version", parents=[shared], help=words, description=words)
    command.set_defaults(work=_version)


def _version(_: argparse.Namespace) -> int:
    from cascadelab import __version__

    print(__version__)
    return 0


#: One function per command, in the order of ``cascadelab --help``.
COMMANDS: tuple[Callable[[Subparsers, argparse.ArgumentParser], None], ...] = (
    _add_report,
    _add_notebooks,
    _add_block,
    _add_data,
    _add_version,
)

if __name__ == "__main__":
    sys.exit(main())
