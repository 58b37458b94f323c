"""What a batch is: a YAML file with a title and entries, read into a list of runs.

.. code-block:: yaml

    title: One evening on two venues
    timeout_s: 600            # longest time one cell may take; 600 if left out
    entries:
      - notebook: episode     # a notebook beside this file, or one that ships with cascadelab
        title: "10 October: {asset}"
        parameters: {asset: BTC}
        sweep:                # every combination of the listed values
          depth_factor: [0.5, 1.0, 2.0]
"""

from __future__ import annotations

import contextlib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cascadelab.errors import DataError, ParameterError, nearest
from cascadelab.files import shipped
from cascadelab.fingerprint import json_hash
from cascadelab.report.parameters import Notebook, Value, check_parameters, read_notebook

__all__ = ["Run", "Specification", "find_notebook", "read_specification", "shipped_notebooks"]

_KEYS = ("title", "timeout_s", "entries")
_ENTRY_KEYS = ("notebook", "title", "parameters", "sweep")
_DEFAULT_TIMEOUT_S = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One notebook with one set of parameters.

    Parameters
    ----------
    notebook : Notebook
    parameters : dict
        Every parameter of the notebook, defaults included.
    title : str
    """

    notebook: Notebook
    parameters: dict[str, Value]
    title: str

    @property
    def parameters_id(self) -> str:
        """Short hash of the canonical JSON of the parameters."""
        return json_hash(self.parameters)[:8]

    @property
    def id(self) -> str:
        """Name of the run's folder: notebook and parameters."""
        return f"{_slug(self.notebook.name)}-{self.parameters_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Specification:
    """A batch: title, runs, and the longest time one cell may take."""

    title: str
    runs: tuple[Run, ...]
    timeout_s: float


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2 core types: dates and clock times stay texts, ``1e-3`` is a number, no key twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                mark = node.value[position][0].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_decimal(self, node: yaml.ScalarNode) -> float:
        return float(node.value.replace(".inf", "inf").replace(".nan", "nan"))


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_decimal)


def read_specification(path: Path) -> Specification:
    """Read a batch and check every parameter of every entry.

    Parameters
    ----------
    path : Path
        YAML file.

    Returns
    -------
    Specification

    Raises
    ------
    DataError
        If the file is not there, not YAML, or lacks entries.
    ParameterError
        If a key, notebook or parameter is unknown, or a value has the wrong type.
    ReportError
        If a notebook cannot be read.
    """
    loaded = _load(path)
    if loaded is None:
        raise DataError.in_file(path, "The file is empty.", "List at least one notebook.")
    content = _mapping(loaded, str(path), _KEYS)
    entries = content.get("entries")
    if not isinstance(entries, list) or not entries:
        raise DataError.in_file(path, f"entries is {entries!r}.", "List at least one notebook.")
    runs: list[Run] = []
    for number, entry in enumerate(entries, start=1):
        where = f"{path}, entry {number}"
        for run in _runs_of(_mapping(entry, where, _ENTRY_KEYS), where, path.parent):
            _refuse_repeat(run, runs, where)
            runs.append(run)
    return Specification(
        title=_text(content.get("title", path.stem), f"{path}: title"),
        runs=tuple(runs),
        timeout_s=_timeout(content.get("timeout_s", _DEFAULT_TIMEOUT_S), path),
    )


def shipped_notebooks() -> list[Path]:
    """Notebooks that ship with cascadelab, by name."""
    return sorted(shipped("notebooks").glob("*.ipynb"))


def find_notebook(name: str, folder: Path, where: str) -> Path:
    """Path of a notebook named in a specification: beside it, or shipped.

    Raises
    ------
    ParameterError
        If there is none; the nearest shipped name is suggested.
    """
    for candidate in (folder / name, folder / f"{name}.ipynb"):
        if candidate.is_file():
            return candidate
    ours: dict[str, Path] = {}
    with contextlib.suppress(DataError):
        ours = {path.stem: path for path in shipped_notebooks()}
    stem = Path(name).name.removesuffix(".ipynb")
    if stem in ours and Path(name).parent == Path():
        return ours[stem]
    known = {path.stem for path in folder.glob("*.ipynb")} | ours.keys()
    raise ParameterError(f"{where}: there is no notebook {name!r}. {nearest(stem, known)}")


def _load(path: Path) -> object:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise DataError.in_file(path, "There is no such file.", "Check the path.") from None
    except IsADirectoryError:
        raise DataError.in_file(path, "This is a folder.", "Name the YAML file in it.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError.in_file(path, f"It cannot be read: {error}.", "Check the file.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        reason = getattr(error, "problem", None) or "it cannot be parsed"
        problem = f"Not a specification in YAML: {reason}."
        raise DataError.in_file(path, problem, "Correct the line.", line) from error


def _mapping(value: object, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = (
            f"{where}: found {value!r}; expected keys {', '.join(known)}. Write `key: value` lines."
        )
        raise ParameterError(msg)
    for key in value:
        if key not in known:
            raise ParameterError(f"{where}: unknown key {key!r}. {nearest(str(key), known)}")
    return value


def _runs_of(entry: dict[str, Any], where: str, folder: Path) -> list[Run]:
    name = entry.get("notebook")
    if not isinstance(name, str):
        msg = f"{where}: notebook is {name!r}; expected a name. Write `notebook: episode`."
        raise ParameterError(msg)
    notebook = read_notebook(find_notebook(name, folder, where))
    fixed, sweep = _values(entry, "parameters", where), _values(entry, "sweep", where)
    for key, values in sweep.items():
        if key in fixed:
            msg = f"{where}: {key!r} is in parameters and in sweep. Keep one of them."
            raise ParameterError(msg)
        if not isinstance(values, list) or not values:
            msg = (
                f"{where}: sweep of {key!r} is {values!r}; expected a list of values. Write [a, b]."
            )
            raise ParameterError(msg)
    title = _text(entry.get("title", notebook.title), f"{where}: title")
    runs = []
    for combination in itertools.product(*sweep.values()):
        swept = dict(zip(sweep, combination, strict=True))
        parameters = check_parameters(notebook, {**fixed, **swept}, where)
        words = _fill(title, parameters, list(sweep))
        runs.append(Run(notebook=notebook, parameters=parameters, title=words))
    return runs


def _values(entry: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    values = entry.get(key)
    if values is None:
        return {}
    if not isinstance(values, dict):
        msg = f"{where}: {key} is {values!r}; expected `name: value` lines. Write them below {key}."
        raise ParameterError(msg)
    return values


def _fill(title: str, parameters: dict[str, Value], swept: list[str]) -> str:
    """Put parameter values into ``{name}``; swept ones that the title leaves out go behind it."""
    rest = [name for name in swept if f"{{{name}}}" not in title]

    def value(match: re.Match[str]) -> str:
        return str(parameters[match[1]]) if match[1] in parameters else match[0]

    filled = re.sub(r"\{(\w+)\}", value, title)
    behind = ", ".join(f"{name} = {parameters[name]}" for name in rest)
    return f"{filled} ({behind})" if behind else filled


def _refuse_repeat(run: Run, earlier: list[Run], where: str) -> None:
    for other in earlier:
        if other.id == run.id:
            is_same = other.notebook.path.resolve() == run.notebook.path.resolve()
            what = "repeats an earlier run" if is_same else "has the name of another notebook"
            msg = (
                f"{where}: {run.notebook.name!r} {what} ({run.title}). Drop or rename one of them."
            )
            raise ParameterError(msg)


def _text(value: object, where: str) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise ParameterError(f"{where} is {value!r}; expected a text. Put it in quotes.")


def _timeout(value: object, path: Path) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 < value < float("inf"):  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    msg = f"{path}: timeout_s is {value!r}; expected seconds above zero. Write `timeout_s: 600`."
    raise ParameterError(msg)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "notebook"
