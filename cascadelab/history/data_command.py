"""Lines that ``cascadelab data`` prints; the command itself only reads its arguments."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.history.archives import ARCHIVES, Remote, days, locate, remote_of, table
from cascadelab.history.fetch import Cache, Fetched, Policy, fetch, total_bytes

__all__ = ["fetch_lines", "list_lines", "path_lines", "remotes_of", "verify_lines"]


def list_lines(archive: str = "") -> list[str]:
    """One line per archive; more about one of them.

    Raises
    ------
    ParameterError
        If the archive is unknown.
    """
    frame = table()
    if archive:
        if archive not in ARCHIVES:
            raise ParameterError.unknown("archive", archive, ARCHIVES)
        row = frame.filter(pl.col("archive") == archive).to_dicts()[0]
        return [f"{key}: {value}" for key, value in row.items()]
    return [
        f"{row['archive']:<25}{row['access']:<16}{row['fields'] or '-'}"
        for row in frame.iter_rows(named=True)
    ]


def remotes_of(words: Sequence[str], first: str = "", last: str = "") -> list[Remote]:
    """Files that the words of a command name: addresses, or an archive and its fields.

    Parameters
    ----------
    words : sequence of str
        ``https://...`` addresses, or ``binance symbol=BTCUSDT type=aggTrades market=spot``.
    first, last : str
        Days as 2025-10-10; `last` by default is `first`.

    Raises
    ------
    ParameterError
        If a word is neither, or a day is no date.
    """
    if not words:
        raise ParameterError("No file is named. Give addresses, or an archive and its fields.")
    if all("://" in word for word in words):
        return [remote_of(word) for word in words]
    archive, *rest = words
    fields = {}
    for word in rest:
        name, sign, value = word.partition("=")
        if not sign:
            raise ParameterError(f"{word!r} is no field; expected name=value, as symbol=BTCUSDT.")
        fields[name] = value
    if not first:
        return [locate(archive, fields)]
    wanted = days(_day(first), _day(last or first))
    return list(dict.fromkeys(locate(archive, fields, day) for day in wanted))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ParameterError(f"{text!r} is no day; expected one such as 2025-10-10.") from error


def fetch_lines(
    remotes: Sequence[Remote], folder: Path, policy: Policy | None = None
) -> tuple[list[str], int]:
    """Fetch, with a bar on a terminal; one line per file, and the number that failed."""
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
        results = fetch(remotes, Cache(folder), policy, bar.update)
    failed = [item for item in results if item.status == "failed"]
    lines = [_line(item) for item in results]
    lines.append(
        f"{len(results) - len(failed)} of {len(results)} files, "
        f"{total_bytes(results):,} bytes downloaded"
    )
    return lines, len(failed)


def _line(item: Fetched) -> str:
    if item.status == "failed":
        return f"failed   {item.problem}"
    return f"{item.status:<9}{item.path} ({item.n_bytes:,} bytes, {item.check})"


def verify_lines(folder: Path) -> tuple[list[str], int]:
    """One line per file of the cache, and the number that is not good."""
    found = Cache(folder).verify()
    n_bad = sum(word != "good" for _, word in found)
    lines = [f"{word:<11}{name}" for name, word in found]
    return [*lines, f"{len(found) - n_bad} of {len(found)} files are good"], n_bad


def path_lines(remotes: Sequence[Remote], folder: Path) -> tuple[list[str], int]:
    """Paths of files in the cache, and the number that is not there."""
    cache = Cache(folder)
    kept = [remote for remote in remotes if cache.record_of(remote.name) is not None]
    return [str(cache.place(remote.name)) for remote in kept], len(remotes) - len(kept)
