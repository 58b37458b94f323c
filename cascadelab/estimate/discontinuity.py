"""S2 engine-clock timing and S4 size discontinuity with its bunching test."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import check_moves, vector
from cascadelab.estimate.covariance import ErrorKind, Robust, score_meat
from cascadelab.estimate.hypothesis import HypothesisTest, invalid_test
from cascadelab.estimate.identify import IdentifiedEstimate
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.result import FitResult
from cascadelab.units import FloatArray

__all__ = ["bunching_test", "engine_clock", "size_discontinuity"]


def engine_clock(
    returns: npt.ArrayLike,
    forced_sales: npt.ArrayLike,
    *,
    bar_s: float,
    engine_interval_s: float,
    n_lags: int = 5,
    errors: ErrorKind | None = None,
) -> IdentifiedEstimate:
    """S2: recursive order at the engine's clock, forced sales before returns.

    Parameters
    ----------
    returns, forced_sales : array_like of shape (n,)
        On bars of `bar_s` seconds, sales positive: the slope is minus the impact.
    bar_s, engine_interval_s : float
        Seconds. Bars must not be longer than the engine's check interval.
    n_lags : int
        Lags of both series as controls.
    errors : Hac, Robust or Clustered

    Returns
    -------
    IdentifiedEstimate
        Term ``forced sales``; the comparison is OLS without lags.

    Raises
    ------
    ParameterError
        Bars longer than the engine's interval: sales then answer returns inside the bar.

    Notes
    -----
    Liquidations of this step answer the price of the step before, so that the regression of
    :math:`r_t` on :math:`q_t` and lags of both is the recursive VAR with q first.
    """
    if not 0 < bar_s <= engine_interval_s:
        raise ParameterError(
            f"bar_s is {bar_s:g} with an engine that checks every {engine_interval_s:g} s; within "
            f"longer bars sales answer returns and the slope is biased (-0.05 came out as -0.112 "
            f"at two steps). Sample at {engine_interval_s:g} s or faster."
        )
    y = vector(returns, "returns")
    q = vector(forced_sales, "forced sales", y.size)
    check_moves(q, "forced sales")
    if n_lags < 1 or y.size < 4 * n_lags + 8:
        raise ParameterError(
            f"n_lags is {n_lags} on {y.size} rows; expected at least 1 and a longer sample."
        )
    rows = np.arange(n_lags, y.size)
    lagged = [series[rows - lag] for lag in range(1, n_lags + 1) for series in (y, q)]
    names = [f"{name}, lag {lag}" for lag in range(1, n_lags + 1) for name in ("return", "sales")]
    sample = f"bars of {bar_s:g} s, engine checks every {engine_interval_s:g} s"
    unit, other = "fraction per base sold", ("fraction per fraction", "fraction per base sold")
    labels = Labels(sample=sample, units=(unit, *other * n_lags))
    design = np.column_stack([q[rows], *lagged])
    fit = ols(y[rows], design, names=["forced sales", *names], errors=errors, labels=labels)
    plain = Labels(sample=sample, units=(unit,))
    beside = ols(y[rows], q[rows], names=["forced sales"], errors=errors, labels=plain)
    return IdentifiedEstimate(
        design="S2 engine-clock timing",
        term="forced sales",
        fit=fit,
        assumption="The engine checks at most once per bar: sales answer the previous bar only.",
        kills=("bars coarser than the engine's interval", "other orders that react in the bar"),
        comparison=beside,
        facts=(("bar over engine interval", bar_s / engine_interval_s),),
    )


def size_discontinuity(
    outcome: npt.ArrayLike,
    size_usd: npt.ArrayLike,
    *,
    cut_usd: float,
    bandwidth_usd: float | None = None,
    labels: Labels | None = None,
) -> IdentifiedEstimate:
    r"""S4: jump of the outcome at a size cut of the venue's rules, local linear on both sides.

    Parameters
    ----------
    outcome : array_like of shape (n,)
        Price response to one liquidation.
    size_usd : array_like of shape (n,)
        Position size at liquidation, USD.
    cut_usd : float
        Size above which the rule changes; rows at the cut count as above.
    bandwidth_usd : float or None
        None takes 1.84 standard deviations times :math:`n^{-1/5}`.
    labels : Labels

    Returns
    -------
    IdentifiedEstimate
        Term ``jump`` (above minus below). Diagnostic ``bunching`` tests for strategic sizes.

    Notes
    -----
    Weighted least squares with a triangular kernel and its own slope on each side, HC1 errors.
    """
    words = labels or Labels(outcome="price response")
    y = vector(outcome, words.outcome)
    size = vector(size_usd, "size", y.size)
    check_moves(size, "size")
    _check_cut(cut_usd)
    width = bandwidth_usd
    if width is None:
        width = 1.84 * float(size.std(ddof=1)) * y.size ** (-0.2)
    _check_width(width)
    distance = size - cut_usd
    weight = np.maximum(1.0 - np.abs(distance) / width, 0.0)
    kept = weight > 0
    above = (distance >= 0).astype(np.float64)
    n_below, n_above = int((kept & (above == 0)).sum()), int((kept & (above == 1)).sum())
    if min(n_below, n_above) < 10:
        raise DataError(
            f"{n_below} rows below and {n_above} above the cut within {width:g} USD. Expected at "
            f"least 10 on each side. Widen the bandwidth."
        )
    design = np.column_stack([np.ones(y.size), above, distance, distance * above])[kept]
    fit = _weighted(y[kept], design, weight[kept], words)
    return IdentifiedEstimate(
        design="S4 size discontinuity",
        term="jump",
        fit=fit,
        assumption="Positions just below and just above the cut differ only in the rule.",
        kills=("strategic sizing below the cut (see bunching)", "another rule at the same cut"),
        facts=(
            ("bandwidth, USD", float(width)),
            ("rows below", float(n_below)),
            ("rows above", float(n_above)),
        ),
        tests=(bunching_test(size, cut_usd=cut_usd),),
    )


def _check_cut(cut_usd: float) -> None:
    if not math.isfinite(cut_usd):
        raise ParameterError(f"cut_usd is {cut_usd!r}; expected a finite size in USD. Pass one.")


def _check_width(bandwidth_usd: float) -> None:
    if not bandwidth_usd > 0:
        raise ParameterError(
            f"bandwidth_usd is {bandwidth_usd!r}; expected a positive number of USD. Pass one."
        )


def _weighted(y: FloatArray, design: FloatArray, weight: FloatArray, words: Labels) -> FitResult:
    bread = np.linalg.inv(design.T @ (weight[:, None] * design))
    estimate = bread @ (design.T @ (weight * y))
    meat = score_meat(design, weight * (y - design @ estimate), Robust())
    return FitResult(
        model="Local linear fit on both sides of the cut",
        outcome=words.outcome_words,
        terms=("level below", "jump", "slope below", "slope change"),
        estimate=estimate,
        cov=bread @ meat @ bread,
        n_obs=y.size,
        cov_type=Robust().words(y.size),
        units=(words.outcome_unit, words.outcome_unit, *(f"{words.outcome_unit} per USD",) * 2),
        sample=words.sample,
    )


def bunching_test(
    size_usd: npt.ArrayLike, *, cut_usd: float, bandwidth_usd: float | None = None
) -> HypothesisTest:
    r"""McCrary-type test that the density of sizes does not jump at the cut.

    Parameters
    ----------
    size_usd : array_like of shape (n,)
    cut_usd : float
    bandwidth_usd : float or None
        None takes one standard deviation times :math:`2 n^{-1/5}`.

    Notes
    -----
    Histogram with bins of :math:`2 s n^{-1/2}` that do not straddle the cut, local linear with a
    triangular kernel of bandwidth h on each side; log difference with variance
    :math:`\frac{24}{5nh}(1/f_+ + 1/f_-)`. McCrary (2008), equations 4 to 6,
    doi:10.1016/j.jeconom.2007.05.005. Where the density at the cut is fitted at or below zero on
    a side, an exact binomial test of the counts within h/2 of the cut takes its place.
    """
    size = vector(size_usd, "size")
    check_moves(size, "size")
    _check_cut(cut_usd)
    if bandwidth_usd is not None:
        _check_width(bandwidth_usd)
    name, null = "bunching", "the density of sizes is continuous at the cut"
    spread = float(size.std(ddof=1))
    n_rows = size.size
    bin_width = 2.0 * spread / math.sqrt(n_rows)
    width = 2.0 * spread * n_rows ** (-0.2) if bandwidth_usd is None else bandwidth_usd
    index = np.floor((size - cut_usd) / bin_width).astype(np.int64)
    first, last = int(index.min()), int(index.max())
    counts = np.bincount(index - first, minlength=last - first + 1)
    centre = cut_usd + (np.arange(first, last + 1) + 0.5) * bin_width
    height = counts / (n_rows * bin_width)
    sides = []
    for mask in (centre < cut_usd, centre >= cut_usd):
        weight = np.maximum(1.0 - np.abs(centre - cut_usd) / width, 0.0) * mask
        if (weight > 0).sum() < 3:
            return invalid_test(name, null, "fewer than 3 bins on one side of the cut")
        design = np.column_stack([np.ones(centre.size), centre - cut_usd])
        normal = design.T @ (weight[:, None] * design)
        sides.append(float(np.linalg.solve(normal, design.T @ (weight * height))[0]))
    if min(sides) <= 0:
        return _count_test(size, cut_usd, 0.5 * width, null)
    gap = math.log(sides[1]) - math.log(sides[0])
    error = math.sqrt(24.0 / (5.0 * n_rows * width) * (1.0 / sides[0] + 1.0 / sides[1]))
    return HypothesisTest.of(name, gap / error, null, "normal")


def _count_test(size: FloatArray, cut_usd: float, reach_usd: float, null: str) -> HypothesisTest:
    """Exact test that sizes near the cut fall on either side with equal probability."""
    from scipy import stats

    n_below = int(((size >= cut_usd - reach_usd) & (size < cut_usd)).sum())
    n_above = int(((size >= cut_usd) & (size < cut_usd + reach_usd)).sum())
    if n_below + n_above == 0:
        return invalid_test("bunching", null, "no sizes near the cut")
    found = stats.binomtest(n_below, n_below + n_above)
    return HypothesisTest(
        name="bunching",
        statistic=n_below / (n_below + n_above),
        null=null,
        distribution="exact",
        p_value=float(found.pvalue),
    )
