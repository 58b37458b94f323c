"""JSON into typed rows: lines of records, and whole documents; every refusal names its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.checks import check_pauses
from cascadelab.history.formats import Context, State
from cascadelab.history.parse import Field, Parsed, parse_texts
from cascadelab.history.quality import Quality

__all__ = ["Row", "begin_as", "document", "finish_plainly", "finish_spans", "json_lines"]

#: Values of one row, in the order of the fields.
Row = Sequence[object]
#: One parsed JSON value into the rows it stands for.
Flatten = Callable[[Any], Iterable[Row]]
_WRONG_SHAPE = (KeyError, IndexError, TypeError, AttributeError, ValueError, ArithmeticError)
_CURE = "Correct or delete the record, or download the file again."


def json_lines(
    fields: Sequence[Field],
    flatten: Flatten,
    strip: Callable[[str], str] = str,
    record: Literal["line", "row"] = "line",
) -> Callable[[Context], Iterator[Parsed]]:
    """Return the reader of a format of one JSON value per line.

    Parameters
    ----------
    fields : sequence of Field
        What the values of a row are.
    flatten : callable
        From a parsed line to its rows.
    strip : callable
        From a line to its JSON text; empty for a line to pass over.
    record : {"line", "row"}
        What the quality report counts as a record of the file.
    """

    def read(context: Context) -> Iterator[Parsed]:
        path = context.source.path
        for block in context.source.blocks():
            rows: list[Row] = []
            lines: list[int] = []
            n_records = n_blank = 0
            for line, data in enumerate(block.data.split(b"\n"), start=block.first_line):
                if not data.strip():
                    n_blank += 1
                    continue
                n_records += 1
                new = _flat(data, flatten, strip, (path, line))
                rows.extend(new)
                lines.extend([line] * len(new))
            n_blank -= block.data.endswith(b"\n")
            parsed = parse_texts(
                _texts(rows, fields), pl.Series(lines, dtype=pl.Int64), fields, path
            )
            n_read = len(rows) if record == "row" else n_records
            yield _counted(parsed, n_read, max(n_blank, 0))

    return read


def document(
    fields: Sequence[Field], flatten: Flatten, count: Callable[[Any], int] | None = None
) -> Callable[[Context], Iterator[Parsed]]:
    """Return the reader of a format of one JSON value per file.

    Parameters
    ----------
    fields : sequence of Field
    flatten : callable
        From the parsed document to its rows.
    count : callable, optional
        Records of the document, where a record is not a row.
    """

    def read(context: Context) -> Iterator[Parsed]:
        path = context.source.path
        try:
            parsed = json.loads(context.source.whole())
        except (ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None)
            problem = f"The document is not JSON ({_words(error)})."
            raise DataError.in_file(path, problem, "Download the file again.", line) from error
        try:
            rows = list(flatten(parsed))
            n_records = count(parsed) if count else len(rows)
        except _WRONG_SHAPE as error:
            problem = f"The document has another shape than its format ({_shape(error)})."
            raise DataError.in_file(path, problem, "Download the file again.") from error
        numbers = pl.int_range(1, len(rows) + 1, eager=True)
        texts = parse_texts(_texts(rows, fields), numbers, fields, path, "record")
        yield _counted(texts, n_records, 0)

    return read


def _flat(
    data: bytes, flatten: Flatten, strip: Callable[[str], str], place: tuple[Path, int]
) -> list[Row]:
    try:
        text = strip(data.decode("utf-8"))
        return list(flatten(json.loads(text))) if text else []
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = f"The line is not JSON ({_words(error)})."
        raise DataError.in_file(place[0], problem, _CURE, place[1]) from error
    except _WRONG_SHAPE as error:
        problem = f"The record has another shape than its format ({_shape(error)})."
        raise DataError.in_file(place[0], problem, _CURE, place[1]) from error


def _texts(rows: list[Row], fields: Sequence[Field]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(fields)
    return pl.DataFrame(
        {
            field.name: pl.Series([_text(value) for value in column], dtype=pl.String)
            for field, column in zip(fields, columns, strict=True)
        }
    )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(value)


def _counted(parsed: Parsed, n_records: int, n_blank: int) -> Parsed:
    return Parsed(
        frame=parsed.frame,
        time_units=parsed.time_units,
        n_blank_lines=n_blank,
        n_padded_lines=0,
        n_null_words=parsed.n_null_words,
        n_records=n_records,
    )


def _shape(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"no field {error.args[0]!r}"
    return _words(error)


def _words(error: BaseException) -> str:
    return str(error).split("\n")[0].rstrip(".")[:120]


def begin_as(venue: str, symbol: str = "") -> Callable[[pl.DataFrame, Context], State]:
    """Return a ``begin`` for a source whose venue is known and whose rows carry the rest."""

    def begin(_: pl.DataFrame, context: Context) -> State:
        return State(venue=venue, symbol=context.symbol or symbol)

    return begin


def finish_spans(frame: pl.DataFrame, quality: Quality, _: Context) -> tuple[pl.DataFrame, Quality]:
    """Say whether the days are whole; nothing else is checked."""
    return frame, check_pauses(quality)


def finish_plainly(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    """Return rows and report as they are, for tables that cover no days."""
    return frame, quality
