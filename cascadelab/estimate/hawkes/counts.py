"""Cross-checks on counts: the variance ratio, INAR regressions, and counts per engine step."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import check_moves, vector
from cascadelab.estimate.covariance import Hac
from cascadelab.estimate.hawkes.inputs import check_positive, check_whole
from cascadelab.estimate.hawkes.kernel import event_times
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.result import FitResult
from cascadelab.units import FloatArray

__all__ = ["count_branching", "event_counts", "inar", "step_counts"]

_MOST_BINS = 10_000_000


def event_counts(times_s: npt.ArrayLike, duration_s: float, *, bin_s: float) -> FloatArray:
    """Events per whole bin, shape (n_bins,); a last bin that is not whole is left out."""
    check_positive(bin_s=bin_s)
    events = event_times(times_s, duration_s)
    n_bins = math.floor(duration_s / bin_s + 1e-9)
    if not 1 <= n_bins <= _MOST_BINS:
        raise ParameterError(
            f"bin_s is {bin_s:g} in a window of {duration_s:g} s; expected 1 to {_MOST_BINS:,} "
            f"bins. Pass a {'longer' if n_bins > 1 else 'shorter'} bin."
        )
    edges = np.arange(n_bins + 1) * bin_s
    inside = events.times_s[events.times_s < edges[-1]]
    index = np.minimum(np.searchsorted(edges, inside, side="right") - 1, n_bins - 1)
    return np.bincount(index, minlength=n_bins).astype(np.float64)


def step_counts(
    times_s: npt.ArrayLike, duration_s: float, *, period_s: float
) -> tuple[FloatArray, float]:
    """Events per step of a release clock, first to last step with an event.

    Every event goes to the nearest release, so that rounding of the stamps, a small error of the
    period or jitter does not move it to the step before.

    Parameters
    ----------
    times_s : array_like of shape (n,)
    duration_s : float
    period_s : float
        Of the clock or a fraction of it, as a periodogram with a longest period may give.

    Returns
    -------
    counts : ndarray of shape (n_steps,)
    step_s : float
        Length of a step: `period_s`, or the multiple of it on which every event lies.
    """
    check_positive(period_s=period_s)
    times = event_times(times_s, duration_s).times_s
    turns = np.exp(2j * np.pi * times / period_s)
    phase = float(np.angle(turns.sum())) / (2.0 * np.pi)
    step = np.round(times / period_s - phase).astype(np.int64)
    step -= step[0]
    multiple = max(int(np.gcd.reduce(step)), 1)
    return np.bincount(step // multiple).astype(np.float64), multiple * period_s


def count_branching(times_s: npt.ArrayLike, duration_s: float, *, window_s: float) -> float:
    r"""Branching ratio from the variance of counts in long windows.

    Parameters
    ----------
    times_s : array_like of shape (n,)
    duration_s : float
    window_s : float
        Long against the kernel; at least 10 windows must fit.

    Returns
    -------
    float
        0 where counts vary less than a Poisson process, or not at all.

    Notes
    -----
    :math:`n \approx 1 - \sqrt{\mathrm{mean}/\mathrm{variance}}`, Hardiman and Bouchaud (2014),
    doi:10.1103/PhysRevE.90.062807. Switching rates raise the variance too: a cross-check only.
    """
    counts = event_counts(times_s, duration_s, bin_s=window_s)
    if counts.size < 10:
        raise ParameterError(f"{counts.size} windows fit. Expected at least 10. Shorten window_s.")
    variance = float(counts.var(ddof=1))
    if variance == 0:
        return 0.0
    return max(0.0, 1.0 - math.sqrt(float(counts.mean()) / variance))


def inar(counts: npt.ArrayLike, *, n_lags: int) -> FitResult:
    """INAR regression of counts on their lags by OLS; the branching ratio is the sum of lags.

    Parameters
    ----------
    counts : array_like of shape (n_bins,)
        Events per bin. Biased down unless bins are short against the kernel; with bins of one
        engine step it is the right model for an engine that releases orders in batches.
    n_lags : int
        Bins looked back.

    Returns
    -------
    FitResult
        Terms ``immigration per bin`` and ``branching ratio``; HAC errors.

    Notes
    -----
    Kirchner (2016), doi:10.1016/j.spa.2016.01.006.
    """
    values = vector(counts, "counts")
    bad = (values < 0) | (values != np.floor(values))
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"counts, row {row}, is {values[row]:g}. Expected whole numbers of at least 0. Count "
            f"the events of each bin."
        )
    check_moves(values, "counts")
    check_whole("n_lags", n_lags, 1)
    if values.size < 5 * n_lags + 10:
        raise ParameterError(
            f"n_lags is {n_lags} on {values.size} bins; expected five bins per lag and ten more. "
            f"Pass fewer lags or more bins."
        )
    rows = np.arange(n_lags, values.size)
    lagged = np.column_stack([values[rows - lag] for lag in range(1, n_lags + 1)])
    names = [f"lag {lag}" for lag in range(1, n_lags + 1)]
    labels = Labels(outcome="events per bin", outcome_unit="1")
    full = ols(values[rows], lagged, names=names, errors=Hac(), labels=labels)
    total = np.zeros((2, n_lags + 1))
    total[0, 0], total[1, 1:] = 1.0, 1.0
    return FitResult(
        model=f"INAR({n_lags}) regression of counts",
        outcome="events per bin",
        terms=("immigration per bin", "branching ratio"),
        estimate=total @ full.estimate,
        cov=total @ full.cov @ total.T,
        n_obs=rows.size,
        cov_type=full.cov_type,
        units=("1", "1"),
        reach=full.reach,
    )
