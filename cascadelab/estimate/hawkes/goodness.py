"""Does the model fit? Time rescaling and likelihood ratio, p-values by parametric bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ConvergenceError, DataError
from cascadelab.estimate.hawkes.fit import HawkesFit, refit
from cascadelab.estimate.hawkes.inputs import check_whole
from cascadelab.estimate.hawkes.kernel import event_times
from cascadelab.estimate.hawkes.multivariate import MultivariateHawkes, fit_multivariate
from cascadelab.estimate.hawkes.power_law import refit_power_law
from cascadelab.estimate.hawkes.simulate import (
    poisson_pieces,
    simulate_hawkes,
    simulate_multivariate,
    simulate_power_law,
)
from cascadelab.estimate.hypothesis import HypothesisTest, invalid_test
from cascadelab.units import FloatArray, IntArray

__all__ = ["likelihood_ratio_test", "multivariate_rescaling_tests", "time_rescaling_tests"]

#: Branching ratios and spectral radii up to here are drawn from: above, samples may not end.
_LARGEST_DRAWN = 0.999
#: Lags of the Ljung–Box test of a multivariate fit.
_N_LAGS = 10


Sample = TypeVar("Sample")


def _ks(gaps: FloatArray) -> float:
    """Kolmogorov–Smirnov distance of gaps to the unit exponential, times root n."""
    values = -np.expm1(-np.sort(gaps))
    n = values.size
    ranks = np.arange(1, n + 1) / n
    return float(max(np.max(ranks - values), np.max(values - ranks + 1.0 / n)) * math.sqrt(n))


def _ljung_box(gaps: FloatArray, n_lags: int) -> float:
    """Ljung–Box Q of the normal scores of the gaps: the same for every monotone scale of them."""
    from scipy import stats

    if gaps.size <= n_lags:
        raise DataError(f"{gaps.size} gaps for {n_lags} lags. Expected more. Pass fewer lags.")
    scores = stats.norm.ppf(stats.rankdata(gaps) / (gaps.size + 1.0))
    centred = scores - scores.mean()
    variance = float(centred @ centred)
    n = gaps.size
    total = 0.0
    for lag in range(1, n_lags + 1):
        total += (float(centred[lag:] @ centred[:-lag]) / variance) ** 2 / (n - lag)
    return n * (n + 2.0) * total


def _refit(fit: HawkesFit, sample: FloatArray, resolution_s: float) -> HawkesFit:
    again = refit_power_law if fit.kernel == "power law" else refit
    return again(fit, sample, resolution_s=resolution_s)


def _redrawn(fit: HawkesFit, rng: np.random.Generator) -> FloatArray:
    if fit.kernel == "power law":
        return simulate_power_law(
            float(fit.baseline[0]),
            fit.branching_ratio,
            exponent=fit.fit.value("exponent"),
            cutoff_s=fit.fit.value("cutoff"),
            duration_s=float(fit.edges_s[-1]),
            rng=rng,
        )
    return simulate_hawkes(
        fit.baseline,
        fit.branching,
        fit.decay,
        duration_s=float(fit.edges_s[-1]),
        rng=rng,
        edges_s=fit.edges_s,
    )


def _bootstrap(
    draw: Callable[[], Sample],
    statistic: Callable[[Sample], npt.ArrayLike],
    n_draws: int,
) -> FloatArray:
    check_whole("n_draws", n_draws, 1)
    rows = []
    for _ in range(n_draws):
        try:
            rows.append(statistic(draw()))
        except (DataError, ConvergenceError):
            continue
    return np.array(rows)


def _lost(draws: FloatArray, n_draws: int) -> str:
    """Why the samples do not suffice for a p-value; empty if they do."""
    if len(draws) >= n_draws / 2:
        return ""
    return (
        f"only {len(draws)} of {n_draws} bootstrap samples hold enough events to be fitted: few "
        f"events, or one burst that happens in few of them"
    )


def _check_same(fit: HawkesFit, times: FloatArray) -> None:
    if times.size != fit.fit.n_obs:
        raise DataError(
            f"{times.size} times for a fit of {fit.fit.n_obs} events. Expected the times that "
            f"were fitted. Pass those."
        )


def time_rescaling_tests(
    fit: HawkesFit,
    times_s: npt.ArrayLike,
    *,
    resolution_s: float,
    rng: np.random.Generator,
    n_draws: int = 99,
    n_lags: int = 10,
) -> tuple[HypothesisTest, HypothesisTest]:
    """Kolmogorov–Smirnov and Ljung–Box tests of the rescaled gaps.

    Parameters
    ----------
    fit : HawkesFit
        Any kernel, with a branching ratio below 1: one of 1 or more cannot be drawn from.
    times_s : array_like of shape (n,)
    resolution_s : float
    rng : numpy.random.Generator
    n_draws : int
        Samples drawn from the fit and refitted: p-values with fitted parameters would be too
        large without it.
    n_lags : int
        Of the Ljung–Box statistic, which takes the normal scores of the gaps.

    Returns
    -------
    tuple of HypothesisTest
        With a reason in place of a p-value where under half of the samples can be fitted.

    Raises
    ------
    DataError
        Other times than those of the fit.
    """
    null = "the rescaled gaps are independent unit exponentials"
    names = ("time rescaling, Kolmogorov-Smirnov", "time rescaling, Ljung-Box")
    check_whole("n_lags", n_lags, 1, fit.fit.n_obs - 1)
    if fit.branching_ratio >= _LARGEST_DRAWN:
        reason = "bootstrap needs a branching ratio below 1 to draw from"
        return invalid_test(names[0], null, reason), invalid_test(names[1], null, reason)

    def statistics(sample: FloatArray) -> tuple[float, float]:
        gaps = _refit(fit, sample, resolution_s).rescaled_gaps(sample)
        return _ks(gaps), _ljung_box(gaps, n_lags)

    gaps = fit.rescaled_gaps(times_s)
    _check_same(fit, gaps)
    draws = _bootstrap(lambda: _redrawn(fit, rng), statistics, n_draws)
    if reason := _lost(draws, n_draws):
        return invalid_test(names[0], null, reason), invalid_test(names[1], null, reason)
    return _against_draws(names, null, np.array([_ks(gaps), _ljung_box(gaps, n_lags)]), draws)


def _against_draws(
    names: tuple[str, str], null: str, actual: FloatArray, draws: FloatArray
) -> tuple[HypothesisTest, HypothesisTest]:
    p_values = (1.0 + (draws >= actual).sum(axis=0)) / (draws.shape[0] + 1.0)
    first, second = (
        HypothesisTest(
            name=name,
            statistic=float(value),
            null=null,
            distribution="bootstrap",
            p_value=float(p_value),
        )
        for name, value, p_value in zip(names, actual, p_values, strict=True)
    )
    return first, second


def multivariate_rescaling_tests(
    fit: MultivariateHawkes,
    times_s: npt.ArrayLike,
    types: npt.ArrayLike,
    *,
    resolution_s: float,
    rng: np.random.Generator,
    n_draws: int = 99,
) -> tuple[HypothesisTest, HypothesisTest]:
    """Tests of :func:`time_rescaling_tests` for several types at once.

    Parameters
    ----------
    fit : MultivariateHawkes
        Spectral radius below 1.
    times_s, types : array_like of shape (n,)
        What it was fitted to.
    resolution_s : float
    rng : numpy.random.Generator
    n_draws : int

    Returns
    -------
    tuple of HypothesisTest
        The statistic is the largest over the types, and so are those of the draws: one p-value
        for all types, with nothing left to adjust. Ljung–Box takes ten lags.
    """
    null = "the rescaled gaps of every type are independent unit exponentials"
    names = (
        "time rescaling, Kolmogorov-Smirnov, largest over types",
        "time rescaling, Ljung-Box, largest over types",
    )
    if fit.spectral_radius >= _LARGEST_DRAWN:
        reason = "bootstrap needs a spectral radius below 1 to draw from"
        return invalid_test(names[0], null, reason), invalid_test(names[1], null, reason)

    def largest(model: MultivariateHawkes, times: FloatArray, kinds: IntArray) -> FloatArray:
        gaps = model.rescaled_gaps(times, kinds)
        found = [(_ks(own), _ljung_box(own, _N_LAGS)) for own in gaps]
        return np.asarray(np.max(found, axis=0))

    def draw() -> tuple[FloatArray, IntArray]:
        parts = (fit.baseline, fit.branching, fit.decay)
        return simulate_multivariate(*parts, duration_s=fit.duration_s, rng=rng)

    def statistics(sample: tuple[FloatArray, IntArray]) -> FloatArray:
        times, kinds = sample
        again = fit_multivariate(
            times, kinds, fit.duration_s, names=fit.names, resolution_s=resolution_s
        )
        return largest(again, times, kinds)

    actual = largest(fit, np.asarray(times_s, dtype=np.float64), np.asarray(types))
    draws = _bootstrap(draw, statistics, n_draws)
    if reason := _lost(draws, n_draws):
        return invalid_test(names[0], null, reason), invalid_test(names[1], null, reason)
    return _against_draws(names, null, actual, draws)


def likelihood_ratio_test(
    fit: HawkesFit,
    times_s: npt.ArrayLike,
    *,
    resolution_s: float,
    rng: np.random.Generator,
    n_draws: int = 99,
) -> HypothesisTest:
    """Poisson against Hawkes on the fit's own baseline pieces; the null is on a boundary.

    Parameters are those of :func:`time_rescaling_tests`. The p-value comes from Poisson samples
    with the fitted piece rates, each fitted with and without excitation.
    """
    duration, edges = float(fit.edges_s[-1]), fit.edges_s
    lengths = np.diff(edges)

    def ratio(sample: FloatArray, fitted: HawkesFit | None = None) -> float:
        events = event_times(sample, duration, edges)
        counts = np.bincount(events.piece, minlength=lengths.size)
        some = counts > 0
        poisson = float(np.sum(counts[some] * np.log(counts[some] / lengths[some])) - sample.size)
        full = fitted or _refit(fit, sample, resolution_s)
        return max(0.0, 2.0 * (full.log_likelihood - poisson))

    times = np.asarray(times_s, dtype=np.float64)
    _check_same(fit, times)
    actual = ratio(times, fit)
    events = event_times(times, duration, edges)
    rates = np.bincount(events.piece, minlength=lengths.size) / lengths
    draws = _bootstrap(lambda: poisson_pieces(rates, edges, rng), ratio, n_draws)
    name, null = "Poisson against Hawkes", "events do not excite each other, given the baseline"
    if reason := _lost(draws, n_draws):
        return invalid_test(name, null, reason)
    p_value = (1.0 + np.sum(draws >= actual)) / (draws.size + 1.0)
    return HypothesisTest(
        name=name,
        statistic=actual,
        null=null,
        distribution="bootstrap",
        p_value=float(p_value),
    )
