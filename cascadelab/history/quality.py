"""What a reader found in a file: the half of the answer that is not the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.schema import UTC_TIME

__all__ = ["FrozenBand", "Gap", "Quality"]


def _text(moment: datetime | None) -> str:
    if moment is None:
        return ""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Rows that the grid expects and the file does not have.

    Parameters
    ----------
    from_at, until_at : datetime
        Time of the last row before and of the first row after the gap.
    n_missing : int
        Grid points without a row.
    """

    from_at: datetime
    until_at: datetime
    n_missing: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenBand:
    """A spell in which one depth band did not change; its values are masked to null.

    Parameters
    ----------
    band_fraction : float
        Which band; negative bids.
    from_at, until_at : datetime
        First and last snapshot of the spell.
    n_snapshots : int
        Snapshots masked.
    depth_base, depth_quote : float
        The value that stood still.
    """

    band_fraction: float
    from_at: datetime
    until_at: datetime
    n_snapshots: int
    depth_base: float
    depth_quote: float


@dataclass(frozen=True, kw_only=True)
class Quality(Displayed):
    """What was read, what is missing, what was changed, and what cannot be concluded.

    Parameters
    ----------
    source, member, sha256 : str
        File name, name inside the zip, and SHA-256 of the file as it lies on disk.
    format, kind, venue, symbol : str
        What the file was recognised as; `symbol` is empty where the source has none.
    has_header : bool
        Whether the first line holds names.
    n_rows_read, n_rows : int
        Rows in the file, and in the data after exact duplicates were removed.
    first_at, last_at : datetime
        Times of the first and last row, UTC.
    time_units : tuple of (str, int)
        Units of time found and rows of each; more than one is a switch inside the file.
    quantity_unit : str
        What the file counts in, before conversion to base units.
    contract_size : float or None
        Face of a contract where the file counts contracts.
    step_s : float or None
        Expected time between rows, seconds; None where rows follow no grid.
    gaps : tuple of Gap
    longest_pause_s : float
        Longest time between two rows, seconds.
    longest_pause_from : datetime or None
        When it began.
    n_exact_duplicates : int
        Rows equal in every column to an earlier one; removed.
    n_equal_rows_kept : int
        Rows equal to an earlier one in a source without identifiers, where they may be true;
        kept.
    n_out_of_order : int
        Rows earlier than one before them; the data are sorted by time.
    frozen_bands : tuple of FrozenBand
        Masked to null in the data.
    n_masked : int
        Depth readings masked.
    n_crossed : int
        Snapshots in which the average bid lies above the average ask.
    crossed_from, crossed_until : datetime or None
        First and last of them.
    n_padded : int
        Rows of zeros or nulls before the real history of their symbol begins.
    n_null_words : int
        Fields that hold a word for "no value", such as ``None``; null in the data.
    unit_switches : tuple of str
        Changes of the unit of a quantity inside the file, one sentence each.
    is_partial_day : bool
        Whether the first or last day is cut.
    feed_rule : str
        What the venue withholds, in words; empty where nothing is known to be withheld.
    capped_share : float or None
        Share of symbol-seconds with an order in which the feed may have hidden another.
    is_lower_bound : bool
        Whether counts and sums are lower bounds.
    notes : tuple of str
        Everything else, one sentence each.
    """

    source: str
    sha256: str
    format: str
    kind: str
    member: str = ""
    venue: str = ""
    symbol: str = ""
    has_header: bool = False
    n_rows_read: int = 0
    n_rows: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    time_units: tuple[tuple[str, int], ...] = ()
    quantity_unit: str = ""
    contract_size: float | None = None
    step_s: float | None = None
    gaps: tuple[Gap, ...] = ()
    longest_pause_s: float = 0.0
    longest_pause_from: datetime | None = None
    n_exact_duplicates: int = 0
    n_equal_rows_kept: int = 0
    n_out_of_order: int = 0
    frozen_bands: tuple[FrozenBand, ...] = ()
    n_masked: int = 0
    n_crossed: int = 0
    crossed_from: datetime | None = None
    crossed_until: datetime | None = None
    n_padded: int = 0
    n_null_words: int = 0
    unit_switches: tuple[str, ...] = ()
    is_partial_day: bool = False
    feed_rule: str = ""
    capped_share: float | None = None
    is_lower_bound: bool = False
    notes: tuple[str, ...] = ()

    @property
    def n_missing(self) -> int:
        """Grid points without a row, over all gaps."""
        return sum(gap.n_missing for gap in self.gaps)

    @property
    def has_unit_switch(self) -> bool:
        """Whether the unit of time or of a quantity changes inside the file."""
        return len(self.time_units) > 1 or bool(self.unit_switches)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was removed, masked, missing, reordered or withheld."""
        faults = self.n_exact_duplicates + self.n_out_of_order + self.n_masked + self.n_crossed
        is_whole = not (self.is_partial_day or self.is_lower_bound or self.has_unit_switch)
        return faults + self.n_missing + self.n_padded == 0 and is_whole

    def gaps_frame(self) -> pl.DataFrame:
        """One row per gap: ``from_at``, ``until_at``, ``n_missing``."""
        schema = pl.Schema({"from_at": UTC_TIME, "until_at": UTC_TIME, "n_missing": pl.Int64()})
        return pl.DataFrame([asdict(gap) for gap in self.gaps], schema=schema)

    def frozen_frame(self) -> pl.DataFrame:
        """One row per frozen spell: band, first and last snapshot, count, value."""
        schema = pl.Schema(
            {
                "band_fraction": pl.Float64(),
                "from_at": UTC_TIME,
                "until_at": UTC_TIME,
                "n_snapshots": pl.Int64(),
                "depth_base": pl.Float64(),
                "depth_quote": pl.Float64(),
            }
        )
        return pl.DataFrame([asdict(band) for band in self.frozen_bands], schema=schema)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-plain values; times as ISO text in UTC."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def summary(self) -> Summary:
        """Return the report as a printable table."""
        frame = self._frozen_by_band() if self.frozen_bands else None
        rows = [row for row in self._rows() if row[1] not in ("", None)]
        title = f"Quality of {self.source}"
        return Summary(title=title, rows=rows, frame=frame, notes=self.notes)

    def _rows(self) -> list[tuple[str, object]]:
        units = ", ".join(f"{unit} ({n:,} rows)" for unit, n in self.time_units)
        pause = f"{self.longest_pause_s:g} s from {_text(self.longest_pause_from)}"
        crossed = (
            f"{self.n_crossed:,} from {_text(self.crossed_from)} to {_text(self.crossed_until)}"
        )
        missing = f"{self.n_missing:,} in {len(self.gaps):,} gaps"
        return [
            ("recognised as", f"{self.kind} ({self.format})"),
            ("venue", self.venue),
            ("symbol", self.symbol),
            ("rows read", self.n_rows_read),
            ("rows kept", self.n_rows),
            ("first row", _text(self.first_at)),
            ("last row", _text(self.last_at)),
            ("header", "yes" if self.has_header else "no"),
            ("unit of time", units),
            ("unit of quantity", self.quantity_unit),
            ("expected step, s", self.step_s),
            ("rows missing", missing if self.step_s else ""),
            ("longest pause", pause if self.longest_pause_from else ""),
            ("partial day", self.is_partial_day),
            ("exact duplicates removed", self.n_exact_duplicates),
            ("equal rows kept", self.n_equal_rows_kept or None),
            ("rows out of order", self.n_out_of_order),
            ("rows of padding", self.n_padded or None),
            ("fields with a word for none", self.n_null_words or None),
            ("unit switches", "; ".join(self.unit_switches)),
            ("depth readings masked", self.n_masked if self.kind == "depth" else None),
            ("crossed snapshots", crossed if self.n_crossed else ""),
            ("feed rule", self.feed_rule),
            ("capped share", self.capped_share),
            ("lower bound", True if self.is_lower_bound else None),
            ("SHA-256", self.sha256),
        ]

    def _frozen_by_band(self) -> pl.DataFrame:
        return (
            self.frozen_frame()
            .group_by("band_fraction")
            .agg(
                n_spells=pl.len(),
                n_snapshots=pl.col("n_snapshots").sum(),
                longest_from=pl.col("from_at").get(pl.col("n_snapshots").arg_max()),
                longest_until=pl.col("until_at").get(pl.col("n_snapshots").arg_max()),
                longest_n=pl.col("n_snapshots").max(),
                stuck_at_base=pl.col("depth_base").get(pl.col("n_snapshots").arg_max()),
            )
            .sort("band_fraction")
            .with_columns(pl.col("longest_from", "longest_until").dt.strftime("%Y-%m-%d %H:%M:%S"))
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _text(value) if isinstance(value, datetime) else value
