"""Anatomy of one episode: what moved when, from shipped figures or from files of a user's own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import DataError, UnknownFormatError
from cascadelab.history.catalogue import Episode, episode, episodes, intraday
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading
from cascadelab.history.registry import read
from cascadelab.history.transforms import bars_from_trades
from cascadelab.schema import UTC_TIME

__all__ = [
    "Anatomy",
    "anatomy",
    "anatomy_from_figures",
    "anatomy_from_files",
]

#: What is shown on each side of an episode whose times are known to the minute.
_MARGIN = timedelta(minutes=30)
_SUFFIXES = (".zip", ".gz", ".csv")
_COLUMNS = ["started_at", "ended_at", "value", "unit", "series", "source"]


@dataclass(frozen=True, eq=False)
class Anatomy(Displayed):
    """What is known of an episode, by the minute where somebody wrote it down.

    Parameters
    ----------
    episode : Episode
        Figures chosen for the episode as a whole.
    started_at, ended_at : datetime
        Window of the figures below, UTC.
    prices, depth, liquidations, deleveraging, other : polars.DataFrame
        Columns ``started_at``, ``ended_at`` (null for a moment), ``value``, ``unit``,
        ``series``, ``source``; times in UTC, rising.
    events : polars.DataFrame
        ``started_at``, ``event``, ``note``, ``source``.
    qualities : tuple of Quality
        One per file read; empty for shipped figures.
    unread : tuple of str
        Files of that day that are of no known format, each with the reason.
    """

    episode: Episode
    started_at: datetime
    ended_at: datetime
    prices: pl.DataFrame
    depth: pl.DataFrame
    liquidations: pl.DataFrame
    deleveraging: pl.DataFrame
    other: pl.DataFrame
    events: pl.DataFrame
    qualities: tuple[Quality, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def n_figures(self) -> int:
        """Time-stamped figures and events held."""
        parts = (self.prices, self.depth, self.liquidations, self.deleveraging, self.other)
        return sum(part.height for part in parts) + self.events.height

    def to_frame(self) -> pl.DataFrame:
        """All figures in one table, with the part they belong to."""
        parts = {
            "price": self.prices,
            "depth": self.depth,
            "liquidation": self.liquidations,
            "deleveraging": self.deleveraging,
            "other": self.other,
        }
        frames = [f.with_columns(pl.lit(name).alias("part")) for name, f in parts.items()]
        return pl.concat(frames).sort("started_at", "part", "series")

    @property
    def has_timeline(self) -> bool:
        """Whether there is anything to draw: a price series, depth, or counts of forced closes."""
        drawn = (self.relative_prices(), self.depth, self.forced_by_minute())
        return any(part.height for part in drawn)

    def relative_prices(self) -> pl.DataFrame:
        """Price series relative to their first value in the window: ``change`` as a fraction.

        Of a venue that has both, the lows of the bars are taken, not the closes; series of fewer
        than three values are left out.
        """
        counted = self.prices.filter(pl.len().over("series") >= 3)
        is_low = pl.col("series").str.contains(r"\blow\b")
        lows = counted.filter(is_low)
        shown = lows if lows.height else counted
        first = pl.col("value").sort_by("started_at").first().over("series")
        return shown.with_columns(change=pl.col("value") / first - 1.0)

    def forced_by_minute(self) -> pl.DataFrame:
        """Counted liquidations and deleveragings per minute: ``minute_at``, ``kind``, ``count``."""
        parts = [
            frame.filter(pl.col("unit") == "count").select(
                minute_at=pl.col("started_at").dt.truncate("1m"), kind=pl.lit(kind), count="value"
            )
            for kind, frame in self._forced()
        ]
        grouped = pl.concat(parts).group_by("minute_at", "kind").agg(pl.col("count").sum())
        return grouped.sort("minute_at", "kind")

    def forced_by_second(self) -> pl.DataFrame:
        """Counts as they stand in the source: ``started_at``, ``kind``, ``count``."""
        parts = [
            frame.filter(pl.col("unit") == "count").select(
                "started_at", kind=pl.lit(kind), count="value"
            )
            for kind, frame in self._forced()
        ]
        return pl.concat(parts).sort("started_at", "kind")

    def _forced(self) -> list[tuple[str, pl.DataFrame]]:
        return [("liquidation", self.liquidations), ("deleveraging", self.deleveraging)]

    def summary(self) -> Summary:
        """Return what is held, series by series."""
        frame = (
            self.to_frame()
            .group_by("part", "series", "unit", maintain_order=True)
            .agg(
                n_figures=pl.len(),
                first=pl.col("started_at").min().dt.to_string("%H:%M:%S"),
                last=pl.col("started_at").max().dt.to_string("%H:%M:%S"),
                lowest=pl.col("value").min(),
                highest=pl.col("value").max(),
            )
            .sort("part", "series")
        )
        title = f"{self.episode.episode_id}: figures by the minute, times in UTC"
        return Summary(
            title=title, frame=frame, notes=[f"Not read: {text}" for text in self.unread]
        )


def anatomy(episode_id: str, data_dir: str | Path = "") -> Anatomy:
    """Anatomy of an episode, from shipped figures or from a user's own files.

    Parameters
    ----------
    episode_id : str
        Such as ``"2025-10-10_crypto_wide"``.
    data_dir : str or Path
        Folder with files; empty: the figures that ship with the package.

    Returns
    -------
    Anatomy
        :func:`anatomy_from_figures` or :func:`anatomy_from_files`.
    """
    if str(data_dir) in ("", "."):
        return anatomy_from_figures(episode_id)
    return anatomy_from_files(episode_id, data_dir)


def anatomy_from_figures(episode_id: str) -> Anatomy:
    """Anatomy of an episode from the figures that ship with the package.

    Figures of other episodes that started on the same day are taken too: they are other sides of
    the same event (the exchange-wide one, one venue, one token).

    Parameters
    ----------
    episode_id : str
        Such as ``"2025-10-10_crypto_wide"``.

    Raises
    ------
    ParameterError
        If the episode is unknown; suggests the nearest.
    """
    chosen = episode(episode_id)
    day = chosen["started_at"].date()
    related = episodes().filter(pl.col("started_at").dt.date() == day)["episode_id"]
    rows = intraday().filter(
        pl.col("episode_id").is_in(related.to_list()) & pl.col("started_at").is_not_null()
    )
    figures = rows.filter(~pl.col("quantity").str.starts_with("event")).select(
        "started_at",
        "ended_at",
        "value",
        "unit",
        series="quantity",
        source="source_publisher",
    )
    events = rows.filter(pl.col("quantity").str.starts_with("event")).select(
        "started_at",
        event=pl.col("quantity").str.replace(r"^event:\s*", ""),
        note="note",
        source="source_publisher",
    )
    return _assemble(chosen, figures, events, ())


def anatomy_from_files(episode_id: str, data_dir: str | Path) -> Anatomy:
    """Anatomy of an episode from a user's own files: klines, mark prices, trades, bookDepth.

    Every file below `data_dir` whose name carries the episode's first day (``2025-10-10`` or
    ``20251010``) is read, recognised by its content. Trades become one-minute bars.

    Parameters
    ----------
    episode_id : str
    data_dir : str or Path

    Returns
    -------
    Anatomy
        With the events of the catalogue and one quality note per file.

    Raises
    ------
    DataError
        If the folder does not exist, holds no file of that day, or a file is damaged: names the
        file and what to do. Files of no known format are listed in ``unread``.
    """
    shipped = anatomy_from_figures(episode_id)
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise DataError.in_file(folder, "There is no such folder.", "Correct data_dir.")
    day = shipped.episode["started_at"].date()
    stamp = re.compile(f"{day:%Y-%m-%d}|{day:%Y%m%d}")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in _SUFFIXES and stamp.search(path.name)
    )
    readings, unread = [], []
    for path in files:
        try:
            readings.append(read(path))
        except UnknownFormatError as error:
            unread.append(f"{path.name}: {str(error).removeprefix(str(path)).lstrip(':, ')}")
    parts = [_figures(reading) for reading in readings if reading.kind in _FIGURES]
    if not parts:
        raise DataError.in_file(
            folder,
            f"No file of {day} with trades, bars or depth is here ({len(files)} carry the day).",
            "Point data_dir at a folder with such files; their names must carry the day.",
        )
    qualities = tuple(reading.quality for reading in readings if reading.kind in _FIGURES)
    whole = _assemble(shipped.episode, pl.concat(parts), shipped.events, qualities)
    return replace(whole, unread=tuple(unread))


def _assemble(
    chosen: Episode, figures: pl.DataFrame, events: pl.DataFrame, qualities: tuple[Quality, ...]
) -> Anatomy:
    start, end = _window(chosen, figures)
    inside = figures.filter(pl.col("started_at").is_between(start, end)).sort(
        "started_at", "series"
    )
    text, unit = pl.col("series").str.to_lowercase(), pl.col("unit")
    is_money = unit.str.contains("USD|GBP|EUR")
    is_depth = text.str.contains(r"\bdepth|liquidity|resting") & ~text.str.contains("corrupted")
    is_dropped = text.str.contains("corrupted")
    is_adl = text.str.contains("deleverag")
    is_liquidation = text.str.contains("liquidat") & ~is_adl
    is_price = text.str.contains(r"\bprice") & is_money
    kind = (
        pl.when(is_dropped).then(pl.lit("other"))
        .when(is_adl).then(pl.lit("deleveraging"))
        .when(is_liquidation).then(pl.lit("liquidations"))
        .when(is_depth).then(pl.lit("depth"))
        .when(is_price).then(pl.lit("prices"))
        .otherwise(pl.lit("other"))
    )  # fmt: skip

    def part(name: str) -> pl.DataFrame:
        return inside.filter(kind == name).select(_COLUMNS)

    seen = events.filter(pl.col("started_at").dt.date() == chosen["started_at"].date())
    return Anatomy(
        episode=chosen,
        started_at=start,
        ended_at=end,
        events=seen.sort("started_at"),
        prices=part("prices"),
        depth=part("depth"),
        liquidations=part("liquidations"),
        deleveraging=part("deleveraging"),
        other=part("other"),
        qualities=qualities,
    )


def _window(chosen: Episode, figures: pl.DataFrame) -> tuple[datetime, datetime]:
    """Minutes around the episode where its times are known so well, otherwise all its figures."""
    start, end = chosen["started_at"], chosen["ended_at"] or chosen["started_at"]
    if "T" not in str(chosen["date_end_utc"]):
        end += timedelta(days=1)
    has_minutes = "T" in str(chosen["date_start_utc"])
    if has_minutes:
        return start - _MARGIN, min(end, start + timedelta(hours=2)) + _MARGIN
    times = figures["started_at"]
    return min(start, times.min() or start), max(end, times.max() or end)


def _figures(reading: Reading) -> pl.DataFrame:
    frame, quality = reading.frame(), reading.quality
    label = f"{quality.venue} {quality.symbol}".strip()
    figures = _FIGURES[reading.kind](frame, label).with_columns(
        source=pl.lit(quality.source), ended_at=pl.lit(None, dtype=UTC_TIME)
    )
    return figures.select(_COLUMNS)


def _bar_figures(frame: pl.DataFrame, label: str) -> pl.DataFrame:
    series = frame["series"][0] if "series" in frame.columns else "trade"
    parts = [
        frame.select(
            started_at="opened_at",
            value=name,
            unit=pl.lit("USD"),
            series=pl.lit(f"{label} {series} price {name}"),
        )
        for name in ("low", "close")
    ]
    return pl.concat(parts)


def _trade_figures(frame: pl.DataFrame, label: str) -> pl.DataFrame:
    bars = bars_from_trades(frame, "1m")
    return _bar_figures(bars, label)


def _depth_figures(frame: pl.DataFrame, label: str) -> pl.DataFrame:
    # Where the book is crossed the bands are measured around a wrong price: not liquidity.
    usable = frame.filter(
        pl.col("band_fraction").abs().round(4).is_in([0.01, 0.05])
        & pl.col("depth_quote").is_not_null()
        & ~pl.col("is_crossed")
    )
    side = pl.when(pl.col("band_fraction") < 0).then(pl.lit("bids")).otherwise(pl.lit("asks"))
    width = (pl.col("band_fraction").abs() * 100).round(0).cast(pl.Int64).cast(pl.String)
    return usable.select(
        started_at="observed_at",
        value="depth_quote",
        unit=pl.lit("USD"),
        series=pl.lit(f"{label} depth, ") + side + pl.lit(" within ") + width + pl.lit("%"),
    )


_FIGURES = {"bars": _bar_figures, "trades": _trade_figures, "depth": _depth_figures}
