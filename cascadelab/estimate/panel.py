"""Returns beside signed flow for several venues at once: shipped minutes, or a user's tape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from cascadelab.errors import DataError, ParameterError, UnknownFormatError
from cascadelab.estimate.evidence import (
    DataNote,
    EnvironmentNote,
    Evidence,
    NotDone,
    SampleNote,
)
from cascadelab.estimate.hypothesis import HypothesisTest, invalid_test
from cascadelab.estimate.linear import Labels, kyle_slope
from cascadelab.estimate.notes import file_note, left_out, quality_data_note, variants
from cascadelab.estimate.placebo import pre_trend_test
from cascadelab.estimate.result import FitResult
from cascadelab.files import shipped
from cascadelab.history import catalogue
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading
from cascadelab.history.registry import read
from cascadelab.history.transforms import bars_from_trades, returns_and_flow

__all__ = [
    "FLOW_UNIT",
    "Panel",
    "bar_width",
    "panel_evidence",
    "shipped_panel",
    "slopes_by_series",
    "slopes_frame",
    "tape_panel",
]

#: Unit of the flow of a panel.
FLOW_UNIT = "million USD at a fixed price"
_MINUTE = timedelta(minutes=1)
#: Bars below which flow is not tested against five past returns.
_FEWEST_FOR_TREND = 40
_BARS = {"1s": timedelta(seconds=1), "10s": timedelta(seconds=10), "1m": _MINUTE}


@dataclass(frozen=True, eq=False)
class Panel:
    """Bars of several series, ready for :func:`slopes_by_series`.

    Parameters
    ----------
    frame : polars.DataFrame
        ``series``, ``opened_at``, ``return_bps``, ``flow`` (million USD, each series at one
        fixed price, bought positive), ``regime``.
    n_dropped : int
        Bars left out because the one before them has no trade.
    qualities : tuple of Quality
        One per file read.
    """

    frame: pl.DataFrame
    n_dropped: int
    qualities: tuple[Quality, ...] = ()

    def drawn(self, n_rows: int = 2_000) -> pl.DataFrame:
        """At most about `n_rows` rows for a chart: every k-th bar, the regressions take all.

        Parameters
        ----------
        n_rows : int
            Rows wanted, at least 1.
        """
        return self.frame.gather_every(-(-max(self.frame.height, 1) // n_rows))


def shipped_panel(cascade_from: datetime) -> Panel:
    """Panel of the minute figures of 2025-10-10 that ship with the package.

    The flow of the perpetuals is contracts times 10 USD of face, which no price enters; that of
    the spot pairs is coins times the first price of the table.

    Parameters
    ----------
    cascade_from : datetime
        Start of the cascade, UTC.
    """
    minutes = catalogue.minutes().sort("symbol", "minute_at")
    is_contract = pl.col("amount_unit").str.starts_with("contracts")
    fixed = pl.when(is_contract).then(10.0).otherwise(pl.col("open").first().over("symbol"))
    bars = minutes.select(
        "close",
        series=pl.col("venue") + " " + pl.col("symbol"),
        opened_at="minute_at",
        flow=(pl.col("bought") - pl.col("sold")) * fixed / 1e6,
    )
    return _panel(bars, cascade_from, _MINUTE, ())


def tape_panel(
    data_dir: str | Path,
    cascade_from: datetime,
    *,
    hours_before: float,
    hours_after: float,
    bar: str,
) -> Panel:
    """Panel of every tape of that day below a folder, recognised by content.

    Parameters
    ----------
    data_dir : str or Path
        Searched for files whose name carries the day of `cascade_from`.
    cascade_from : datetime
        Start of the cascade, UTC.
    hours_before, hours_after : float
        Calm and cascade taken, hours, positive.
    bar : {"1s", "10s", "1m"}
        Width of the bars.

    Raises
    ------
    DataError
        If the folder is missing, holds no tape of that day, or a file is damaged.
    ParameterError
        If `bar` is unknown or the hours are not positive.
    """
    bar_width(bar)
    if not (hours_before > 0 and hours_after > 0):
        raise ParameterError(
            f"hours_before is {hours_before!r} and hours_after {hours_after!r}; "
            f"expected positive hours. Pass both."
        )
    start = cascade_from - timedelta(hours=hours_before)
    end = cascade_from + timedelta(hours=hours_after)
    readings = _tapes(Path(data_dir).expanduser(), cascade_from)
    parts = [_tape_bars(reading, bar, start, end) for reading in readings]
    qualities = tuple(reading.quality for reading in readings)
    return _panel(pl.concat(parts), cascade_from, _BARS[bar], qualities)


def bar_width(bar: str) -> timedelta:
    """Width of a bar by name.

    Raises
    ------
    ParameterError
        If `bar` is none of ``"1s"``, ``"10s"``, ``"1m"``.
    """
    if bar not in _BARS:
        raise ParameterError.unknown("bar", str(bar), _BARS)
    return _BARS[bar]


def _tapes(folder: Path, day: datetime) -> list[Reading]:
    if not folder.is_dir():
        raise DataError.in_file(folder, "There is no such folder.", "Correct data_dir.")
    stamp = re.compile(f"{day:%Y-%m-%d}|{day:%Y%m%d}")
    found, unread = [], []
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".gz", ".zip", ".csv") and stamp.search(path.name):
            try:
                reading = read(path)
            except UnknownFormatError:
                unread.append(path.name)
                continue
            found += [reading] if reading.kind == "trades" else []
    if not found:
        raise DataError.in_file(
            folder,
            f"No tape of {day:%Y-%m-%d} is here"
            + (f"; of no known format: {', '.join(unread)}." if unread else "."),
            "Point data_dir at trades of that day.",
        )
    return found


def _tape_bars(reading: Reading, bar: str, start: datetime, end: datetime) -> pl.DataFrame:
    trades = reading.frame().filter(pl.col("traded_at").is_between(start, end))
    # Contracts of a quote face: base times price gives the face back, whatever the price.
    is_face = reading.quality.contract_size is not None
    value = pl.col("price") if is_face else pl.col("price").first()
    priced = trades.with_columns(quantity_base=pl.col("quantity_base") * value)
    return bars_from_trades(priced, bar).select(
        "opened_at",
        "close",
        series=pl.lit(f"{reading.quality.venue} {reading.quality.symbol}"),
        flow=pl.col("flow_base") / 1e6,
    )


def _panel(
    bars: pl.DataFrame, cascade_from: datetime, every: timedelta, qualities: tuple[Quality, ...]
) -> Panel:
    frame = returns_and_flow(bars, cascade_from, every)
    n_first = bars["series"].n_unique()
    return Panel(frame, bars.height - n_first - frame.height, qualities)


def slopes_by_series(panel: Panel) -> dict[str, FitResult]:
    """Kyle slope of each series, calm against cascade, with HAC errors and a Wald test.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    dict of str to FitResult
        By series, in order; terms ``flow (calm)`` and ``flow (cascade)``, bps per million USD.
    """
    fits = {}
    for series in panel.frame["series"].unique().sort():
        rows = panel.frame.filter(pl.col("series") == series)
        labels = Labels(
            outcome="return", outcome_unit="bps", sample=f"{series}; {rows.height} bars"
        )
        fits[series] = kyle_slope(
            rows["return_bps"].to_numpy(),
            rows["flow"].to_numpy(),
            regime=(rows["regime"] == "cascade").to_numpy(),
            labels=labels,
            flow_unit=FLOW_UNIT,
        )
    return fits


def slopes_frame(fits: dict[str, FitResult]) -> pl.DataFrame:
    """Slopes of several series in one table.

    Parameters
    ----------
    fits : dict of str to FitResult
        From :func:`slopes_by_series`.

    Returns
    -------
    polars.DataFrame
        ``symbol``, ``regime``, ``estimate``, ``std_error``, ``low``, ``high`` (95 %),
        ``n_obs``, ``p_equal_slopes`` of the Wald test and ``p_holm``, the same adjusted for as
        many tests as there are series (Holm 1979).
    """
    from statsmodels.stats.multitest import multipletests

    rows = []
    for series, fit in fits.items():
        for regime in ("calm", "cascade"):
            term = f"flow ({regime})"
            low, high = fit.interval(term)
            rows.append(
                {
                    "symbol": series,
                    "regime": regime,
                    "estimate": fit.value(term),
                    "std_error": fit.error(term),
                    "low": low,
                    "high": high,
                    "n_obs": int(fit.fact(f"{regime} rows")),
                    "p_equal_slopes": fit.test("equal slopes").p_value,
                }
            )
    raw = [fit.test("equal slopes").p_value for fit in fits.values()]
    adjusted = dict(zip(fits, multipletests(raw, method="holm")[1].tolist(), strict=True))
    return pl.DataFrame(rows).with_columns(
        p_holm=pl.col("symbol").replace_strict(adjusted, return_dtype=pl.Float64)
    )


def panel_evidence(
    panel: Panel, fits: dict[str, FitResult], *, claim: str, parameters: Mapping[str, object]
) -> Evidence:
    """Evidence for the print block of a panel of slopes.

    Parameters
    ----------
    panel : Panel
    fits : dict of str to FitResult
        From :func:`slopes_by_series`.
    claim : str
        The claim fixed before looking, and what would refute it.
    parameters : mapping
        The notebook's parameters.

    Returns
    -------
    Evidence
        The Wald tests of equal slopes stand as tests of the claim (Holm-adjusted by the block),
        tests that flow does not follow past returns as placebos, the slopes of all series and
        regimes as the stability table. No identified estimate: OLS is not one.
    """
    sample = SampleNote(
        rule="bars that follow a bar with trades",
        exclusions=f"{panel.n_dropped} bars after a gap",
        events=("2025-10-10_crypto_wide",),
        times=NotDone(reason="flow and return are of the same bar: no exposure is predetermined"),
    )
    table = slopes_frame(fits)
    return Evidence(
        notebook="impact",
        claim=claim,
        data=_data_notes(panel),
        sample=sample,
        tests=tuple(
            replace(fit.test("equal slopes"), name=f"equal slopes, {series}")
            for series, fit in fits.items()
        ),
        placebos=tuple(_pre_trend(panel.frame, series) for series in fits),
        stability=variants(
            pl.col("symbol") + ", " + pl.col("regime"), "estimate", table, ends=("low", "high")
        ),
        environment=EnvironmentNote(seed=None, parameters=parameters),
        **left_out(
            estimates="OLS slopes only; falls cause sales, so none is identified",
            gains="a gain needs an identified impact and a density of positions; neither is here",
            model="no loop is solved; the slopes describe",
        ),
    )


def _pre_trend(frame: pl.DataFrame, series: str) -> HypothesisTest:
    """Whether the flow of a series follows the returns of the five bars before."""
    rows = frame.filter(pl.col("series") == series)
    name = f"pre-trend, {series}"
    if rows.height < _FEWEST_FOR_TREND:
        null = "the flow is not related to the returns before it"
        return invalid_test(name, null, f"{rows.height} bars only")
    found = pre_trend_test(rows["return_bps"].to_numpy(), rows["flow"].to_numpy())
    return replace(found, name=name, null=found.null.replace("instrument", "flow"))


def _data_notes(panel: Panel) -> tuple[DataNote, ...]:
    if not panel.qualities:
        times = panel.frame["opened_at"]
        return (
            file_note(
                shipped("data", "catalogue", "minute_figures_2025-10-10.csv"),
                source="our own aggregates of public trade records",
                licence="MIT",
                span=(str(times.min()), str(times.max())),
                n_rows=panel.frame.height,
            ),
        )
    return tuple(quality_data_note(item, licence="of its owner") for item in panel.qualities)
