"""The power-law kernel: fitted as a sum of exponentials, with a weak ridge."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.hawkes.fit import (
    _LARGEST_BRANCHING,
    HawkesFit,
    _at_bound,
    _curvature,
    _is_fixed,
    _minimise,
    _Problem,
    _result,
    decay_bounds,
)
from cascadelab.estimate.hawkes.kernel import (
    EventTimes,
    event_times,
    mixture_log_likelihood,
    power_law_nodes,
)
from cascadelab.units import FloatArray

__all__ = ["fit_power_law", "refit_power_law"]

_NAMES = ("baseline", "branching ratio", "exponent", "cutoff")
_IS_RATIO = np.array([False, True, False, False])


def fit_power_law(
    times_s: npt.ArrayLike,
    duration_s: float,
    *,
    resolution_s: float,
    ridge: float = 0.01,
) -> HawkesFit:
    """Power-law kernel ``n eps tau**eps / (t + tau)**(1 + eps)``.

    Parameters
    ----------
    times_s : array_like of shape (n,)
    duration_s : float
    resolution_s : float
        tau is bounded to [resolution, T/10], eps to [0.05, 5].
    ridge : float
        Weight of ``(ln eps)**2`` and of the squared distance of ln tau from the middle of its
        range, per fit: window edges make both weakly identified. 0 switches it off.

    Returns
    -------
    HawkesFit
        Terms baseline, branching ratio, exponent, cutoff. The kernel is summed by exponentials
        (:func:`~.kernel.power_law_nodes`), so that the cost stays linear in n.
    """
    if not (math.isfinite(ridge) and ridge >= 0):
        raise ParameterError(
            f"ridge is {ridge!r}; expected a finite number of at least 0. Pass such a number."
        )
    return _fit(event_times(times_s, duration_s), resolution_s, ridge, None)


def refit_power_law(near: HawkesFit, times_s: npt.ArrayLike, *, resolution_s: float) -> HawkesFit:
    """Fit the same power law to other times, started at the parameters of `near`."""
    events = event_times(times_s, float(near.edges_s[-1]))
    return _fit(events, resolution_s, near.ridge, near)


def _fit(
    events: EventTimes, resolution_s: float, ridge: float, near: HawkesFit | None
) -> HawkesFit:
    if events.n_events < 20:
        raise DataError(f"{events.n_events} events. Expected at least 20 for four parameters.")
    duration_s = events.duration_s
    low, high = decay_bounds(duration_s, resolution_s)
    rate = math.log(events.n_events / duration_s)
    middle = 0.5 * (math.log(resolution_s) + math.log(duration_s / 10.0))
    bounds = [(rate - 25.0, rate + 8.0), (0.0, _LARGEST_BRANCHING)]
    bounds += [(math.log(0.05), math.log(5.0)), (-math.log(high), -math.log(low))]

    def log_l(point: FloatArray) -> float:
        mu, n, exponent, cutoff = point
        weight, decay = power_law_nodes(float(exponent), float(cutoff), duration_s)
        return mixture_log_likelihood(events, float(mu), n * weight, decay)

    def loss(search: FloatArray) -> float:
        point = np.array([math.exp(search[0]), search[1], math.exp(search[2]), math.exp(search[3])])
        penalty = ridge * (search[2] ** 2 + (search[3] - middle) ** 2)
        return -(log_l(point) - float(penalty)) / events.n_events

    def objective(search: FloatArray) -> tuple[float, FloatArray]:
        return loss(search), _differences(loss, search, np.array(bounds), np.full(4, 1e-2))

    starts = [
        np.array([rate + math.log1p(-n), n, 0.0, middle + shift])
        for n, shift in ((0.5, -0.5), (0.5, -3.0))
    ]
    if near is not None:
        _, n, exponent, cutoff = near.fit.estimate.tolist()
        n = min(max(n, 0.05), 0.95)
        starts = [np.array([rate + math.log1p(-n), n, math.log(exponent), math.log(cutoff)])]
    problem = _Problem(names=_NAMES, bounds=bounds, objective=objective, starts=starts)
    best, _ = _minimise(problem)
    natural = np.array([math.exp(best[0]), best[1], math.exp(best[2]), math.exp(best[3])])
    wide = np.array([(0.0, np.inf)] * 4)

    def gradient(point: FloatArray) -> FloatArray:
        return _differences(log_l, point, wide, np.where(_IS_RATIO, 1e-2, 0.0))

    cov = _curvature(gradient, natural, _is_fixed(problem, best), _IS_RATIO)
    weight, decay = power_law_nodes(float(natural[2]), float(natural[3]), duration_s)
    units = ("per second", "1", "1", "s")
    return HawkesFit(
        fit=_result(_NAMES, natural, cov, units, events),
        kernel="power law",
        log_likelihood=log_l(natural),
        baseline=natural[:1].copy(),
        branching=natural[1] * weight,
        decay=decay,
        branching_error=math.sqrt(cov[1, 1]) if cov[1, 1] > 0 else math.nan,
        edges_s=events.edges_s,
        at_bound=_at_bound(problem, best),
        ridge=ridge,
    )


def _differences(
    function: Callable[[FloatArray], float],
    point: FloatArray,
    bounds: FloatArray,
    least: FloatArray,
) -> FloatArray:
    """Central differences inside the bounds; steps as for values of `least` or more in size."""
    out = np.empty(point.size)
    for index in range(point.size):
        step = 1e-5 * max(abs(float(point[index])), float(least[index]))
        up, down = point.copy(), point.copy()
        up[index] = min(up[index] + step, bounds[index, 1])
        down[index] = max(down[index] - step, bounds[index, 0])
        out[index] = (function(up) - function(down)) / (up[index] - down[index])
    return out
