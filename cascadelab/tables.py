"""Frames as tables of a page: title, chosen columns, notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from cascadelab.display import Summary

__all__ = ["table"]


def table(
    frame: pl.DataFrame,
    title: str,
    *,
    columns: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    digits: int = 4,
) -> Summary:
    """Return a frame as a table that shows as text, Markdown and HTML.

    Parameters
    ----------
    frame : polars.DataFrame
    title : str
    columns : mapping of str to str, optional
        Columns to show, in order, each with its heading; all columns by default. Times are
        written in UTC to the second. An empty frame shows as one sentence, not as headings.
    notes : sequence of str
        Sentences below the table.
    digits : int
        Significant digits of floats.
    """
    shown = frame if columns is None else frame.select(columns.keys()).rename(dict(columns))
    times = [name for name, dtype in shown.schema.items() if isinstance(dtype, pl.Datetime)]
    if shown.is_empty():
        return Summary(title=title, notes=["Nothing is known here.", *notes])
    text = shown.with_columns(pl.col(times).dt.to_string("%Y-%m-%d %H:%M:%S"))
    return Summary(title=title, frame=text, notes=notes, digits=digits)
