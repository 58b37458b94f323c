"""What the estimation notebooks read and run: each study is one call on shipped or given files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from cascadelab.errors import DataError
from cascadelab.estimate.bootstrap import wild_cluster_test
from cascadelab.estimate.covariance import Hac, Robust
from cascadelab.estimate.discontinuity import engine_clock
from cascadelab.estimate.evidence import DataNote
from cascadelab.estimate.feeds import FeedCap, feed_cap
from cascadelab.estimate.hawkes.report import BranchingReport, branching_report
from cascadelab.estimate.hawkes.simulate import poisson_pieces, simulate_hawkes
from cascadelab.estimate.hypothesis import HypothesisTest
from cascadelab.estimate.identify import ExposureTimes, IdentifiedEstimate, exposure_shock
from cascadelab.estimate.iv import two_stage_least_squares
from cascadelab.estimate.laboratory import (
    Laboratory,
    LaboratoryDraw,
    grade,
    laboratory_iv,
    laboratory_ols,
)
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.notes import quality_data_note
from cascadelab.estimate.placebo import pre_trend_test, shuffled_blocks_test
from cascadelab.estimate.result import FitResult
from cascadelab.estimate.rigobon import rigobon
from cascadelab.history import catalogue
from cascadelab.history.registry import read
from cascadelab.units import FloatArray

__all__ = [
    "CrossStudy",
    "aave_minutes",
    "clock_and_regime_streams",
    "episode_cross_section",
    "force_order_cap",
    "force_order_times",
    "forced_sales_designs",
    "laboratory_designs",
    "laboratory_exposure_shock",
    "laboratory_grades",
    "laboratory_placebos",
    "laboratory_times",
    "lag_and_sample_variants",
    "leave_one_scope_out",
    "real_designs",
    "real_notes",
    "report_streams",
]


def laboratory_times(draw: LaboratoryDraw) -> ExposureTimes:
    """Times of a laboratory draw: exposures are known one bar before their outcome."""
    bars = np.arange(draw.returns.size)
    return ExposureTimes(exposure_at=bars, outcome_at=bars + 1)


def laboratory_grades(settings: Laboratory, *, n_draws: int, seed: int) -> pl.DataFrame:
    """Grades of OLS and 2SLS: estimator, mean, low, high (two sd over draws), coverage, truth."""
    rows = []
    for name, estimator in (("OLS", laboratory_ols), ("2SLS (S1)", laboratory_iv)):
        found = grade(estimator, settings, n_draws=n_draws, seed=seed)
        ends = (found.mean - 2 * found.sd, found.mean + 2 * found.sd)
        rows.append((name, found.mean, *ends, found.coverage, found.truth))
    schema = ["estimator", "mean", "low", "high", "coverage", "truth"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def forced_sales_designs(
    frame: pl.DataFrame, *, stress_hours: tuple[int, int], seed: int
) -> tuple[FitResult, IdentifiedEstimate]:
    """OLS, and S3 across an hour range of stress, of minute returns on forced sales.

    Parameters
    ----------
    frame : polars.DataFrame
        As :func:`aave_minutes` returns it.
    stress_hours : tuple of int
        First and last hour of the day (UTC) that count as stress.
    seed : int
    """
    returns, sales = frame["log_return"].to_numpy(), frame["forced_sales_base"].to_numpy()
    hours = frame["opened_at"].dt.hour()
    stress = hours.is_between(*stress_hours).to_numpy()
    labels = Labels(outcome="minute log return", outcome_unit="log points")
    plain = ols(returns, sales, names=["forced sales"], labels=labels)
    rng = np.random.default_rng(seed)
    return plain, rigobon(returns, sales, regime=stress, rng=rng, n_draws=199)


def real_designs(data_dir: Path | str, *, seed: int) -> tuple[IdentifiedEstimate, ...]:
    """S3 of ETH and LINK minutes of 2021-05-19 on Aave v2 sales, OLS beside each.

    Both are slopes of returns turned so that a positive number is impact: sales lower prices.

    Parameters
    ----------
    data_dir : Path or str
        Empty: no estimates.
    seed : int
        Of the bootstrap.
    """
    found = []
    for coin in ("ETH", "LINK") if str(data_dir) else ():
        minutes = aave_minutes(data_dir, coin=coin)
        _, shifted = forced_sales_designs(minutes, stress_hours=(12, 14), seed=seed)
        found.append(replace(shifted, design=f"{shifted.design}, {coin} 2021-05-19"))
    return tuple(found)


def laboratory_designs(draw: LaboratoryDraw, *, seed: int) -> tuple[IdentifiedEstimate, ...]:
    """S1 on a laboratory draw, and S2 and S3, whose assumptions the laboratory breaks.

    Sales answer within the bar, so that S2's order is false; the density of positions moves, so
    that S3's slopes are not constant. Both miss the truth, which is what they are shown for.

    Parameters
    ----------
    draw : LaboratoryDraw
    seed : int
        Of the bootstrap of S3.
    """
    first = laboratory_exposure_shock(draw)
    order = engine_clock(draw.returns, draw.forced_sales, bar_s=1.0, engine_interval_s=1.0)
    shifted = rigobon(
        draw.returns,
        draw.forced_sales,
        regime=draw.exposure > np.median(draw.exposure),
        rng=np.random.default_rng(seed),
        n_draws=99,
    )
    return first, order, shifted


def laboratory_exposure_shock(draw: LaboratoryDraw) -> IdentifiedEstimate:
    """S1 on a laboratory draw, where the exclusion holds by construction unless it leaks."""
    return exposure_shock(
        draw.returns,
        draw.forced_sales,
        exposure=draw.exposure,
        external_return=draw.external_return,
        times=laboratory_times(draw),
        exclusion="Synthetic: exposure times the external fall enters through sales only.",
    )


def laboratory_placebos(
    draw: LaboratoryDraw, rng: np.random.Generator
) -> tuple[HypothesisTest, ...]:
    """Pre-trend test, and shuffled blocks of noise that the instrument must not explain."""
    noise = rng.normal(size=draw.returns.size)
    shuffled = shuffled_blocks_test(
        noise, draw.instrument, block=50, rng=rng, n_draws=199, controls=draw.controls
    )
    pre = pre_trend_test(draw.returns, draw.instrument, controls=draw.controls)
    return pre, replace(shuffled, name="shuffled blocks, pure noise as outcome")


def lag_and_sample_variants(draw: LaboratoryDraw) -> pl.DataFrame:
    """2SLS slopes with other HAC lags and on each half: variant, estimate, low, high."""
    n = draw.returns.size
    first, second = slice(0, n // 2), slice(n // 2, n)
    parts = (("all", slice(0, n), 5), ("all", slice(0, n), 20))
    rows = []
    for name, part, n_lags in (*parts, ("first half", first, 9), ("second half", second, 9)):
        fit = two_stage_least_squares(
            draw.returns[part],
            draw.forced_sales[part],
            draw.instrument[part],
            controls=draw.controls[part],
            errors=Hac(n_lags=n_lags),
        )
        term = fit.terms[-1]
        rows.append((f"{name}, {n_lags} lags", fit.value(term), *fit.interval(term)))
    return pl.DataFrame(rows, schema=["variant", "estimate", "low", "high"], orient="row")


def aave_minutes(data_dir: Path | str, *, coin: str, day: str = "2021-05-19") -> pl.DataFrame:
    """Minute returns of a coin beside the collateral that Aave v2 liquidated, one day.

    Parameters
    ----------
    data_dir : Path or str
        Folder with ``liquidations/aave_v2`` and ``freqtrade`` files.
    coin : str
        ``"ETH"`` or ``"LINK"``.
    day : str
        UTC day, ISO.

    Returns
    -------
    polars.DataFrame
        ``opened_at`` (UTC), ``log_return``, ``forced_sales_base`` (coins seized in the minute,
        amounts of 18 decimals).

    Raises
    ------
    DataError
        If a file is not in the folder, or minutes of the day are missing.
    """
    path = _only_file(data_dir, f"freqtrade/2021-05-19/binance/{coin}_USDT-1m.json")
    start = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
    bars = np.array(json.loads(path.read_text()), dtype=np.float64)
    inside = (bars[:, 0] / 1000.0 >= start - 60) & (bars[:, 0] / 1000.0 < start + 86_400)
    close, opened = bars[inside, 4], bars[inside, 0] / 1000.0
    if not (np.diff(opened) == 60).all():
        raise DataError(f"{path.name}: minutes are missing on {day}. Expected 1,441 in a row.")
    calls = _only_file(data_dir, "liquidations/aave_v2/*.csv")
    table = pl.read_csv(calls, infer_schema=False)
    asset = "WETH" if coin == "ETH" else coin
    mine = table.filter(pl.col("collateralReserve") == asset)
    seconds = mine["timestamp"].cast(pl.Float64).to_numpy()
    amounts = mine["collateralAmount"].cast(pl.Float64).to_numpy() / 1e18
    minute = np.floor((seconds - start) / 60.0).astype(np.int64)
    kept = (minute >= 0) & (minute < close.size - 1)
    sales = np.bincount(minute[kept], amounts[kept], minlength=close.size - 1)
    times = (opened[1:] * 1e6).astype(np.int64)
    return pl.DataFrame(
        {
            "opened_at": pl.Series(times).cast(pl.Datetime("us", "UTC")),
            "log_return": np.diff(np.log(close)),
            "forced_sales_base": sales,
        }
    )


def _only_file(data_dir: Path | str, pattern: str) -> Path:
    found = sorted(Path(data_dir).glob(pattern))
    if len(found) != 1:
        problem = f"Holds {len(found)} files {pattern}; expected one."
        raise DataError.in_file(Path(data_dir), problem, "Correct data_dir.")
    return found[0]


def _force_orders(data_dir: Path | str) -> pl.DataFrame:
    """Distinct recorded orders: symbol and trade time; recordings repeat rows."""
    folder = Path(data_dir) / "liquidations" / "binance_forceorder_ws"
    parts = []
    for path in sorted(folder.glob("*_liquidations.csv")):
        frame = pl.read_csv(path, has_header=False, infer_schema=False, truncate_ragged_lines=True)
        named = frame.select(
            pl.lit(path.name).alias("file"),
            frame.columns[0],
            pl.col(frame.columns[10]).cast(pl.Float64).alias("time_ms"),
            pl.concat_str(frame.columns[:10], separator=",", ignore_nulls=True).alias("row"),
        )
        parts.append(named.rename({frame.columns[0]: "symbol"}))
    if not parts:
        raise DataError(f"{folder}: no recordings. Expected *_liquidations.csv. Check the path.")
    return pl.concat(parts).unique(maintain_order=True)


def force_order_cap(data_dir: Path | str) -> FeedCap:
    """Cap of the longest forceOrder recording: at most one order per symbol and second."""
    orders = _force_orders(data_dir)
    first = orders["file"].value_counts(sort=True)["file"][0]
    mine = orders.filter(pl.col("file") == first)
    rule = "largest order per symbol within 1000 ms"
    times = mine["time_ms"].to_numpy() / 1000.0
    return feed_cap(times, mine["symbol"].to_numpy(), window_s=1.0, rule=rule)


def force_order_times(data_dir: Path | str) -> tuple[FloatArray, float]:
    """Sorted times (seconds from the first) and duration of the longest recording."""
    orders = _force_orders(data_dir)
    first = orders["file"].value_counts(sort=True)["file"][0]
    times = np.sort(orders.filter(pl.col("file") == first)["time_ms"].to_numpy()) / 1000.0
    return times - times[0], float(times[-1] - times[0]) + 1e-3


def clock_and_regime_streams(*, duration_s: float, seed: int) -> dict[str, FloatArray]:
    """Four synthetic streams: Poisson, a 6.4 s clock, switching rates, and true excitation."""
    rng = np.random.default_rng(seed)
    plain = np.sort(rng.uniform(0, duration_s, int(0.5 * duration_s)))
    released = np.ceil(rng.uniform(0, duration_s, int(0.5 * duration_s)) / 6.4) * 6.4
    edges = np.linspace(0, duration_s, 7)
    return {
        "Poisson (true n = 0)": plain,
        "6.4 s clock (true n = 0)": np.sort(released[released <= duration_s]),
        "switching rates (true n = 0)": poisson_pieces([0.1, 1.5, 0.2, 0.8, 0.1, 2.0], edges, rng),
        "excitation (true n = 0.7)": simulate_hawkes(
            0.15, 0.7, 1.0, duration_s=duration_s, rng=rng
        ),
    }


def report_streams(
    streams: dict[str, FloatArray], *, duration_s: float, resolution_s: float, seed: int
) -> tuple[pl.DataFrame, dict[str, BranchingReport]]:
    """Guarded branching ratio of each stream: a frame of verdicts, and the reports."""
    reports = {
        name: branching_report(
            times,
            duration_s,
            resolution_s=resolution_s,
            rng=np.random.default_rng([seed, number]),
            n_draws=39,
        )
        for number, (name, times) in enumerate(streams.items())
    }
    rows = [
        {
            "stream": name,
            "unguarded": report.unguarded.branching_ratio,
            "guarded": report.branching_ratio,
            "low": report.interval()[0],
            "high": report.interval()[1],
            "near-critical": report.is_near_critical,
            "verdict": report.verdict,
        }
        for name, report in reports.items()
    ]
    return pl.DataFrame(rows), reports


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossStudy:
    """Drawdown against liquidations over the episodes of the catalogue.

    Parameters
    ----------
    frame : polars.DataFrame
        Episodes that state both: id, class, venue scope, drawdown, log10 of liquidations.
    fit : FitResult
        OLS with HC1 errors.
    test : HypothesisTest
        Wild-cluster bootstrap by venue scope.
    n_episodes : int
        Episodes in the catalogue, with or without both figures.
    """

    frame: pl.DataFrame
    fit: FitResult
    test: HypothesisTest
    n_episodes: int

    @property
    def share_used(self) -> float:
        """Share of the catalogue that states both figures."""
        return self.frame.height / self.n_episodes


def episode_cross_section(*, seed: int = 0) -> CrossStudy:
    """Regress drawdowns on log liquidations over the catalogue's episodes.

    Parameters
    ----------
    seed : int
        For the bootstrap, where there are too many clusters to try all signs.
    """
    every = catalogue.episodes()
    used = every.filter(pl.col("drawdown_pct").is_not_null() & (pl.col("liquidations_usd_24h") > 0))
    frame = used.select(
        "episode_id",
        "episode_class",
        pl.col("venue_scope").fill_null("not stated"),
        (pl.col("drawdown_pct") / 100.0).alias("drawdown"),
        pl.col("liquidations_usd_24h").log10().alias("log10_liquidations_usd"),
    )
    name = "log10 liquidations [USD]"
    y, x = frame["drawdown"].to_numpy(), frame["log10_liquidations_usd"].to_numpy()
    labels = Labels(
        outcome="drawdown",
        outcome_unit="fraction",
        units=("fraction per factor of 10",),
        sample=f"{frame.height} of {every.height} episodes state both figures",
    )
    test = wild_cluster_test(
        y,
        x[:, None],
        names=(name,),
        term=name,
        groups=frame["venue_scope"].to_numpy(),
        rng=np.random.default_rng(seed),
    )
    fit = ols(y, x, names=[name], errors=Robust(), labels=labels)
    if not math.isfinite(fit.error(name)):
        raise DataError("The error of the slope is not finite. Expected more distinct episodes.")
    return CrossStudy(frame=frame, fit=fit, test=test, n_episodes=every.height)


def leave_one_scope_out(study: CrossStudy) -> pl.DataFrame:
    """Slope of the cross-section without each venue scope in turn: the stability table.

    Returns
    -------
    polars.DataFrame
        ``variant``, ``estimate``, ``low``, ``high``; scopes that leave fewer than ten episodes
        are passed over.
    """
    rows = [("all", study.fit.estimate[1], *study.fit.interval(study.fit.terms[1]))]
    for scope in study.frame["venue_scope"].unique().sort():
        rest = study.frame.filter(pl.col("venue_scope") != scope)
        if rest.height < 10:
            continue
        x, y = rest["log10_liquidations_usd"].to_numpy(), rest["drawdown"].to_numpy()
        fit = ols(y, x, names=["slope"], errors=Robust())
        rows.append((f"without {scope}", fit.value("slope"), *fit.interval("slope")))
    return pl.DataFrame(rows, schema=["variant", "estimate", "low", "high"], orient="row")


def real_notes(data_dir: Path | str, *patterns: str) -> tuple[DataNote, ...]:
    """Notes of files below a folder, by pattern, for the print block.

    Parameters
    ----------
    data_dir : Path or str
        Empty: no notes.
    *patterns : str
        Such as ``"liquidations/aave_v2/*.csv"``.
    """
    if not str(data_dir):
        return ()
    paths = [path for pattern in patterns for path in sorted(Path(data_dir).glob(pattern))]
    return tuple(quality_data_note(read(path).quality, licence="of its owner") for path in paths)
