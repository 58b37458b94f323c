"""How results print: one small table of labels and values, as text, Markdown and HTML.

Nothing here reads the clock or the machine, so that equal results print equal bytes.
"""

from __future__ import annotations

import html
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

__all__ = [
    "FACT_MIME",
    "Displayed",
    "Summary",
    "cell_number",
    "frame_html",
    "frame_rows",
    "number",
    "publish_fact",
    "render_html",
    "render_markdown",
]

#: Output type under which facts travel inside an executed notebook.
FACT_MIME = "application/vnd.cascadelab+json"


def number(value: object, digits: int = 6) -> str:
    """Text of one value: significant digits for floats, words for the special ones.

    Examples
    --------
    >>> number(1234567.891), number(0.5), number(float("inf")), number(None), number(True)
    ('1,234,568', '0.5', 'infinite', '', 'yes')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "not available"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    if value != 0 and not 1e-4 <= abs(value) < 1e15:
        return f"{value:.{digits}g}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:,.{digits}g}"


def frame_rows(frame: pl.DataFrame, digits: int = 6) -> list[list[str]]:
    """Cells of a frame as text, row by row."""
    return [[number(cell, digits) for cell in row] for row in frame.iter_rows()]


def render_markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; pipes inside cells are escaped."""
    clean = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in clean])


def render_html(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str = "",
    classes: Sequence[str] = (),
) -> str:
    """Return an HTML table; every cell is escaped, `classes` names the class of each column."""
    kinds = [f' class="{name}"' if name else "" for name in classes] or [""] * len(header)

    def line(tag: str, cells: Sequence[str]) -> str:
        words = (
            f"<{tag}{kind}>{html.escape(cell)}</{tag}>"
            for kind, cell in zip(kinds, cells, strict=True)
        )
        return f"<tr>{''.join(words)}</tr>"

    body = "".join(line("td", row) for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    top = f"<thead>{line('th', header)}</thead>" if any(header) else ""
    return f'<table class="cascadelab">{title}{top}<tbody>{body}</tbody></table>'


def frame_html(frame: pl.DataFrame, caption: str = "", digits: int = 6) -> str:
    """Return a frame as an HTML table, columns of numbers set to the right.

    Examples
    --------
    >>> frame_html(pl.DataFrame({"venue": ["a"], "loss": [12.5]})).split("<tbody>")[1]
    '<tr><td>a</td><td class="number">12.5</td></tr></tbody></table>'
    """
    classes = ["number" if dtype.is_numeric() else "" for dtype in frame.dtypes]
    return render_html(frame.columns, frame_rows(frame, digits), caption, classes)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A titled list of labelled values, an optional table, and notes.

    Parameters
    ----------
    title : str
        What the result is.
    rows : sequence of (label, value)
        Values may be numbers or text; labels carry the unit.
    frame : polars.DataFrame or None
        A table below the rows.
    notes : sequence of str
        Assumptions, warnings, sources: one sentence each.
    digits : int
        Significant digits of floats.

    Examples
    --------
    >>> print(Summary(title="Loop", rows=[("gain", 0.5)], notes=["Synthetic."]))
    Loop
    ====
    gain  0.5
    Synthetic.
    """

    title: str
    rows: Sequence[tuple[str, object]] = ()
    frame: pl.DataFrame | None = None
    notes: Sequence[str] = field(default=())
    digits: int = 6

    def _cells(self) -> list[list[str]]:
        return [[label, number(value, self.digits)] for label, value in self.rows]

    def __str__(self) -> str:
        lines = [self.title, "=" * len(self.title), *_aligned(self._cells())]
        if self.frame is not None:
            table = [list(self.frame.columns), *frame_rows(self.frame, self.digits)]
            lines += ([""] if self.rows else []) + _aligned(table)
        return "\n".join(lines + list(self.notes))

    def to_markdown(self) -> str:
        """Markdown text of the same content."""
        parts = [f"**{self.title}**"]
        if self.rows:
            parts.append(render_markdown(["", ""], self._cells()))
        if self.frame is not None:
            parts.append(render_markdown(self.frame.columns, frame_rows(self.frame, self.digits)))
        return "\n\n".join([*parts, *self.notes])

    def to_html(self) -> str:
        """HTML of the same content, escaped."""
        parts = []
        if not self.rows and self.frame is None and self.notes:
            parts.append(f"<p><strong>{html.escape(self.title)}</strong></p>")
        if self.rows or (self.frame is None and not self.notes):
            parts.append(render_html(["", ""], self._cells(), self.title))
        if self.frame is not None:
            caption = "" if parts else self.title
            parts.append(frame_html(self.frame, caption, self.digits))
        parts += [f"<p>{html.escape(note)}</p>" for note in self.notes]
        return "".join(parts)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {
            "text/plain": str(self),
            "text/markdown": self.to_markdown(),
            "text/html": self.to_html(),
        }


def _aligned(table: list[list[str]]) -> list[str]:
    if not table:
        return []
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


class Displayed:
    """Base of result objects: prints its ``summary()`` as text, Markdown or HTML."""

    def summary(self) -> Summary:
        """Return the result as a printable table; each subclass defines it."""
        raise TypeError(f"{type(self).__name__} does not define summary().")

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return self.summary()._repr_mimebundle_()


def cell_number() -> int:
    """Number of the notebook cell that runs now; 0 outside a notebook."""
    shell = _shell()
    return 0 if shell is None else int(shell.execution_count)


def publish_fact(
    fact: Mapping[str, Any], shown: Mapping[str, str], private: Mapping[str, Any] | None = None
) -> None:
    """Show something in a notebook and let a JSON-plain fact travel in the same output.

    Parameters
    ----------
    fact : mapping
        With a ``kind``; what :mod:`cascadelab.report` reads back from the executed notebook.
    shown : mapping
        Output types and texts, ``text/plain`` among them; that one is printed outside a notebook.
    private : mapping or None
        For the next run only, never shown.
    """
    if _shell() is None:
        print(shown["text/plain"])
        return
    from IPython.display import publish_display_data

    publish_display_data(
        {**shown, FACT_MIME: dict(fact)},  # type: ignore[no-untyped-call]
        metadata={FACT_MIME: dict(private)} if private else {},
    )


def _shell() -> Any:
    """IPython's shell if this runs in one."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()
