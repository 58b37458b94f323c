"""From a path to data and quality: the steps every reader shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import DataError, ParameterError
from cascadelab.history.checks import check_rows, with_notes
from cascadelab.history.contracts import Contract
from cascadelab.history.formats import (
    ROW_SYMBOL,
    Context,
    Format,
    Layout,
    State,
    recognise,
)
from cascadelab.history.parse import Parsed, parse_block
from cascadelab.history.quality import Quality
from cascadelab.history.source import Block, Head, Source, open_source
from cascadelab.history.tables import conform, table_of

__all__ = ["Reading", "make_context", "read_blocks", "read_source", "recognised_blocks"]


@dataclass(frozen=True, eq=False)
class Reading(Displayed):
    """Data of one file in the documented table of its kind, and what was found on the way.

    Parameters
    ----------
    data : polars.LazyFrame
        Columns and units: :data:`cascadelab.history.tables.KINDS`, by `kind`. A lazy view of rows
        that are already parsed and in memory.
    quality : Quality
        Print it before using the data.
    duplicates : polars.DataFrame
        The exact duplicates that were taken out of `data`, in the same table.

    Examples
    --------
    ``reading = history.read("BTCUSDT-1m-2025-10.zip")``, then ``reading.quality`` and
    ``reading.data.filter(...).collect()``.
    """

    data: pl.LazyFrame
    quality: Quality
    duplicates: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False)

    def with_duplicates(self) -> pl.DataFrame:
        """Return the table with the exact duplicates back in, each after rows of its time.

        What a study needs that takes the repeated rows for true ones; `quality` counts them.
        """
        frame = self.frame()
        if self.duplicates.is_empty():
            return frame
        time = table_of(self.kind).columns[0].name
        return pl.concat([frame, self.duplicates]).sort(time, maintain_order=True)

    @property
    def kind(self) -> str:
        """Kind of data, such as ``"bars"``."""
        return self.quality.kind

    @cached_property
    def _collected(self) -> pl.DataFrame:
        return self.data.collect()

    def frame(self) -> pl.DataFrame:
        """Return the whole table in memory."""
        return self._collected

    def to_dict(self) -> dict[str, Any]:
        """Return the quality report as JSON-plain values; the data are not part of it."""
        return self.quality.to_dict()

    def summary(self) -> Summary:
        """Return the quality report as a printable table."""
        return self.quality.summary()


@dataclass
class _Counts:
    """What the blocks of one file add up to."""

    units: dict[str, int] = field(default_factory=dict)
    n_blank: int = 0
    n_padded: int = 0
    n_words: int = 0
    n_records: int = 0
    hashes: list[pl.Series | None] = field(default_factory=list)

    def add(self, parsed: Parsed) -> None:
        for unit, n_rows in parsed.time_units:
            self.units[unit] = self.units.get(unit, 0) + n_rows
        self.n_blank += parsed.n_blank_lines
        self.n_padded += parsed.n_padded_lines
        self.n_words += parsed.n_null_words
        self.n_records += parsed.n_read


def make_context(
    path: str | Path, symbol: str | None = None, contract: Contract | None = None, series: str = ""
) -> Context:
    """Return what is known of a file before it is read: its source, and what the caller gave.

    Raises
    ------
    ParameterError
        If `symbol` is not a text or `contract` not a Contract.
    DataError
        As :func:`cascadelab.history.source.open_source`.
    """
    if symbol is not None and (not isinstance(symbol, str) or not symbol):
        raise ParameterError(f"symbol is {symbol!r}; expected a name such as 'BTCUSDT'. Pass one.")
    if contract is not None and not isinstance(contract, Contract):
        raise ParameterError(f"contract is {contract!r}; expected a Contract. Pass one.")
    context = Context(
        source=open_source(path), symbol=symbol or "", contract=contract, series=series
    )
    return context


def read_source(context: Context, formats: Sequence[Format]) -> Reading:
    """Read a file as the first of `formats` that fits its content.

    Parameters
    ----------
    context : Context
    formats : sequence of Format

    Returns
    -------
    Reading

    Raises
    ------
    DataError
        As every reader: names file, line and rule.
    """
    source = context.source
    head = source.head()
    chosen, layout = _recognise(source, head, formats)
    context = _named(context, layout)
    counts = _Counts()
    state, frames = _tidy_blocks(context, chosen, layout, counts)
    frame = pl.concat(list(frames), rechunk=False)
    quality = Quality(
        source=source.path.name,
        member=source.member,
        sha256=source.sha256(),
        format=chosen.name,
        kind=chosen.kind,
        venue=state.venue,
        symbol=state.symbol,
        has_header=layout.has_header,
        time_units=tuple(sorted(counts.units.items(), key=lambda item: -item[1])),
        quantity_unit=state.contract.words if state.contract else "",
        contract_size=_face(state),
    )
    quality = replace(quality, n_null_words=counts.n_words, unit_switches=state.unit_switches)
    frame, duplicates, quality = check_rows(
        frame, quality, chosen, counts.n_records, _joined(counts.hashes)
    )
    quality = with_notes(
        quality,
        *state.notes,
        "A byte order mark was removed." if head.has_byte_order_mark else "",
        _above_note(head, layout),
        f"{counts.n_blank:,} blank lines were skipped." if counts.n_blank else "",
        f"{counts.n_padded:,} lines had spaces around a field." if counts.n_padded else "",
        _unit_note(quality),
        f"Columns not used: {', '.join(layout.unused)}." if layout.unused else "",
    )
    quality = with_notes(quality, *_row_notes(quality))
    frame, quality = chosen.finish(frame, quality, context)
    return Reading(frame.lazy(), replace(quality, n_rows=frame.height), duplicates)


def _above_note(head: Head, layout: Layout) -> str:
    above = [line for line in head.lines[: max(layout.header_line - 1, 0)] if line.strip()]
    return f"The line above the header was skipped: {above[0][:60]!r}." if above else ""


def _joined(hashes: list[pl.Series | None]) -> pl.Series | None:
    """Hashes of the rows of the file; None where a row of the table is not one of the file."""
    known = [item for item in hashes if item is not None]
    return pl.concat(known) if known and len(known) == len(hashes) else None


def _row_notes(quality: Quality) -> tuple[str, str]:
    n_equal, n_words = quality.n_equal_rows_kept, quality.n_null_words
    equal = (
        f"{n_equal:,} rows equal an earlier one in every column; the source has no identifier to "
        f"tell repeats from equal events, so they were kept."
    )
    words = f"{n_words:,} fields hold a word for no value, such as None; they are null."
    return equal if n_equal else "", words if n_words else ""


def read_blocks(context: Context, formats: Sequence[Format]) -> Iterator[pl.DataFrame]:
    """Blocks of the table of a file, one at a time, for files larger than memory.

    Rows are as in the file: duplicates and disorder between blocks are left in.

    Raises
    ------
    DataError
        As :func:`read_source`.
    """
    chosen, layout = _recognise(context.source, context.source.head(), formats)
    context = _named(context, layout)
    yield from _tidy_blocks(context, chosen, layout, _Counts())[1]


def recognised_blocks(
    context: Context, formats: Sequence[Format], names: Sequence[str], block_bytes: int
) -> tuple[State, Iterator[Callable[[], pl.DataFrame]]]:
    """State of a delimited file and calls that parse its blocks, one call a block.

    A call gives some typed columns of its block, with their own names; calls may run side by side.

    Parameters
    ----------
    context : Context
    formats : sequence of Format
    names : sequence of str
        Fields to parse after the first block, which is parsed whole; the others are passed over.
    block_bytes : int
        Size of a block.

    Raises
    ------
    DataError
        As :func:`read_source`.
    """
    path = context.source.path
    chosen, layout = _recognise(context.source, context.source.head(), formats)
    context = _named(context, layout)
    needed = (*names, ROW_SYMBOL)
    some = [item if item and item.name in needed else None for item in layout.columns]
    blocks = _rows(context.source.blocks(block_bytes), layout)
    block = next(blocks, None)
    first = parse_block(block, layout.columns, path).frame if block else None
    if first is None or first.is_empty():
        problem = "There are no rows."
        raise DataError.in_file(path, problem, "Download the file again.")
    state = chosen.begin(first, context)

    def parsed(item: Block) -> pl.DataFrame:
        return parse_block(item, some, path).frame

    return state, chain([lambda: first], (partial(parsed, item) for item in blocks))


def _recognise(source: Source, head: Head, wanted: Sequence[Format]) -> tuple[Format, Layout]:
    from cascadelab.history.registry import FORMATS

    return recognise(source, head, wanted, FORMATS)


def _named(context: Context, layout: Layout) -> Context:
    """Return the context with the symbol that a column of the file names."""
    return replace(context, row_symbol=layout.symbol)


def _tidy_blocks(
    context: Context, chosen: Format, layout: Layout, counts: _Counts
) -> tuple[State, Iterator[pl.DataFrame]]:
    path = context.source.path
    has_hashes = not chosen.keeps_equal_rows
    derived = [item.name for item in chosen.fields if item.is_derived]
    if chosen.rows_of is not None:
        parts = chosen.rows_of(context)
    else:
        lines = _rows(context.source.blocks(), layout)
        parts = (parse_block(item, layout.columns, path) for item in lines)
    first = next(parts, None)
    while first is not None and first.frame.is_empty() and chosen.rows_of is not None:
        counts.add(first)
        first = next(parts, None)
    if first is None or first.frame.is_empty():
        if chosen.is_empty_allowed and counts.n_records:
            return State(), iter([conform(pl.DataFrame(), chosen.kind).clear()])
        problem = (
            "The file has a header and no rows." if layout.has_header else "There are no rows."
        )
        raise DataError.in_file(path, problem, "Download the file again.")
    state = chosen.begin(first.frame, context)
    final = layout.under(state).columns
    if final != layout.columns:
        lines = _rows(context.source.blocks(), layout)
        parts = (parse_block(item, final, path) for item in lines)
        first = next(parts)

    def tidy(item: Parsed) -> pl.DataFrame:
        counts.add(item)
        frame = conform(chosen.tidy(item.frame, state), chosen.kind)
        is_one_to_one = frame.height == item.frame.height and has_hashes
        counts.hashes.append(
            item.frame.drop(derived, strict=False).hash_rows() if is_one_to_one else None
        )
        return frame

    return state, map(tidy, chain([first], parts))


def _rows(source_blocks: Iterator[Block], layout: Layout) -> Iterator[Block]:
    for index, block in enumerate(source_blocks):
        rows = _without_header(block, layout.header_line) if index == 0 else block
        if rows.data:
            yield rows


def _without_header(block: Block, header_line: int) -> Block:
    data = block.data
    for _ in range(header_line):
        _, _, data = data.partition(b"\n")
    return replace(block, data=data, first_line=block.first_line + header_line)


def _face(state: State) -> float | None:
    return None if state.contract is None or state.contract.is_coins else state.contract.face


def _unit_note(quality: Quality) -> str:
    if len(quality.time_units) < 2:
        return ""
    found = ", ".join(f"{unit} in {n:,} rows" for unit, n in quality.time_units)
    return f"The unit of time switches inside the file ({found}); each row was read by magnitude."
