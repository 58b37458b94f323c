"""What a format is, the list of known ones, and how a file is recognised by its first lines."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from cascadelab.errors import DataError, UnknownFormatError
from cascadelab.history.contracts import Contract
from cascadelab.history.parse import NULL_WORDS, Field, Parsed, is_value_of, values_of
from cascadelab.history.quality import Quality
from cascadelab.history.source import Head, Source

__all__ = ["ROW_SYMBOL", "Context", "Format", "Layout", "layout_of", "recognise"]


#: Field of the symbol of a row, where all rows of a file must have the same.
ROW_SYMBOL = "symbol of the row"
_SYMBOLS = ("symbol", "ticker", "pair", "instrument", "instrument_name")
#: How a line begins that is no part of a table.
_ABOVE = ("https://", "http://", "www.", "# ")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a reader knows before the first row, besides the rows.

    Parameters
    ----------
    source : Source
    symbol : str
        Given by the caller; empty if not.
    row_symbol : str
        Named by a column of a file of one symbol; empty if none.
    contract : Contract or None
        Given by the caller; None to take the one of the symbol.
    series : str
        Bars only: which series the caller asked for; empty for any.
    marks : polars.DataFrame or None
        Depth only: bars of the mark price to check the bands against.
    """

    source: Source
    symbol: str = ""
    row_symbol: str = ""
    contract: Contract | None = None
    series: str = ""
    marks: pl.DataFrame | None = None


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way a venue writes one kind of data.

    Parameters
    ----------
    name : str
        Such as ``"binance_klines"``.
    kind : str
        Kind of the result, a key of :data:`cascadelab.history.tables.KINDS`.
    fields : tuple of Field
        In the order of a file without header.
    time : str
        Time column of the table.
    has_headerless : bool
        Whether files without a header exist.
    begin : callable
        ``begin(frame, context) -> state``: what the first block tells about units.
    tidy : callable
        ``tidy(frame, state) -> frame``: one block into the columns of the kind.
    finish : callable
        ``finish(frame, quality, context) -> (frame, quality)``: checks on the whole.
    hint : str
        Word in the name or a folder of the file that decides between formats of equal content; a
        format with a hint that is not there comes after all others that fit.
    foreign : tuple of str
        Names in a header that belong to other formats: with one of them this one does not fit.
    rows_of : callable or None
        ``rows_of(context) -> typed rows in blocks``, for files that are no delimited text.
    fits : callable or None
        ``fits(source, head) -> bool``, for the same files; None: the header or first line tells.
    keeps_equal_rows : bool
        Rows carry no identifier and may repeat in truth: equal ones are counted, not removed.
    identifier : str
        Column of the table that may be null, where the source gives none: equal rows without it
        are counted, not removed. Empty where every row has one.
    has_one_symbol : bool
        Rows carry no symbol; where a file has a further column of it, all rows must name the same.
    keeps_order : bool
        The order of the file is part of the data: it is not sorted.
    is_empty_allowed : bool
        A whole file may hold nothing of this kind (no liquidation in an hour of fills).
    """

    name: str
    kind: str
    fields: tuple[Field, ...]
    time: str
    begin: Callable[[pl.DataFrame, Context], State]
    tidy: Callable[[pl.DataFrame, State], pl.DataFrame]
    finish: Callable[[pl.DataFrame, Quality, Context], tuple[pl.DataFrame, Quality]]
    has_headerless: bool = False
    hint: str = ""
    foreign: tuple[str, ...] = ()
    rows_of: Callable[[Context], Iterator[Parsed]] | None = None
    fits: Callable[[Source, Head], bool] | None = None
    keeps_equal_rows: bool = False
    identifier: str = ""
    has_one_symbol: bool = False
    keeps_order: bool = False
    is_empty_allowed: bool = False

    @property
    def is_ragged(self) -> bool:
        """Whether lines of one file may differ in length."""
        return any(item.is_ragged for item in self.fields)

    @property
    def required(self) -> list[str]:
        """Names a header must have."""
        return [item.name for item in self.fields if not item.is_optional]


@dataclass(frozen=True, kw_only=True)
class State:
    """What the first block told: the same for all blocks of a file.

    Parameters
    ----------
    venue, symbol : str
        Written into the rows; a null where empty.
    contract : Contract or None
        None where rows carry no quantity, or have contracts of their own.
    given : Contract or None
        The contract the caller gave, which then is the one of every row.
    series : str
        Bars only.
    has_volume : bool
        Bars only: whether volumes are volumes, not padding.
    positive : tuple of str
        Fields that must be above zero now that the content is known.
    unit_switches : tuple of str
        Changes of a unit inside the file, one sentence each.
    notes : tuple of str
    """

    venue: str = ""
    symbol: str = ""
    contract: Contract | None = None
    given: Contract | None = None
    series: str = ""
    has_volume: bool = True
    positive: tuple[str, ...] = ()
    unit_switches: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the columns of one file map to the fields of its format.

    Parameters
    ----------
    columns : tuple of Field or None
        In the order of the file; None for a column that is not used.
    has_header : bool
    header_line : int
        Line of the header, from 1; 0 without one.
    unused : tuple of str
        Names of columns that are not used.
    """

    columns: tuple[Field | None, ...]
    has_header: bool
    header_line: int = 0
    unused: tuple[str, ...] = ()

    @property
    def symbol(self) -> str:
        """Symbol that every row must name; empty where no column of a file of one symbol does."""
        fields = (item for item in self.columns if item is not None and item.name == ROW_SYMBOL)
        return next((item.values[0] for item in fields), "")

    def under(self, state: State) -> Layout:
        """Return the layout with the rules that the first block added."""
        columns = tuple(
            replace(item, rule="positive") if item and item.name in state.positive else item
            for item in self.columns
        )
        return replace(self, columns=columns)


def recognise(
    source: Source, head: Head, wanted: Sequence[Format], known: Sequence[Format]
) -> tuple[Format, Layout]:
    """Return the format of a file and the layout of its columns, by content alone.

    Parameters
    ----------
    source : Source
    head : Head
    wanted : sequence of Format
        What the caller accepts; the first that fits is taken.
    known : sequence of Format
        All formats, to say what the file is when it is not wanted.

    Raises
    ------
    DataError
        If none fits; names what the file is, or the nearest format and what it lacks.
    """
    fitting = [
        (candidate, layout)
        for candidate in sorted(wanted, key=lambda item: _rank(source, item))
        if (layout := layout_of(source, head, candidate)) is not None
    ]
    # Two venues may share all names of a header; the first time then tells them apart.
    for candidate, layout in fitting:
        if len(fitting) == 1 or _times_fit(head, layout):
            return candidate, layout
    if fitting:
        return fitting[0]
    names = _names(wanted)
    for other in known:
        if layout_of(source, head, other) is not None:
            problem = f"The file holds {other.kind} ({other.name}); {names} is expected."
            cure = "Use the reader of that format, or history.read(path)."
            raise DataError.in_file(source.path, problem, cure)
    line, values = _first_lines(head)[0]
    if source.packing == "feather":
        problem = f"The columns {','.join(values)[:80]!r} fit no feather table known here."
        cure = "Columns date, open, high, low, close and volume, as freqtrade writes, are read."
        raise UnknownFormatError.in_file(source.path, problem, cure)
    _refuse_separator(source, values, line)
    if _is_header(values):
        raise _unknown_header(source, values, line, wanted)
    shown = ",".join(values)[:80]
    problem = f"The line {shown!r} fits no known format ({names})."
    raise UnknownFormatError.in_file(
        source.path, problem, "Check that the file is one of these.", line
    )


def _times_fit(head: Head, layout: Layout) -> bool:
    """Whether the times of the first row have the type the layout says."""
    rows = _first_lines(head)[layout.has_header :]
    if not layout.has_header or not rows or len(rows[0][1]) != len(layout.columns):
        return True
    return all(
        _fits(item, text)
        for item, text in zip(layout.columns, rows[0][1], strict=True)
        if item is not None and item.type in ("epoch", "seconds", "time", "moment")
    )


def _rank(source: Source, candidate: Format) -> int:
    """0 where the path has the hint of a format, 1 where it needs none, 2 where it is missing.

    The names of the file speak first, then its folders from the nearest on (the archive of Tardis
    has those of year, month and day in between); the first that tells hint from trades decides.
    """
    if not candidate.hint:
        return 1
    folders = reversed(source.path.parts[-8:-1])
    for part in (*source.names, *folders):
        is_hinted, is_other = candidate.hint in part.lower(), "trades" in part.lower()
        if is_hinted != is_other:
            return 0 if is_hinted else 2
    return 2


def _names(formats: Sequence[Format]) -> str:
    """Return the formats in words; too many are only counted."""
    if len(formats) > 6:
        return f"{len(formats)} formats, see history.FORMATS"
    return ", ".join(dict.fromkeys(item.name for item in formats))


def layout_of(source: Source, head: Head, candidate: Format) -> Layout | None:
    """Return the layout of a file under a format; None where the format does not fit."""
    if candidate.fits is not None:
        is_it = candidate.fits(source, head)
        return Layout(columns=candidate.fields, has_header=False) if is_it else None
    if source.packing == "feather":
        return None
    lines = _first_lines(head)
    line, values = lines[0]
    names = _normal(values)
    found = _columns(candidate, names)
    if candidate.has_one_symbol and len(lines) > 1:
        found = _with_symbol(found, names, lines[1][1])
    known = [item.name for item in found if item is not None]
    is_whole = set(candidate.required) <= set(known) and len(set(known)) == len(known)
    if is_whole and not set(candidate.foreign) & set(names):
        unused = [name for name, item in zip(names, found, strict=True) if item is None]
        return Layout(
            columns=tuple(found),
            has_header=True,
            header_line=line,
            unused=tuple(name for name in unused if name),
        )
    starts_with_text = candidate.fields[0].type == "text"
    if candidate.has_headerless and (starts_with_text or not _is_header(values)):
        for _, row in lines:
            if _is_row_of(candidate, row):
                n_columns = len(candidate.fields) if candidate.is_ragged else len(row)
                return Layout(columns=candidate.fields[:n_columns], has_header=False)
    return None


def _columns(candidate: Format, names: Sequence[str]) -> list[Field | None]:
    """Field of each name of a header: by its own name, else by the first of its others."""
    own = {item.name: item for item in candidate.fields}
    others = {}
    for item in candidate.fields:
        if item.name not in names:
            there = [name for name in item.aliases if name in names and name not in own]
            others.update({name: item for name in there[:1]})
    return [own.get(name) or others.get(name) for name in names]


def _with_symbol(
    found: list[Field | None], names: Sequence[str], row: Sequence[str]
) -> list[Field | None]:
    """Let the first further column of symbols hold what the first row says, and nothing else."""
    at = next((i for i, name in enumerate(names) if name in _SYMBOLS and found[i] is None), None)
    if at is None or len(row) != len(names) or not row[at]:
        return found
    cure = "Split the file: one symbol is expected."
    only = Field(name=ROW_SYMBOL, type="text", values=(row[at],), cure=cure)
    return [*found[:at], only, *found[at + 1 :]]


def _is_row_of(candidate: Format, values: Sequence[str]) -> bool:
    """Whether each value of a line has the type of its field; rules are for the parser."""
    if not len(candidate.required) <= len(values) <= len(candidate.fields):
        return False
    columns = candidate.fields[: len(values)]
    return all(_fits(item, text) for item, text in zip(columns, values, strict=True))


def _fits(item: Field, text: str) -> bool:
    """Whether a value has the type of a field; whether it keeps its rule is for the parser."""
    if not text or (item.is_nullable and text in NULL_WORDS):
        return item.is_nullable
    return is_value_of(Field(name=item.name, type=item.type), text)


def _first_lines(head: Head) -> list[tuple[int, list[str]]]:
    """Return the first lines that hold something, with their numbers, as fields.

    An address or remark that a website puts above the header is passed over.
    """
    filled = [(line, text) for line, text in enumerate(head.lines, start=1) if text.strip()]
    while len(filled) > 1 and filled[0][1].startswith(_ABOVE):
        filled = filled[1:]
    return [(line, [value.strip() for value in values_of(text)]) for line, text in filled[:8]]


def _is_header(values: Sequence[str]) -> bool:
    """Return True where the first field is a word: a letter first, and not a number or a date."""
    first = values[0].strip('"')
    return first[:1].isalpha() and first.lower() not in ("nan", "inf", "true", "false", "none")


def _normal(values: Sequence[str]) -> list[str]:
    """Names of a header in lower case; of a bilingual one (``price/...``) the first language."""
    names = [value.strip().strip('"').lower() for value in values]
    return [
        name if name.isascii() or not name.partition("/")[0].isascii() else name.partition("/")[0]
        for name in names
    ]


def _likeness(candidate: Format, names: Sequence[str]) -> tuple[float, int]:
    """How much of a header a format shares: of all names in either, then how many."""
    wanted, found = set(candidate.required), set(names)
    return len(wanted & found) / len(wanted | found), len(wanted & found)


def _refuse_separator(source: Source, values: Sequence[str], line: int) -> None:
    """Refuse fields that are separated by something else than commas."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if values[0].count(separator) >= 2:
            problem = f"Fields are separated by {name}; commas are expected."
            raise DataError.in_file(source.path, problem, "Save the file with commas.", line)


def _unknown_header(
    source: Source, values: Sequence[str], line: int, formats: Sequence[Format]
) -> DataError:
    names = _normal(values)
    shown = ",".join(names)
    headed = [item for item in formats if item.fits is None]
    if not headed:
        problem = f"The header {shown[:120]!r} belongs to no known format ({_names(formats)})."
        cure = "Check that the file is one of these."
        return UnknownFormatError.in_file(source.path, problem, cure, line)
    nearest = max(headed, key=lambda item: _likeness(item, names))
    shared = set(nearest.required) & set(names)
    if len(shared) * 2 < len(nearest.required):
        problem = f"The header {shown[:120]!r} belongs to no known format ({_names(formats)})."
        return UnknownFormatError.in_file(
            source.path, problem, "Check that the file is one of these.", line
        )
    lacking = [name for name in nearest.required if name not in names]
    if not lacking:
        twice = next((name for name in names if names.count(name) > 1), None)
        problem = (
            f"The header is that of {nearest.name} with columns of another format."
            if twice is None
            else f"The header names {twice!r} twice."
        )
        return DataError.in_file(source.path, problem, "Rename one of the columns.", line)
    close = difflib.get_close_matches(lacking[0], names, n=1)
    found = f" It has {close[0]!r} instead." if close else ""
    problem = f"The header lacks {', '.join(map(repr, lacking))} of {nearest.name}.{found}"
    return UnknownFormatError.in_file(
        source.path, problem, "Restore the names of the format, or download the file again.", line
    )
