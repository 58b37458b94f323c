"""Auto-deleveraging of 2025-10-10 on Hyperliquid: counts per second, halves, tables by coin."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl

from cascadelab.errors import DataError
from cascadelab.estimate.evidence import DataNote
from cascadelab.estimate.feeds import MatchedPairs, match_pairs
from cascadelab.estimate.notes import quality_data_note, shipped_notes
from cascadelab.history import catalogue
from cascadelab.history.reading import Reading
from cascadelab.history.registry import read

__all__ = ["adl_by_coin", "adl_halves", "adl_notes", "adl_timeline"]

_FOLDER = Path("liquidations") / "hyperliquid_2025-10-10"
_TIMING, _BY_COIN = "cascade_timing_results.json", "adl_by_coin.csv"


def adl_timeline(data_dir: Path | str = "") -> tuple[pl.DataFrame, MatchedPairs]:
    """Per-second liquidation and ADL counts of Hyperliquid on 2025-10-10, with their matching.

    Parameters
    ----------
    data_dir : Path or str
        Folder with ``liquidations/hyperliquid_2025-10-10``; empty: the counts that ship.

    Returns
    -------
    frame : polars.DataFrame
        ``second`` after the first liquidation, ``liquidations``, ``adl``, ``unmatched``; only
        seconds with a record.
    pairs : MatchedPairs
    """
    frame = _from_file(data_dir) if str(data_dir) else _from_catalogue()
    pairs = match_pairs(frame["liquidations"].to_numpy(), frame["adl"].to_numpy())
    return frame.with_columns(unmatched=pairs.unmatched), pairs


def _from_catalogue() -> pl.DataFrame:
    rows = catalogue.intraday("2025-10-10_hyperliquid_adl")
    names = {
        "liquidations": "Hyperliquid liquidation rows",
        "adl": "Hyperliquid auto-deleveraging rows",
    }
    second = pl.col("note").str.extract(r"second (\d+) ").cast(pl.Int64).alias("second")
    parts = [
        rows.filter(pl.col("quantity") == words).select(second, pl.col("value").alias(name))
        for name, words in names.items()
    ]
    joined = parts[0].join(parts[1], on="second", how="full", coalesce=True).sort("second")
    return joined.with_columns(pl.col("liquidations", "adl").cast(pl.Float64).fill_null(0.0))


def _from_file(data_dir: Path | str) -> pl.DataFrame:
    since = pl.col("from_at") - pl.col("from_at").min()
    return (
        _read(data_dir, _TIMING)
        .frame()
        .select(
            second=since.dt.total_seconds(),
            liquidations=pl.col("n_liquidations").cast(pl.Float64),
            adl=pl.col("n_adl").cast(pl.Float64),
        )
    )


def _read(data_dir: Path | str, name: str) -> Reading:
    path = Path(data_dir).expanduser() / _FOLDER / name
    if not path.is_file():
        raise DataError.in_file(path, "There is no such file.", "Correct data_dir.")
    return read(path)


def adl_halves(timeline: pl.DataFrame) -> pl.DataFrame:
    """Correlation of unmatched liquidations with ADL, whole and by half: the stability table.

    Parameters
    ----------
    timeline : polars.DataFrame
        As :func:`adl_timeline` returns it.
    """
    middle = timeline.height // 2
    parts = {
        "all seconds": timeline,
        "first half": timeline[:middle],
        "second half": timeline[middle:],
        "seconds with ADL": timeline.filter(pl.col("adl") > 0),
    }
    rows = []
    for name, part in parts.items():
        value = float(np.corrcoef(part["unmatched"].to_numpy(), part["adl"].to_numpy())[0, 1])
        half = 1.96 / math.sqrt(part.height - 3)
        ends = (math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half))
        rows.append((f"unmatched with ADL, {name}", value, *ends))
    return pl.DataFrame(rows, schema=["variant", "estimate", "low", "high"], orient="row")


def adl_by_coin(data_dir: Path | str, *, n_coins: int = 8) -> pl.DataFrame:
    """Auto-deleveraged notional by coin, the largest first, then all others and the total.

    Parameters
    ----------
    data_dir : Path or str
    n_coins : int
        Coins named.

    Returns
    -------
    polars.DataFrame
        ``coin``, ``notional_usd``, ``n_events``, ``share`` (fraction of the total).
    """
    rows = _read(data_dir, _BY_COIN).frame().sort("notional_usd", descending=True)
    kept = rows.select(
        pl.col("symbol").cast(pl.String).alias("coin"),
        "notional_usd",
        pl.col("n_events").cast(pl.Int64),
    )
    sums = [
        part.select(pl.lit(words).alias("coin"), pl.col("notional_usd", "n_events").sum())
        for words, part in (
            (f"{max(kept.height - n_coins, 0)} others", kept[n_coins:]),
            ("all", kept),
        )
    ]
    total = float(kept["notional_usd"].sum())
    return pl.concat([kept[:n_coins], *sums]).with_columns(share=pl.col("notional_usd") / total)


def adl_notes(data_dir: Path | str) -> tuple[DataNote, ...]:
    """Notes of what the timeline and the tables were read from, for the print block."""
    if not str(data_dir):
        return shipped_notes("intraday_figures", "facts")
    qualities = [_read(data_dir, name).quality for name in (_TIMING, _BY_COIN)]
    return (
        *(quality_data_note(quality, licence="of its owner") for quality in qualities),
        *shipped_notes("facts"),
    )
