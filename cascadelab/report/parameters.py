"""The parameters of a notebook: read from its ``parameters`` cell, checked before a kernel starts.

Papermill injects whatever it is given; a misspelt name or a text where a number belongs would run
for minutes and change nothing, or fail far from its cause.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascadelab.errors import ParameterError, ReportError, nearest

__all__ = ["Notebook", "Parameter", "check_parameters", "describe", "read_notebook", "source_of"]

Value = bool | int | float | str | list[Any]

_TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a finite number",
    "str": "a text",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One line of a parameters cell: ``name: type = default  # description``.

    Parameters
    ----------
    name : str
    type_name : str
        ``bool``, ``int``, ``float``, ``str`` or ``list[...]`` of one of them.
    default : bool, int, float, str or list
    description : str
        The comment: unit and meaning.
    """

    name: str
    type_name: str
    default: Value
    description: str

    def checked(self, value: object, where: str) -> Value:
        """Return `value` as this parameter's type; whole numbers become floats where one is due.

        Raises
        ------
        ParameterError
            If it is of another type, or not finite.
        """
        inner = re.fullmatch(r"list\[(\w+)\]", self.type_name)
        if inner is None:
            return self._scalar(value, self.type_name, where, "")
        if not isinstance(value, list):
            raise self._wrong(value, f"a list, each item {_WORDS[inner[1]]}", where, "")
        return [
            self._scalar(item, inner[1], where, f"[{position}]")
            for position, item in enumerate(value)
        ]

    def _scalar(self, value: object, type_name: str, where: str, place: str) -> Value:
        if type_name == "float" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not _TYPES[type_name]:
            raise self._wrong(value, _WORDS[type_name], where, place)
        if isinstance(value, float) and not math.isfinite(value):
            raise self._wrong(value, _WORDS[type_name], where, place)
        return value  # type: ignore[return-value]

    def _wrong(self, value: object, expected: str, where: str, place: str) -> ParameterError:
        unit = f" ({self.description})" if self.description else ""
        return ParameterError(
            f"{where}: parameter {self.name!r}{place} is {value!r}; expected {expected}{unit}. "
            f"Write for example {self.name}: {json.dumps(self.default, ensure_ascii=False)}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Notebook:
    """A notebook as the runner sees it before running.

    Parameters
    ----------
    path : Path
    title : str
        First heading.
    parameters : tuple of Parameter
    content : dict
        The notebook's JSON.
    """

    path: Path
    title: str
    parameters: tuple[Parameter, ...]
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """File name without the suffix."""
        return self.path.stem

    @property
    def sources(self) -> list[list[str]]:
        """Type, source and tags of every cell: what the notebook is, without ids and outputs."""
        return [
            [cell["cell_type"], source_of(cell), *cell.get("metadata", {}).get("tags", [])]
            for cell in self.content["cells"]
        ]


def read_notebook(path: Path) -> Notebook:
    """Read a notebook and its parameters cell.

    Parameters
    ----------
    path : Path
        A notebook of format 4.

    Returns
    -------
    Notebook

    Raises
    ------
    ReportError
        If the file is not there, is not a notebook, or its parameters cell holds anything but
        ``name: type = value`` lines.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = content["cells"]
        language = content["metadata"].get("kernelspec", {}).get("language", "python")
        is_good = content["nbformat"] == 4 and all(_is_cell(cell) for cell in cells)
    except FileNotFoundError:
        msg = f"{path}: there is no such notebook. Check the name in the specification."
        raise ReportError(msg) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        msg = f"{path}: not a notebook ({reason}). Open and save it in Jupyter."
        raise ReportError(msg) from error
    if not is_good:
        raise ReportError(f"{path}: notebook format 4 was expected. Open and save it in Jupyter.")
    if language != "python":
        raise ReportError(f"{path}: a notebook in {language}; only Python ones can be run here.")
    return Notebook(
        path=path,
        title=_title(cells) or path.stem,
        parameters=_read_cell(path, cells),
        content=content,
    )


def check_parameters(notebook: Notebook, given: dict[str, Any], where: str) -> dict[str, Value]:
    """Every parameter of the notebook with its value: the given one, checked, or the default.

    Parameters
    ----------
    notebook : Notebook
    given : dict
        Values by name.
    where : str
        Place in the specification, for the message.

    Returns
    -------
    dict
        In the order of the parameters cell.

    Raises
    ------
    ParameterError
        If a name is unknown (the nearest is suggested) or a value has the wrong type.
    """
    known = {parameter.name: parameter for parameter in notebook.parameters}
    for name in given:
        if name not in known:
            raise ParameterError(
                f"{where}: notebook {notebook.name!r} has no parameter {name!r}. "
                f"{nearest(str(name), known)}"
            )
    return {
        name: parameter.checked(given[name], where) if name in given else parameter.default
        for name, parameter in known.items()
    }


def describe(notebook: Notebook) -> str:
    """Name, question and parameters of a notebook as text; types, defaults and units in columns."""
    rows = [
        (item.name, item.type_name, json.dumps(item.default, ensure_ascii=False), item.description)
        for item in notebook.parameters
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = [f"{notebook.name}: {notebook.title}"]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
        lines.append("    " + "  ".join([*cells, row[3]]).rstrip())
    return "\n".join(lines)


def source_of(cell: dict[str, Any]) -> str:
    """Source of a cell as one text."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _is_cell(cell: dict[str, Any]) -> bool:
    return isinstance(cell["metadata"], dict) and isinstance(source_of(cell), str)


def _title(cells: list[dict[str, Any]]) -> str:
    for cell in cells:
        if cell["cell_type"] == "markdown":
            match = re.search(r"^#\s+(.+?)\s*$", source_of(cell), re.MULTILINE)
            if match:
                return match[1]
    return ""


def _read_cell(path: Path, cells: list[dict[str, Any]]) -> tuple[Parameter, ...]:
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if not tagged:
        return ()
    source = source_of(tagged[0])
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        msg = f"{path}, parameters cell, line {error.lineno}: {error.msg}. Correct the cell."
        raise ReportError(msg) from error
    comments = _comments(source)
    return tuple(_read_line(path, node, comments) for node in lines if not _is_text(node))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _read_line(path: Path, node: ast.stmt, comments: dict[int, str]) -> Parameter:
    where = f"{path}, parameters cell, line {node.lineno}"
    target: ast.expr | None = node.target if isinstance(node, ast.AnnAssign) else None
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    value = node.value if isinstance(node, ast.AnnAssign | ast.Assign) else None
    if not isinstance(target, ast.Name) or value is None:
        raise ReportError(f"{where}: expected one `name: type = value  # unit`. Move the rest out.")
    try:
        default = ast.literal_eval(value)
    except ValueError:
        msg = f"{where}: {target.id} is computed; expected a plain value. Compute it in set-up."
        raise ReportError(msg) from None
    annotated = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
    parameter = Parameter(
        name=target.id,
        type_name=_type_name(annotated, default, where),
        default=default,
        description=comments.get(node.end_lineno or node.lineno, ""),
    )
    checked = parameter.checked(default, where)
    return Parameter(
        name=parameter.name,
        type_name=parameter.type_name,
        default=checked,
        description=parameter.description,
    )


def _type_name(annotation: str, default: object, where: str) -> str:
    if annotation in _TYPES or re.fullmatch(r"list\[(bool|int|float|str)\]", annotation):
        return annotation
    if annotation in ("", "list"):
        items = default if isinstance(default, list) else [default]
        kinds = {type(item).__name__ for item in items}
        if len(kinds) == 1 and kinds <= _TYPES.keys():
            kind = kinds.pop()
            return f"list[{kind}]" if isinstance(default, list) else kind
    found = annotation or type(default).__name__
    raise ReportError(
        f"{where}: type {found} cannot be a parameter; expected bool, int, float, str or "
        f"list[...] of one of them. Write dates as ISO texts."
    )
