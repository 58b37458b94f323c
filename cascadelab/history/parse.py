"""Lines of a delimited file into typed columns; every refusal names the line and the rule.

The quick way parses a block at once. Whatever it does not accept goes the careful way, field by
field, which either accepts it (blank lines, padded fields) and counts it, or says what is wrong.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.source import Block
from cascadelab.history.times import EPOCH_UNITS, epoch_column, from_any, from_seconds, from_text

__all__ = [
    "NULL_WORDS",
    "Field",
    "Parsed",
    "is_value_of",
    "parse_block",
    "parse_texts",
    "values_of",
]

FieldType = Literal["number", "integer", "text", "boolean", "epoch", "seconds", "time", "moment"]
_RAW: dict[str, type[pl.DataType]] = {
    "number": pl.Float64,
    "integer": pl.Int64,
    "text": pl.String,
    "boolean": pl.Boolean,
    "epoch": pl.Int64,
    "seconds": pl.Float64,
    "time": pl.String,
    "moment": pl.String,
}
_CONVERT: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "seconds": from_seconds,
    "time": from_text,
    "moment": from_any,
}
#: What programs write where there is no value.
NULL_WORDS = ("None", "null", "NULL", "nan", "NaN", "NA")
_WORDS = {
    "number": "a finite number",
    "integer": "a whole number of at most 64 bits",
    "text": "some text",
    "boolean": "true or false",
    "epoch": "a time since 1970 in s, ms, us or ns, between 1973 and 2100",
    "seconds": "seconds since 1970 between 1973 and 2100",
    "time": "a UTC time such as 2025-10-10 20:50:34",
    "moment": "a UTC time, as text or as a number since 1970, or a date whose order is clear",
}
#: A space beside a separator: such a block goes the careful way.
_PADDING = (b", ", b" ,", b"\n ", b" \n", b" \r", b"\t")
_CURE = "Correct or delete the line, or download the file again."
#: Stands for a comma inside quotation marks while a line is cut at its commas.
_INNER_COMMA = "\x1f"
#: Whole numbers up to here are exact as floats: 123.0 is read as 123.
_EXACT = 2**53


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a line, as the source writes it.

    Parameters
    ----------
    name : str
        Name in the header.
    type : {"number", "integer", "text", "boolean", "epoch", "seconds", "time", "moment"}
        ``"epoch"``: time since 1970, unit by magnitude; ``"seconds"``: seconds with a fraction;
        ``"time"``: text; ``"moment"``: any of these.
    rule : {"", "positive", "not negative"}
        What a number must be, besides finite.
    is_nullable : bool
        Whether an empty field, or a word for none (``None``, ``nan``), is allowed.
    values : tuple of str
        The words a text may be; empty for any.
    is_optional : bool
        Whether the column may be missing (newest or oldest files).
    is_ragged : bool
        Whether single lines may lack the field; only the last fields of a line may.
    is_derived : bool
        Computed by a recorder from other fields: not looked at to tell exact duplicates.
    aliases : tuple of str
        Other names of the column in a header, in lower case.
    cure : str
        What to do about a bad value; empty for the usual.
    """

    name: str
    type: FieldType = "number"
    rule: Literal["", "positive", "not negative"] = ""
    is_nullable: bool = False
    values: tuple[str, ...] = ()
    is_optional: bool = False
    is_ragged: bool = False
    is_derived: bool = False
    aliases: tuple[str, ...] = ()
    cure: str = ""

    @property
    def expected(self) -> str:
        """What a good value is, in words."""
        if self.values:
            return "one of " + ", ".join(self.values)
        if self.rule == "positive":
            return "a finite number above zero"
        if self.rule == "not negative":
            return "a finite number of at least zero"
        return _WORDS[self.type]

    def is_good(self) -> pl.Expr:
        """Return True for a good value; an empty one is good where the field may be empty."""
        column = pl.col(self.name)
        good = column.is_not_null()
        if self.type == "number":
            good = good & column.is_finite()
        if self.rule == "positive":
            good = good & (column > 0)
        elif self.rule == "not negative":
            good = good & (column >= 0)
        if self.values:
            good = good & column.is_in(list(self.values))
        return (good | column.is_null()) if self.is_nullable else good


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """Typed columns of one block.

    Parameters
    ----------
    frame : polars.DataFrame
        One column per known field; times as UTC microseconds.
    time_units : tuple of (str, int)
        Unit found and number of rows, for the first epoch field.
    n_blank_lines, n_padded_lines : int
        Lines without a field, and lines with spaces around a field.
    n_null_words : int
        Fields that hold a word for "no value", such as ``None``.
    n_records : int or None
        Records of the file behind the rows, where a record is not one row.
    """

    frame: pl.DataFrame
    time_units: tuple[tuple[str, int], ...] = ()
    n_blank_lines: int = 0
    n_padded_lines: int = 0
    n_null_words: int = 0
    n_records: int | None = None

    @property
    def n_read(self) -> int:
        """Records of the file behind the rows."""
        return self.frame.height if self.n_records is None else self.n_records


def is_value_of(field: Field, text: str) -> bool:
    """Whether one text could be a value of a field; used to recognise files without a header."""
    frame = pl.DataFrame({field.name: [text.strip()]})
    converted = _times(frame.select(_cast(field)), [field])
    return bool(converted.select(field.is_good()).item())


def parse_block(block: Block, columns: Sequence[Field | None], path: Path) -> Parsed:
    """Parse one block of lines.

    Parameters
    ----------
    block : Block
    columns : sequence of Field or None
        The fields in the order of the file; None for one that is not used.
    path : Path
        For messages.

    Returns
    -------
    Parsed

    Raises
    ------
    DataError
        Names the first bad line, the field, the value and the rule.
    """
    fields = [field for field in columns if field is not None]
    quick = None if b'"' in block.data else _quickly(block, columns, fields)
    return quick if quick is not None else _carefully(block, columns, path)


def _quickly(
    block: Block, columns: Sequence[Field | None], fields: Sequence[Field]
) -> Parsed | None:
    schema = {
        f"unused {index}" if field is None else field.name: (
            pl.String() if field is None else _RAW[field.type]()
        )
        for index, field in enumerate(columns)
    }
    try:
        raw = pl.read_csv(
            block.data,
            has_header=False,
            schema=schema,
            columns=[index for index, field in enumerate(columns) if field is not None],
            quote_char=None,
        )
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return None
    if raw.height != block.n_lines or _has_padding(block.data) or _has_short_line(block, columns):
        return None
    raw = raw.select([field.name for field in fields])
    frame = _times(raw, fields)
    good = frame.select(field.is_good().all() for field in fields).row(0)
    return Parsed(frame=frame, time_units=_units(raw, fields)) if all(good) else None


def _has_short_line(block: Block, columns: Sequence[Field | None]) -> bool:
    """Whether a line lacks fields where the parser would take them for empty ones.

    It would where the last field may be empty or is not looked at: a value cut in the middle
    would then pass for a whole one.
    """
    last = columns[-1]
    if (last is not None and not last.is_nullable) or any(
        item and item.is_ragged for item in columns
    ):
        return False
    commas = np.count_nonzero(np.frombuffer(block.data, dtype=np.uint8) == ord(","))
    return int(commas) != block.n_lines * (len(columns) - 1)


def _has_padding(data: bytes) -> bool:
    """Whether a space stands beside a separator; one byte is looked for first, as it is quick."""
    if b" " not in data and b"\t" not in data:
        return False
    return any(pair in data for pair in _PADDING)


def _carefully(block: Block, columns: Sequence[Field | None], path: Path) -> Parsed:
    lines = _lines(block, path)
    n_all = lines.height
    lines = lines.filter(pl.col("text").str.strip_chars() != "")
    if lines.is_empty():
        return Parsed(frame=_times(_empty(columns), [f for f in columns if f]), n_blank_lines=n_all)
    n_fewest = sum(1 for field in columns if field is None or not field.is_ragged)
    _require_fields(lines, n_fewest, len(columns), path)
    texts = _split(lines, columns)
    parsed = parse_texts(texts, lines["line"], [field for field in columns if field], path)
    return replace(parsed, n_blank_lines=n_all - lines.height)


def parse_texts(
    texts: pl.DataFrame, lines: pl.Series, fields: Sequence[Field], path: Path, unit: str = "line"
) -> Parsed:
    """Parse columns of texts, field by field.

    Parameters
    ----------
    texts : polars.DataFrame
        One text column per field, by name.
    lines : polars.Series of int
        Line or record of each row, for messages.
    fields : sequence of Field
    path : Path
        For messages.
    unit : {"line", "record"}
        What `lines` counts.

    Returns
    -------
    Parsed

    Raises
    ------
    DataError
        Names the first bad line, the field, the value and the rule.
    """
    is_padded = pl.any_horizontal(pl.all().str.contains(r"^\s|\s$"))
    n_padded = int(texts.select(is_padded.sum()).item())
    clean = texts.with_columns(pl.all().str.strip_chars())
    is_word = [pl.col(field.name).is_in(NULL_WORDS) for field in fields if field.is_nullable]
    n_words = sum(clean.select(word.sum() for word in is_word).row(0)) if is_word else 0
    if n_words:
        clean = clean.with_columns(
            pl.when(~pl.col(field.name).is_in(NULL_WORDS))
            .then(field.name)
            .otherwise(pl.lit(""))
            .alias(field.name)
            for field in fields
            if field.is_nullable
        )
    raw = clean.select(_cast(field) for field in fields)
    frame = _times(raw, fields)
    _require_good(frame, clean, lines, fields, path, unit)
    return Parsed(
        frame=frame, time_units=_units(raw, fields), n_padded_lines=n_padded, n_null_words=n_words
    )


def _require_good(
    frame: pl.DataFrame,
    texts: pl.DataFrame,
    lines: pl.Series,
    fields: Sequence[Field],
    path: Path,
    unit: str,
) -> None:
    """Raise for the first bad value of the first bad row."""
    empty = texts.select(pl.all() == "")
    bad = frame.select(
        (~field.is_good() | _lost(field, empty)).alias(field.name) for field in fields
    )
    rows = {field: bad[field.name].arg_max() or 0 for field in fields if bad[field.name].any()}
    if rows:
        field = min(rows, key=lambda item: rows[item])
        row = rows[field]
        raise _bad_value(path, field, texts[field.name][row], int(lines[row]), unit)


def _lost(field: Field, empty: pl.DataFrame) -> pl.Expr:
    """Null although the field holds text: a nullable field must not hide what it cannot read."""
    return pl.col(field.name).is_null() & ~pl.lit(empty[field.name])


def _lines(block: Block, path: Path) -> pl.DataFrame:
    try:
        text = block.data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = block.first_line + block.data.count(b"\n", 0, error.start)
        problem = f"Byte {block.data[error.start]:#04x} is not UTF-8 text."
        raise DataError.in_file(path, problem, _CURE, line) from error
    parts = [part.removesuffix("\r") for part in text.removesuffix("\n").split("\n")]
    if '"' in text:
        parts = [_unquoted(part, path, line) for line, part in enumerate(parts, block.first_line)]
    return pl.DataFrame({"text": parts}, schema={"text": pl.String}).with_columns(
        line=pl.int_range(pl.len()) + block.first_line
    )


def values_of(text: str) -> list[str]:
    """Return the fields of a line, quotation marks taken off; a broken line is cut at commas."""
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True, skipinitialspace=True), [""])
    except csv.Error:
        return text.split(",")


def _unquoted(text: str, path: Path, line: int) -> str:
    """Take off quotation marks; commas inside them become a mark that is put back later."""
    if '"' not in text:
        return text
    try:
        values = next(csv.reader([text], strict=True, skipinitialspace=True), [""])
    except csv.Error as error:
        problem = f"The quotation marks of the line do not pair ({error})."
        raise DataError.in_file(path, problem, _CURE, line) from error
    return ",".join(value.replace(",", _INNER_COMMA) for value in values)


def _require_fields(lines: pl.DataFrame, n_fewest: int, n_fields: int, path: Path) -> None:
    found = lines["text"].str.count_matches(",", literal=True) + 1
    wrong = (found < n_fewest) | (found > n_fields)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        problem = f"The line has {found[row]} fields; {n_fields} are expected."
        is_last = row == lines.height - 1 and found[row] < n_fields
        cure = "The file may be cut off: download it again." if is_last else _CURE
        raise DataError.in_file(path, problem, cure, int(lines["line"][row]))


def _split(lines: pl.DataFrame, columns: Sequence[Field | None]) -> pl.DataFrame:
    names = [f"unused {i}" if field is None else field.name for i, field in enumerate(columns)]
    if len(names) == 1:
        return lines.select(pl.col("text").alias(names[0]))
    split = lines["text"].str.split_exact(",", len(names) - 1)
    frame = split.struct.unnest().with_columns(
        pl.all().fill_null("").str.replace_all(_INNER_COMMA, ",", literal=True)
    )
    frame.columns = names
    return frame.select([field.name for field in columns if field is not None])


def _empty(columns: Sequence[Field | None]) -> pl.DataFrame:
    return pl.DataFrame(schema={field.name: _RAW[field.type] for field in columns if field})


def _cast(field: Field) -> pl.Expr:
    column = pl.col(field.name)
    if field.type == "boolean":
        lower = column.str.to_lowercase()
        words = {"true": True, "false": False}
        return lower.replace_strict(words, default=None, return_dtype=pl.Boolean)
    if field.type in ("text", "time", "moment"):
        return pl.when(column != "").then(column).alias(field.name)
    if field.type in ("integer", "epoch"):
        whole = column.cast(pl.Float64, strict=False)
        is_exact = (whole == whole.floor()) & (whole.abs() <= _EXACT)
        exact = pl.when(is_exact).then(whole).cast(pl.Int64, strict=False)
        return pl.coalesce(column.cast(pl.Int64, strict=False), exact).alias(field.name)
    return column.cast(_RAW[field.type], strict=False)


def _times(raw: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    epochs = [epoch_column(raw[field.name]) for field in fields if field.type == "epoch"]
    others = [
        _CONVERT[field.type](pl.col(field.name)).alias(field.name)
        for field in fields
        if field.type in _CONVERT
    ]
    raw = raw.with_columns(epochs) if epochs else raw
    return raw.with_columns(others) if others else raw


def _units(raw: pl.DataFrame, fields: Sequence[Field]) -> tuple[tuple[str, int], ...]:
    """Unit of the first time field that is a number, with the number of rows of each unit."""
    order = ("epoch", "seconds", "moment", "time")
    timed = sorted((f for f in fields if f.type in order), key=lambda f: order.index(f.type))
    if not timed:
        return ()
    value = raw[timed[0].name]
    if timed[0].type == "seconds":
        return (("s", raw.height),)
    if timed[0].type == "moment":
        value = value.cast(pl.Float64, strict=False)
    if timed[0].type == "time" or value.null_count() == raw.height:
        return (("text", raw.height),) if raw.height else ()
    least, most = value.min(), value.max()
    for unit, low, high in EPOCH_UNITS:
        if value.null_count() == 0 and low <= float(str(least)) and float(str(most)) < high:
            return ((unit, raw.height),)
    counts = [
        (unit, int(((value >= low) & (value < high)).sum())) for unit, low, high in EPOCH_UNITS
    ]
    return tuple((unit, n_rows) for unit, n_rows in counts if n_rows)


def _bad_value(path: Path, field: Field, text: str, line: int, unit: str) -> DataError:
    shown = repr(text[:60]) if text.strip() else "empty"
    where = "" if unit == "line" else f"In record {line}, field"
    problem = f"{where or 'Field'} {field.name!r} is {shown}; expected {field.expected}."
    return DataError.in_file(path, problem, field.cure or _CURE, line if unit == "line" else None)
