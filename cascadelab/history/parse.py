"""Lines of a delimited file into typed columns; every refusal names the line and the rule.

The quick way parses a block at once. Whatever it does not accept goes the careful way, field by
field, which either accepts it (blank lines, padded fields) and counts it, or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.source import Block

__all__ = ["Field", "Parsed", "is_value_of", "parse_block"]

FieldType = Literal["number", "integer", "text", "boolean", "epoch", "time"]
_RAW: dict[str, type[pl.DataType]] = {
    "number": pl.Float64,
    "integer": pl.Int64,
    "text": pl.String,
    "boolean": pl.Boolean,
    "epoch": pl.Int64,
    "time": pl.String,
}
_WORDS = {
    "number": "a finite number",
    "integer": "a whole number of at most 64 bits",
    "text": "some text",
    "boolean": "true or false",
    "epoch": "a time since 1970 in s, ms, us or ns, between 1973 and 2100",
    "time": "a UTC time such as 2025-10-10 20:50:34",
}
_TIME = pl.Datetime("us", "UTC")
_LATEST_US = 4_102_444_800_000_000  # 2100-01-01
#: Magnitudes of a time in each unit: from, below.
_EPOCH_UNITS = (
    ("s", 10**8, 10**11),
    ("ms", 10**11, 10**14),
    ("us", 10**14, 10**17),
    ("ns", 10**17, 9 * 10**18),
)
#: A space beside a separator: such a block goes the careful way.
_PADDING = (b", ", b" ,", b"\n ", b" \n", b" \r", b"\t")
_CURE = "Correct or delete the line, or download the file again."


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a line, as the source writes it.

    Parameters
    ----------
    name : str
        Name in the header.
    type : {"number", "integer", "text", "boolean", "epoch", "time"}
        ``"epoch"``: time since 1970, unit by magnitude; ``"time"``: text.
    rule : {"", "positive", "not negative"}
        What a number must be, besides finite.
    is_nullable : bool
        Whether an empty field is allowed.
    values : tuple of str
        The words a text may be; empty for any.
    is_optional : bool
        Whether the column may be missing (newest or oldest files).
    """

    name: str
    type: FieldType = "number"
    rule: Literal["", "positive", "not negative"] = ""
    is_nullable: bool = False
    values: tuple[str, ...] = ()
    is_optional: bool = False

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
    """

    frame: pl.DataFrame
    time_units: tuple[tuple[str, int], ...] = ()
    n_blank_lines: int = 0
    n_padded_lines: int = 0


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
    quick = _quickly(block, columns, fields)
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
        raw = pl.read_csv(block.data, has_header=False, schema=schema, quote_char=None)
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return None
    n_lines = block.data.count(b"\n") + (not block.data.endswith(b"\n"))
    if raw.height != n_lines or _has_padding(block.data):
        return None
    raw = raw.select([field.name for field in fields])
    frame = _times(raw, fields)
    good = frame.select(field.is_good().all() for field in fields).row(0)
    return Parsed(frame=frame, time_units=_units(raw, fields)) if all(good) else None


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
    _require_fields(lines, len(columns), path)
    texts = _split(lines, columns)
    fields = [field for field in columns if field is not None]
    is_padded = pl.any_horizontal(pl.all().str.contains(r"^\s|\s$"))
    n_padded = int(texts.select(is_padded.sum()).item())
    raw = texts.with_columns(pl.all().str.strip_chars()).select(_cast(field) for field in fields)
    frame = _times(raw, fields)
    empty = texts.select(pl.all().str.strip_chars() == "")
    bad = frame.select(
        (~field.is_good() | _lost(field, empty)).alias(field.name) for field in fields
    )
    worst = bad.select(pl.all().arg_max()).row(0)
    rows = {
        field: row for field, row in zip(fields, worst, strict=True) if bad[field.name][row or 0]
    }
    if rows:
        field = min(rows, key=lambda name: rows[name] or 0)
        row = int(rows[field] or 0)
        raise _bad_value(path, field, texts[field.name][row], int(lines["line"][row]))
    return Parsed(
        frame=frame,
        time_units=_units(raw, fields),
        n_blank_lines=n_all - lines.height,
        n_padded_lines=n_padded,
    )


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
    parts = text.removesuffix("\n").split("\n")
    return pl.DataFrame(
        {"text": [part.removesuffix("\r") for part in parts]}, schema={"text": pl.String}
    ).with_columns(line=pl.int_range(pl.len()) + block.first_line)


def _require_fields(lines: pl.DataFrame, n_fields: int, path: Path) -> None:
    found = lines["text"].str.count_matches(",", literal=True) + 1
    wrong = found != n_fields
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
    frame = split.struct.unnest()
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
    if field.type in ("text", "time"):
        return pl.when(column != "").then(column).alias(field.name)
    return column.cast(_RAW[field.type], strict=False)


def _times(raw: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    convert: dict[str, Callable[[pl.Expr], pl.Expr]] = {"epoch": _from_epoch, "time": _from_text}
    return raw.with_columns(
        convert[field.type](pl.col(field.name)).alias(field.name)
        for field in fields
        if field.type in convert
    )


def _from_epoch(value: pl.Expr) -> pl.Expr:
    microseconds = (
        pl.when(value < 10**8)
        .then(None)
        .when(value < 10**11)
        .then(value * 1_000_000)
        .when(value < 10**14)
        .then(value * 1_000)
        .when(value < 10**17)
        .then(value)
        .otherwise(value // 1_000)
    )
    return pl.when(microseconds < _LATEST_US).then(microseconds).cast(_TIME)


def _from_text(value: pl.Expr) -> pl.Expr:
    plain = value.str.replace("T", " ", literal=True).str.strip_suffix("Z")
    moment = plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    return moment.dt.replace_time_zone("UTC")


def _units(raw: pl.DataFrame, fields: Sequence[Field]) -> tuple[tuple[str, int], ...]:
    epochs = [field.name for field in fields if field.type == "epoch"]
    if not epochs:
        n_text = raw.height if any(field.type == "time" for field in fields) else 0
        return (("text", n_text),) if n_text else ()
    value = raw[epochs[0]]
    counts = [
        (unit, int(((value >= low) & (value < high)).sum())) for unit, low, high in _EPOCH_UNITS
    ]
    return tuple((unit, n_rows) for unit, n_rows in counts if n_rows)


def _bad_value(path: Path, field: Field, text: str, line: int) -> DataError:
    shown = repr(text[:60]) if text.strip() else "empty"
    problem = f"Field {field.name!r} is {shown}; expected {field.expected}."
    return DataError.in_file(path, problem, _CURE, line)
