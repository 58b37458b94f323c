"""Maximum likelihood with guards: bounded decays, several starts, errors from the curvature."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import ConvergenceError, DataError, ParameterError
from cascadelab.estimate.hawkes.inputs import check_whole
from cascadelab.estimate.hawkes.kernel import (
    EventTimes,
    event_times,
    rescaled_gaps,
    value_and_gradient,
)
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import FitResult, critical_value
from cascadelab.estimate.warn import TiedEventsWarning
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = ["HawkesFit", "fit_exponential", "fit_sum_of_exponentials", "refit"]

#: Branching ratios are searched up to here: above 1 the process explodes, and may still be fitted.
_LARGEST_BRANCHING = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class HawkesFit(Record):
    """A fitted univariate Hawkes process.

    Parameters
    ----------
    fit : FitResult
        Baselines, then kernel parameters, with errors from the curvature of the likelihood.
    kernel : str
        ``"exponential"``, ``"sum of exponentials"`` or ``"power law"``.
    log_likelihood : float
    baseline : ndarray of shape (n_pieces,)
        Events per second.
    branching, decay : ndarray of shape (m,)
        Exponentials of the kernel; for a power law the nodes that stand for it.
    branching_error : float
        Standard error of the branching ratio; NaN where a parameter sits on its bound.
    edges_s : ndarray of shape (n_pieces + 1,)
    at_bound : tuple of str
        Parameters that stopped at an end of their range.
    ridge : float
        Weight of the ridge of a power-law fit; 0 for exponentials.
    """

    fit: FitResult
    kernel: str
    log_likelihood: float
    baseline: FloatArray
    branching: FloatArray
    decay: FloatArray
    branching_error: float
    edges_s: FloatArray
    at_bound: tuple[str, ...] = ()
    ridge: float = 0.0

    @property
    def branching_ratio(self) -> float:
        """n: mean number of events that one event causes; the endogenous share if below 1."""
        if self.kernel == "power law":
            return self.fit.value("branching ratio")
        return float(self.branching.sum())

    @property
    def n_parameters(self) -> int:
        """Number of estimated parameters."""
        return len(self.fit.terms)

    @property
    def bic(self) -> float:
        """Schwarz criterion; smaller is better."""
        return self.n_parameters * math.log(self.fit.n_obs) - 2.0 * self.log_likelihood

    def branching_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the branching ratio, cut at 0; NaN where the error is not available."""
        half = critical_value(level) * self.branching_error
        return max(self.branching_ratio - half, 0.0), self.branching_ratio + half

    def rescaled_gaps(self, times_s: npt.ArrayLike) -> FloatArray:
        """Compensator between the events, shape (n,)."""
        events = event_times(times_s, float(self.edges_s[-1]), self.edges_s)
        return rescaled_gaps(events, self.baseline, self.branching, self.decay)

    def to_frame(self) -> pl.DataFrame:
        """Return the parameters, one row each."""
        return self.fit.to_frame()

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the parameters with 95 % intervals."""
        return self.fit.plot()

    def summary(self) -> Summary:
        """Return branching ratio with interval, likelihood and parameters."""
        low, high = self.branching_interval()
        rows: list[tuple[str, object]] = [
            ("events", self.fit.n_obs),
            ("branching ratio", self.branching_ratio),
            ("95 % interval", f"[{low:.4g}, {high:.4g}]"),
            ("log-likelihood", self.log_likelihood),
            ("BIC", self.bic),
            ("baseline pieces", int(self.baseline.size)),
        ]
        notes = [f"At its bound: {', '.join(self.at_bound)}."] if self.at_bound else []
        notes.append(
            "A branching ratio near 1 needs the guards: engine clock, switching rates, "
            "censoring (branching_report)."
        )
        return Summary(
            title=f"Hawkes process, {self.kernel} kernel",
            rows=rows,
            frame=self.to_frame(),
            notes=notes,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Problem:
    """Free parameters on the search scale, their bounds and the objective (minus log L over n)."""

    names: tuple[str, ...]
    bounds: list[tuple[float, float]]
    objective: Callable[[FloatArray], tuple[float, FloatArray]]
    starts: list[FloatArray]


def decay_bounds(duration_s: float, resolution_s: float) -> tuple[float, float]:
    """Decays that the window and the clock can tell apart: ``[10/T, 1/resolution]``."""
    low = 10.0 / duration_s
    high = 1.0 / resolution_s if resolution_s > 0 else math.nan
    if not 0 < low < high:
        raise ParameterError(
            f"resolution_s is {resolution_s:g} in a window of {duration_s:g} s; expected less than "
            f"a tenth of the window. Pass the clock's resolution."
        )
    return low, high


def fit_exponential(
    times_s: npt.ArrayLike,
    duration_s: float,
    *,
    resolution_s: float,
    edges_s: npt.ArrayLike | None = None,
) -> HawkesFit:
    """Exponential kernel: baseline, branching ratio n, decay beta.

    Parameters
    ----------
    times_s : array_like of shape (n,)
        Sorted event times in [0, duration_s], seconds.
    duration_s : float
    resolution_s : float
        Resolution of the time stamps; beta is bounded to ``[10/T, 1/resolution]``, since the
        unbounded maximum on pure Poisson data was n = 1.00 with beta = 1.5e-5.
    edges_s : array_like, optional
        Edges of pieces with their own baseline; default one piece.

    Returns
    -------
    HawkesFit

    Raises
    ------
    ConvergenceError
        No start converged.
    """
    return fit_sum_of_exponentials(
        times_s, duration_s, resolution_s=resolution_s, n_exponentials=1, edges_s=edges_s
    )


def fit_sum_of_exponentials(
    times_s: npt.ArrayLike,
    duration_s: float,
    *,
    resolution_s: float,
    n_exponentials: int = 2,
    edges_s: npt.ArrayLike | None = None,
) -> HawkesFit:
    """Sum of exponentials; parameters of :func:`fit_exponential` and their number."""
    check_whole("n_exponentials", n_exponentials, 1)
    events = event_times(times_s, duration_s, edges_s)
    _warn_ties(events)
    return _fit(events, n_exponentials, resolution_s, None)


def _warn_ties(events: EventTimes) -> None:
    share = float(np.mean(np.diff(events.times_s) == 0))
    if share > 0.01:
        text = (
            f"{share:.0%} of the events are stamped at the time of another; batches and coarse "
            f"stamps look like excitation. Use branching_report, which looks for a clock."
        )
        warnings.warn(text, TiedEventsWarning, stacklevel=3)


def fit_quietly(times_s: npt.ArrayLike, duration_s: float, *, resolution_s: float) -> HawkesFit:
    """Exponential fit on one piece without the warning on ties; the report looks for a clock."""
    return _fit(event_times(times_s, duration_s), 1, resolution_s, None)


def refit(near: HawkesFit, times_s: npt.ArrayLike, *, resolution_s: float) -> HawkesFit:
    """Fit the same model of exponentials to other times, started at the parameters of `near`."""
    events = event_times(times_s, float(near.edges_s[-1]), near.edges_s)
    return _fit(events, near.branching.size, resolution_s, near)


def _fit(
    events: EventTimes, n_exponentials: int, resolution_s: float, near: HawkesFit | None
) -> HawkesFit:
    if events.n_events < 5 * (1 + 2 * n_exponentials):
        raise DataError(
            f"{events.n_events} events for {n_exponentials} exponentials. Expected at least five "
            f"events per parameter. Use a longer window."
        )
    problem = _exponential_problem(events, n_exponentials, resolution_s, near)
    best, loss = _minimise(problem)
    pieces = events.piece_lengths_s.size
    baseline = np.exp(best[:pieces])
    branching, decay = (
        best[pieces : pieces + n_exponentials],
        np.exp(best[pieces + n_exponentials :]),
    )
    order = np.argsort(-decay)
    branching, decay = branching[order], decay[order]
    natural = np.concatenate([baseline, branching, decay])
    names = _names(pieces, n_exponentials)
    at_bound = _at_bound(problem, best)

    def gradient(point: FloatArray) -> FloatArray:
        parts = np.split(point, [pieces, pieces + n_exponentials])
        return np.concatenate(value_and_gradient(events, *parts)[1:])

    is_fixed = np.zeros(natural.size, dtype=bool)
    is_fixed[pieces:] = _is_fixed(problem, best)[pieces:][
        np.concatenate([order, order + len(order)])
    ]
    is_ratio = np.repeat([False, True, False], [pieces, n_exponentials, n_exponentials])
    cov = _curvature(gradient, natural, is_fixed, is_ratio)
    block = cov[pieces : pieces + n_exponentials, pieces : pieces + n_exponentials]
    error = math.sqrt(max(float(block.sum()), 0.0)) if np.isfinite(block).all() else math.nan
    units = ("per second",) * pieces + ("1",) * n_exponentials + ("per second",) * n_exponentials
    kernel = "exponential" if n_exponentials == 1 else "sum of exponentials"
    return HawkesFit(
        fit=_result(names, natural, cov, units, events),
        kernel=kernel,
        log_likelihood=-loss * events.n_events,
        baseline=baseline,
        branching=branching,
        decay=decay,
        branching_error=error,
        edges_s=events.edges_s,
        at_bound=at_bound,
    )


def _names(pieces: int, count: int) -> tuple[str, ...]:
    base = ("baseline",) if pieces == 1 else tuple(f"baseline {i + 1}" for i in range(pieces))
    if count == 1:
        return (*base, "branching ratio", "decay")
    ratios = tuple(f"branching {i + 1}" for i in range(count))
    return (*base, *ratios, *(f"decay {i + 1}" for i in range(count)))


def _exponential_problem(
    events: EventTimes, count: int, resolution_s: float, near: HawkesFit | None
) -> _Problem:
    low, high = decay_bounds(events.duration_s, resolution_s)
    pieces, n = events.piece_lengths_s.size, float(events.n_events)
    rate = n / events.duration_s
    bounds = [(math.log(rate) - 25.0, math.log(rate) + 8.0)] * pieces
    bounds += [(0.0, _LARGEST_BRANCHING)] * count + [(math.log(low), math.log(high))] * count

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        baseline, decay = np.exp(point[:pieces]), np.exp(point[pieces + count :])
        branching = point[pieces : pieces + count]
        value, d_base, d_branch, d_decay = value_and_gradient(events, baseline, branching, decay)
        gradient = np.concatenate([d_base * baseline, d_branch, d_decay * decay])
        return -value / n, -gradient / n

    counts = np.bincount(events.piece, minlength=pieces)
    local = np.log(np.maximum(counts, 0.5) / events.piece_lengths_s)
    starts = []
    for position in (0.15, 0.5, 0.85):
        for total in (0.2, 0.7):
            centre = math.log(low) + position * (math.log(high) - math.log(low))
            spread = np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)
            decays = np.clip(centre + 1.5 * spread, math.log(low), math.log(high))
            start = (local + math.log1p(-total), np.full(count, total / count), decays)
            starts.append(np.concatenate(start))
    if near is not None:
        decays = np.clip(np.log(near.decay), math.log(low), math.log(high))
        ratio = np.clip(near.branching, 0.05, 0.95)
        base = local + math.log(max(1.0 - float(ratio.sum()), 0.05))
        starts = [np.concatenate([base, ratio, decays])]
    return _Problem(names=_names(pieces, count), bounds=bounds, objective=objective, starts=starts)


def _minimise(problem: _Problem) -> tuple[FloatArray, float]:
    from scipy import optimize

    best: tuple[FloatArray, float] | None = None
    last = float("nan")
    for start in problem.starts:
        found = optimize.minimize(
            problem.objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=problem.bounds,
            options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
        )
        last = float(found.fun)
        if not np.isfinite(found.fun):
            continue
        if best is None or found.fun < best[1] - 1e-12:
            best = (np.asarray(found.x), float(found.fun))
    if best is None:
        raise ConvergenceError(
            f"None of {len(problem.starts)} starts gave a finite likelihood. Expected one. "
            f"Check the times and the resolution.",
            last,
            len(problem.starts),
        )
    return best


def _is_fixed(problem: _Problem, point: FloatArray) -> npt.NDArray[np.bool_]:
    low, high = np.array(problem.bounds).T
    near = 1e-6 * (high - low)
    return np.asarray((point - low <= near) | (high - point <= near))


def _at_bound(problem: _Problem, point: FloatArray) -> tuple[str, ...]:
    hit = _is_fixed(problem, point)
    return tuple(name for name, flag in zip(problem.names, hit, strict=True) if flag)


def _curvature(
    gradient: Callable[[FloatArray], FloatArray],
    point: FloatArray,
    is_fixed: npt.NDArray[np.bool_],
    is_ratio: npt.NDArray[np.bool_],
) -> FloatArray:
    """Inverse of the observed information of the free parameters; NaN for those on a bound.

    Steps are relative, since rates per second can be of any size; ratios compare to 1.
    """
    least = np.where(is_ratio, 1e-3, 0.0)
    free = np.flatnonzero(~is_fixed)
    information = np.empty((free.size, free.size))
    for column, index in enumerate(free):
        step = 1e-5 * max(float(point[index]), float(least[index]))
        up, down = point.copy(), point.copy()
        up[index] += step
        down[index] -= step
        information[:, column] = -((gradient(up) - gradient(down)) / (2.0 * step))[free]
    information = 0.5 * (information + information.T)
    cov = np.full((point.size, point.size), np.nan)
    diagonal = np.diag(information)
    if not (np.isfinite(information).all() and (diagonal > 0).all()):
        return cov
    scale = np.sqrt(diagonal)
    scaled = information / np.outer(scale, scale)
    if free.size and np.linalg.eigvalsh(scaled)[0] > 1e-10:
        cov[np.ix_(free, free)] = np.linalg.inv(scaled) / np.outer(scale, scale)
    return cov


def _result(
    names: tuple[str, ...],
    point: FloatArray,
    cov: FloatArray,
    units: tuple[str, ...],
    events: EventTimes,
) -> FitResult:
    return FitResult(
        model="Hawkes process by maximum likelihood",
        outcome="event times [s]",
        terms=names,
        estimate=point.copy(),
        cov=cov,
        n_obs=events.n_events,
        cov_type="inverse observed information; not available at a bound",
        units=units,
        sample=f"{events.n_events} events in {events.duration_s:g} s",
    )
