"""Traps of liquidation feeds: records the venue withholds, and pairs that sent no order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import vector
from cascadelab.estimate.covariance import label_codes
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import FitResult
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "BarLengthCheck",
    "CaptureBound",
    "FeedCap",
    "MatchedPairs",
    "bar_length_check",
    "capture_bound",
    "capture_ratio",
    "feed_cap",
    "match_pairs",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class FeedCap(Record):
    """How much of a feed sits at its cap of one record per key and window.

    Parameters
    ----------
    rule : str
        Feed rule in words.
    n_records, n_windows_at_cap : int
    share_at_cap : float
        Windows with a record over all windows between first and last record, fraction.
    busiest_minute_share : float
        The same in the busiest minute of any key.
    smallest_gap_s : float
        Between records of one key; a gap never below the window is the mark of a cap.
    """

    rule: str
    n_records: int
    n_windows_at_cap: int
    share_at_cap: float
    busiest_minute_share: float
    smallest_gap_s: float

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the shares of windows at the cap against 1, always at the cap."""
        from cascadelab.charts.checks import limit_chart

        rows = [
            ("share of windows at the cap [1]", self.share_at_cap),
            ("share at the cap, busiest minute [1]", self.busiest_minute_share),
        ]
        frame = pl.DataFrame(rows, schema=["measure", "value"], orient="row")
        gap = "no key has two records"
        if math.isfinite(self.smallest_gap_s):
            gap = f"smallest gap within a key {self.smallest_gap_s:.3g} s"
        return limit_chart(
            frame.with_columns(limit=pl.lit(1.0), limit_name=pl.lit("always at the cap")),
            title=f"Feed cap: {self.busiest_minute_share:.0%} of windows full at the busiest",
            words=f"{self.rule}; {self.n_records:,} records; {gap}",
        )

    def summary(self) -> Summary:
        """Return rule, cap share and smallest gap."""
        rows: list[tuple[str, object]] = [
            ("feed rule", self.rule),
            ("records", self.n_records),
            ("windows at the cap", self.n_windows_at_cap),
            ("share of windows at the cap", self.share_at_cap),
            ("share in the busiest minute", self.busiest_minute_share),
            ("smallest gap within a key, s", self.smallest_gap_s),
        ]
        note = "Counts and sums from a capped feed are lower bounds."
        return Summary(title="Feed cap", rows=rows, notes=[note])


def feed_cap(
    times_s: npt.ArrayLike, keys: npt.ArrayLike, *, window_s: float = 1.0, rule: str
) -> FeedCap:
    """Measure how often a feed of at most one record per key and window is at its cap.

    Parameters
    ----------
    times_s : array_like of shape (n,)
        Seconds.
    keys : array_like of shape (n,)
        Symbol of each record.
    window_s : float
    rule : str
        Feed rule in words, for print.
    """
    times = vector(times_s, "times")
    if not window_s > 0:
        raise ParameterError(f"window_s is {window_s!r}; expected a positive number of seconds.")
    codes = label_codes(keys, "keys", times.size)
    order = np.lexsort((times, codes))
    same = codes[order][1:] == codes[order][:-1]
    gaps = np.diff(times[order])[same]
    window = np.floor((times - times.min()) / window_s).astype(np.int64)
    pairs = np.unique(np.column_stack([codes, window]), axis=0)
    n_windows = (int(window.max()) + 1) * (int(codes.max()) + 1)
    per_minute = max(round(60.0 / window_s), 1)
    minutes = np.unique(
        np.column_stack([pairs[:, 0], pairs[:, 1] // per_minute]), axis=0, return_counts=True
    )[1]
    return FeedCap(
        rule=rule,
        n_records=times.size,
        n_windows_at_cap=len(pairs),
        share_at_cap=len(pairs) / n_windows,
        busiest_minute_share=float(minutes.max()) / per_minute,
        smallest_gap_s=float(gaps.min()) if gaps.size else math.inf,
    )


def capture_ratio(listed_base: npt.ArrayLike, open_interest_base: npt.ArrayLike) -> float:
    """Listed liquidations over the fall in open interest, in bars where open interest fell.

    Parameters
    ----------
    listed_base : array_like of shape (n,)
        Listed liquidations in each bar, base units.
    open_interest_base : array_like of shape (n + 1,)
        Open interest at the edges of the bars, base units.

    Returns
    -------
    float
        Fraction of at most 1. Voluntary closing lowers it, new positions of the same bar raise
        it: a lower bound of the capture only where few positions are opened.

    Raises
    ------
    DataError
        A figure is negative, open interest never fell, or more was listed than it fell.
    """
    listed = vector(listed_base, "listed liquidations")
    interest = vector(open_interest_base, "open interest", listed.size + 1)
    for values, name in ((listed, "listed liquidations"), (interest, "open interest")):
        if (values < 0).any():
            row = int((values < 0).argmax())
            raise DataError(f"{name!r}, row {row} is {values[row]:g}. Expected at least 0.")
    fall = -np.diff(interest)
    falls = fall > 0
    if not falls.any():
        raise DataError("Open interest never fell. Expected a fall in some bar. Check the series.")
    ratio = float(listed[falls].sum() / fall[falls].sum())
    if ratio > 1.0 + 1e-9:
        raise DataError(
            f"Listed liquidations are {ratio:.4g} times the fall of open interest. Expected "
            f"at most 1. New positions hide part of the fall, or the units differ: use shorter "
            f"bars, or bring both to base units."
        )
    return ratio


@dataclass(frozen=True, kw_only=True, eq=False)
class CaptureBound(Record):
    """Range of the slope per unit of true flow, from a slope per unit of listed flow.

    Parameters
    ----------
    term : str
    listed_slope : float
        Slope on listed flow.
    low, high : float
        Bounds of the true slope, sampling error included.
    capture_low, capture_high : float
        Fractions of true flow that the feed shows, at its worst and best.
    level : float
    """

    term: str
    listed_slope: float
    low: float
    high: float
    capture_low: float
    capture_high: float
    level: float

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the slope on listed flow and the range of the slope on true flow."""
        from cascadelab.charts.checks import interval_chart, words_chart

        title = f"Capture bound on {self.term}"
        if any(math.isnan(end) for end in (self.low, self.high, self.listed_slope)):
            return words_chart(title, "No bound: the slope or its error is not available.")
        rows = [
            ("listed flow", None, None, self.listed_slope),
            ("true flow", self.low, self.high, None),
        ]
        schema = dict.fromkeys(("low", "high", "value"), pl.Float64)
        return interval_chart(
            pl.DataFrame(rows, schema={"label": pl.String, **schema}, orient="row"),
            axis=f"slope on {self.term} [outcome per unit of flow]",
            title=title,
            words=f"The feed shows {self.capture_low:.0%} to {self.capture_high:.0%} of true flow;"
            f" sampling error at {self.level:.0%}",
        )

    def summary(self) -> Summary:
        """Return listed slope, capture range and bounds."""
        rows: list[tuple[str, object]] = [
            ("slope on listed flow", self.listed_slope),
            ("capture of the feed", f"{self.capture_low:.3g} to {self.capture_high:.3g}"),
            ("slope on true flow, lower bound", self.low),
            ("slope on true flow, upper bound", self.high),
        ]
        note = (
            "The capture at its worst must be that of the busiest bars: a cap hides more of large "
            "bars, so that the slope grows by more than one over the mean capture."
        )
        return Summary(title=f"Capture bound on {self.term}", rows=rows, notes=[note])


def capture_bound(
    fit: FitResult,
    term: str,
    *,
    capture_low: float,
    capture_high: float = 1.0,
    level: float = 0.95,
) -> CaptureBound:
    """Bound a slope estimated on a censored feed.

    Parameters
    ----------
    fit : FitResult
    term : str
        Slope on listed flow.
    capture_low, capture_high : float
        Range of the share of true flow that is listed, bar by bar, in (0, 1].
    level : float

    Notes
    -----
    If listed flow is c times true flow, the slope on true flow is c times the slope on listed
    flow; the bounds take the end-points of the interval at the extreme c.

    Examples
    --------
    >>> fit = FitResult(model="m", terms=("flow",), estimate=np.array([3.7]),
    ...                 cov=np.array([[1e-12]]), n_obs=9, cov_type="none")
    >>> bound = capture_bound(fit, "flow", capture_low=0.25, capture_high=0.5)
    >>> round(bound.low, 3), round(bound.high, 3)
    (0.925, 1.85)
    """
    if not 0 < capture_low <= capture_high <= 1:
        raise ParameterError(
            f"capture_low is {capture_low:g} and capture_high {capture_high:g}; expected "
            f"0 < low <= high <= 1."
        )
    ends = [c * end for c in (capture_low, capture_high) for end in fit.interval(term, level)]
    return CaptureBound(
        term=term,
        listed_slope=fit.value(term),
        low=min(ends),
        high=max(ends),
        capture_low=capture_low,
        capture_high=capture_high,
        level=level,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class BarLengthCheck(Record):
    """Whether bars are short enough for the engine's check interval.

    Parameters
    ----------
    bar_s, engine_interval_s : float
    """

    bar_s: float
    engine_interval_s: float

    @property
    def steps_per_bar(self) -> float:
        """Engine checks inside one bar."""
        return self.bar_s / self.engine_interval_s

    @property
    def is_passed(self) -> bool:
        """Whether sales cannot answer returns inside a bar."""
        return self.steps_per_bar <= 1.0 + 1e-12

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of engine checks per bar against the one that is allowed."""
        from cascadelab.charts.checks import limit_chart

        verdict = "short enough" if self.is_passed else "too long"
        row = {"measure": "engine checks per bar [1]", "value": self.steps_per_bar}
        return limit_chart(
            pl.DataFrame([row | {"limit": 1.0, "limit_name": "at most"}]),
            title=f"The bar is {verdict} for the engine",
            words=f"Bar {self.bar_s:g} s; the engine checks every {self.engine_interval_s:g} s",
        )

    def summary(self) -> Summary:
        """Return steps per bar and the verdict."""
        rows: list[tuple[str, object]] = [
            ("bar, s", self.bar_s),
            ("engine interval, s", self.engine_interval_s),
            ("engine checks per bar", self.steps_per_bar),
            ("passed", self.is_passed),
        ]
        note = "A true slope of -0.05 came out as -0.112 at 2, -0.153 at 5 and -0.173 at 60 steps."
        return Summary(title="Bar length against the engine", rows=rows, notes=[note])


def bar_length_check(*, bar_s: float, engine_interval_s: float) -> BarLengthCheck:
    """Compare the bar with the engine's check interval, both in seconds."""
    if not (bar_s > 0 and engine_interval_s > 0):
        raise ParameterError("bar_s and engine_interval_s must be positive numbers of seconds.")
    return BarLengthCheck(bar_s=bar_s, engine_interval_s=engine_interval_s)


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchedPairs(Record):
    """Liquidation records split into pairs with ADL (no book impact) and the rest.

    Parameters
    ----------
    matched, unmatched : ndarray of shape (n_bins,)
        Records per bin.
    n_adl_bins : int
        Bins with ADL.
    n_equal_bins : int
        Of these, bins where both counts are equal.
    correlation, unmatched_correlation : float
        Of liquidations, and of unmatched liquidations, with ADL.
    """

    matched: FloatArray
    unmatched: FloatArray
    n_adl_bins: int
    n_equal_bins: int
    correlation: float
    unmatched_correlation: float

    @property
    def unmatched_share(self) -> float:
        """Share of liquidation records that may have sent an order to the book."""
        return float(self.unmatched.sum() / (self.matched.sum() + self.unmatched.sum()))

    def to_frame(self) -> pl.DataFrame:
        """Return one row per bin: matched, unmatched."""
        return pl.DataFrame({"matched": self.matched, "unmatched": self.unmatched})

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of liquidation records per bin, matched with ADL and not."""
        from cascadelab.charts.checks import counts_chart

        return counts_chart(
            self.to_frame().rename({"matched": "matched with ADL"}),
            axis="liquidation records [count]",
            bins="bin [number]",
            title=f"{self.unmatched_share:.0%} of liquidations are not matched with ADL",
            words=f"{self.n_equal_bins:,} of {self.n_adl_bins:,} bins with ADL have equal counts",
        )

    def summary(self) -> Summary:
        """Return counts, correlations and what they mean."""
        rows: list[tuple[str, object]] = [
            ("liquidation records", float(self.matched.sum() + self.unmatched.sum())),
            ("matched with ADL", float(self.matched.sum())),
            ("unmatched", float(self.unmatched.sum())),
            ("unmatched share", self.unmatched_share),
            ("bins with ADL", self.n_adl_bins),
            ("of these, equal counts", self.n_equal_bins),
            ("correlation with ADL, all", self.correlation),
            ("correlation with ADL, unmatched", self.unmatched_correlation),
        ]
        note = "Matched pairs are one event seen twice: their correlation is an identity, no cause."
        return Summary(title="Liquidations matched with ADL", rows=rows, notes=[note])


def match_pairs(liquidations: npt.ArrayLike, adl: npt.ArrayLike) -> MatchedPairs:
    """Split liquidation counts into those matched one to one with ADL and the rest.

    Parameters
    ----------
    liquidations, adl : array_like of shape (n_bins,)
        Records per second, or another bin short enough that a pair falls into one.

    Returns
    -------
    MatchedPairs

    Examples
    --------
    >>> pairs = match_pairs([5, 3, 0, 4], [5, 1, 0, 0])
    >>> pairs.unmatched.tolist(), pairs.n_equal_bins
    ([0.0, 2.0, 0.0, 4.0], 1)
    """
    first = vector(liquidations, "liquidations")
    second = vector(adl, "ADL", first.size)
    if (first < 0).any() or (second < 0).any():
        raise DataError("A count is negative. Expected counts of at least 0. Check the columns.")
    if first.sum() == 0:
        raise DataError("There are no liquidations. Expected some. Check the window.")
    matched = np.minimum(first, second)
    rest = first - matched
    return MatchedPairs(
        matched=matched,
        unmatched=rest,
        n_adl_bins=int((second > 0).sum()),
        n_equal_bins=int(((second > 0) & (first == second)).sum()),
        correlation=_correlation(first, second),
        unmatched_correlation=_correlation(rest, second),
    )


def _correlation(left: FloatArray, right: FloatArray) -> float:
    """Correlation, NaN where a series is constant."""
    a, b = left - left.mean(), right - right.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan
