"""Pieces of constant rate, and the Hawkes fit that the Schwarz criterion prefers over them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cascadelab.estimate.hawkes.fit import HawkesFit, fit_quietly, refit
from cascadelab.estimate.hawkes.inputs import check_whole
from cascadelab.estimate.hawkes.kernel import EventTimes, event_times
from cascadelab.units import FloatArray

__all__ = ["fit_on_windows", "fit_with_regimes", "rate_segments", "regime_score"]

#: Bins of equal length between which the rate may change; events in one of the bins by count.
_N_BINS, _FEWEST_IN_BIN = 256, 8


def rate_segments(
    times_s: npt.ArrayLike, duration_s: float, *, n_segments: int, n_bins: int = _N_BINS
) -> FloatArray:
    """Edges of the best split into pieces of constant Poisson rate.

    Parameters
    ----------
    times_s : array_like of shape (n,)
    duration_s : float
    n_segments : int
        Pieces, at least 1.
    n_bins : int
        Bins of equal length on whose edges a change may lie, and half as many of equal count, so
        that a burst much shorter than a bin is seen as well.

    Returns
    -------
    ndarray of shape (n_segments + 1,)
        From 0 to `duration_s`.

    Raises
    ------
    ParameterError
        Fewer than one segment, or more than bins.

    Notes
    -----
    Dynamic programming on binned counts; exact for the binned likelihood.
    """
    check_whole("n_segments", n_segments, 1, n_bins)
    events = event_times(times_s, duration_s)
    return _split(events, n_segments, n_bins)[n_segments - 1]


def _bin_edges(events: EventTimes, n_bins: int) -> FloatArray:
    """Edges of bins of equal length, and half as many of equal count between the events."""
    times = events.times_s
    per_bin = max(_FEWEST_IN_BIN, math.ceil(2 * times.size / n_bins))
    rows = np.arange(per_bin, times.size, per_bin)
    between = 0.5 * (times[rows - 1] + times[rows])
    even = np.linspace(0.0, events.duration_s, n_bins + 1)
    return np.unique(np.concatenate([even, between]))


def _split(events: EventTimes, n_segments: int, n_bins: int) -> list[FloatArray]:
    """Best edges for 1 to `n_segments` pieces."""
    at = _bin_edges(events, n_bins)
    total = np.searchsorted(events.times_s, at, side="left").astype(np.float64)
    total[-1] = events.n_events
    n_edges = at.size
    start, stop = np.meshgrid(np.arange(n_edges), np.arange(n_edges), indexing="ij")
    size, inside = at[stop] - at[start], total[stop] - total[start]
    cost = np.full(size.shape, np.inf)
    valid = size > 0
    busy = valid & (inside > 0)
    cost[valid] = 0.0
    cost[busy] = -inside[busy] * np.log(inside[busy] / size[busy])
    best = cost[0].copy()
    origin: list[npt.NDArray[np.int64]] = []
    edges = [at[[0, -1]]]
    for _ in range(1, n_segments):
        joined = best[:, None] + cost
        came_from = joined.argmin(axis=0)
        best = joined[came_from, np.arange(n_edges)]
        origin.append(came_from)
        path = [n_edges - 1]
        for step in reversed(origin):
            path.append(int(step[path[-1]]))
        edges.append(at[sorted({0, *path})])
    return edges


def fit_with_regimes(
    times_s: npt.ArrayLike, duration_s: float, *, resolution_s: float, most_pieces: int = 12
) -> tuple[HawkesFit, list[HawkesFit]]:
    """Exponential Hawkes fits on 1, 2, 3, ... rate pieces; the first returned has the least BIC.

    Parameters
    ----------
    times_s : array_like of shape (n,)
    duration_s, resolution_s : float
    most_pieces : int
        Largest number of pieces; also at most one per 25 events.

    Returns
    -------
    best : HawkesFit
    all_fits : list of HawkesFit
        In order of their number of pieces. Each change point counts as a parameter in the
        criterion.
    """
    events = event_times(times_s, duration_s)
    most = max(1, min(most_pieces, events.n_events // 25))
    fits: list[HawkesFit] = []
    for edges in _split(events, most, _N_BINS):
        fits.append(_piecewise(times_s, edges, resolution_s, fits))
    return fits[int(np.argmin([regime_score(fit) for fit in fits]))], fits


def fit_on_windows(
    near: HawkesFit, times_s: npt.ArrayLike, *, resolution_s: float, n_windows: int
) -> HawkesFit:
    """Exponential Hawkes fit with its own baseline in each of equal windows, one kernel for all.

    Takes a rate that drifts from window to window for what it is, and with it all excitation that
    lasts longer than a window: slow kernels lose part of their branching ratio.

    Parameters
    ----------
    near : HawkesFit
        Exponential fit of the same events; its kernel is the first start.
    times_s : array_like of shape (n,)
    resolution_s : float
    n_windows : int
        At least 1.
    """
    check_whole("n_windows", n_windows, 1)
    edges = np.linspace(0.0, float(near.edges_s[-1]), n_windows + 1)
    start = replace(near, edges_s=edges)
    starts = (start, replace(start, branching=np.array([0.3])))
    fits = [refit(first, times_s, resolution_s=resolution_s) for first in starts]
    return max(fits, key=lambda fit: fit.log_likelihood)


def regime_score(fit: HawkesFit) -> float:
    """Schwarz criterion with one parameter for every change point."""
    return fit.bic + (fit.edges_s.size - 2) * math.log(fit.fit.n_obs)


def _piecewise(
    times_s: npt.ArrayLike, edges: FloatArray, resolution_s: float, before: list[HawkesFit]
) -> HawkesFit:
    """Fit on given pieces, started from the kernels of the fits with fewer pieces as well."""
    duration_s = float(edges[-1])
    if not before:
        return fit_quietly(times_s, duration_s, resolution_s=resolution_s)
    starts = [replace(fit, edges_s=edges) for fit in (before[0], before[-1])]
    slow = replace(before[0], edges_s=edges, branching=np.array([0.1]))
    fits = [refit(start, times_s, resolution_s=resolution_s) for start in (*starts, slow)]
    return max(fits, key=lambda fit: fit.log_likelihood)
