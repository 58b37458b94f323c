"""Several event types that excite each other: liquidations of both sides, moves of both signs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import DataError
from cascadelab.estimate.hawkes.fit import _curvature, _minimise, _Problem, decay_bounds
from cascadelab.estimate.hawkes.kernel import _compensator, _gaps, event_times, excitation
from cascadelab.estimate.record import Record
from cascadelab.units import FloatArray, IntArray

if TYPE_CHECKING:
    import altair as alt

__all__ = ["MultivariateHawkes", "fit_multivariate"]


@dataclass(frozen=True, kw_only=True, eq=False)
class MultivariateHawkes(Record):
    """A fitted multivariate exponential Hawkes process.

    Parameters
    ----------
    names : tuple of str of length d
    baseline : ndarray of shape (d,)
        Events per second.
    branching : ndarray of shape (d, d)
        Mean number of row-type children of one column-type event.
    branching_error : ndarray of shape (d, d)
        Standard errors; NaN at a bound.
    decay : ndarray of shape (d,)
        beta of the receiving type, per second.
    log_likelihood : float
    n_events : int
    duration_s : float
    """

    names: tuple[str, ...]
    baseline: FloatArray
    branching: FloatArray
    branching_error: FloatArray
    decay: FloatArray
    log_likelihood: float
    n_events: int
    duration_s: float

    @property
    def spectral_radius(self) -> float:
        """Largest eigenvalue of the branching matrix: the loop gain of the system."""
        return float(np.abs(np.linalg.eigvals(self.branching)).max())

    def rescaled_gaps(self, times_s: npt.ArrayLike, types: npt.ArrayLike) -> tuple[FloatArray, ...]:
        """Compensator of each type between its own events; unit exponentials if the model holds.

        Parameters
        ----------
        times_s, types : array_like of shape (n,)

        Returns
        -------
        tuple of d ndarrays
            One value per event of the type, the first from the start of the window.
        """
        times, labels = event_times(times_s, self.duration_s).times_s, np.asarray(types)
        gaps = _gaps(times)
        out = []
        for kind, (rate, beta) in enumerate(zip(self.baseline, self.decay, strict=True)):
            step = rate * np.diff(times, prepend=0.0)
            for source in range(len(self.names)):
                flag = (labels == source).astype(np.float64)
                level, _ = excitation(gaps, flag, float(beta))
                before = np.concatenate([[0.0], level[:-1] + flag[:-1]])
                step += self.branching[kind, source] * before * -np.expm1(-beta * gaps)
            out.append(np.diff(np.cumsum(step)[labels == kind], prepend=0.0))
        return tuple(out)

    def to_frame(self) -> pl.DataFrame:
        """Return one row per pair: source, target, branching, std_error."""
        rows = [
            (source, target, float(self.branching[k, j]), float(self.branching_error[k, j]))
            for k, target in enumerate(self.names)
            for j, source in enumerate(self.names)
        ]
        return pl.DataFrame(
            rows, schema=["source", "target", "branching", "std_error"], orient="row"
        )

    def plot(self) -> alt.TopLevelMixin:
        """Altair heat map of the branching matrix with standard errors."""
        from cascadelab.charts.checks import matrix_chart

        frame = self.to_frame().rename({"branching": "value", "std_error": "error"})
        return matrix_chart(
            frame,
            axes=("type that excites", "type that is excited"),
            unit="children per event [1]",
            title=f"Who excites whom: spectral radius {self.spectral_radius:.3g}",
            words="Cells: mean children per event ± standard error",
        )

    def summary(self) -> Summary:
        """Return the spectral radius and every pair."""
        rows: list[tuple[str, object]] = [
            ("spectral radius", self.spectral_radius),
            ("events", self.n_events),
            ("log-likelihood", self.log_likelihood),
        ]
        return Summary(title="Multivariate Hawkes process", rows=rows, frame=self.to_frame())


def fit_multivariate(
    times_s: npt.ArrayLike,
    types: npt.ArrayLike,
    duration_s: float,
    *,
    names: Sequence[str],
    resolution_s: float,
) -> MultivariateHawkes:
    r"""Maximum likelihood of a multivariate exponential Hawkes process.

    Parameters
    ----------
    times_s : array_like of shape (n,)
        Sorted times of all types together.
    types : array_like of int of shape (n,)
        Position of each event's type in `names`.
    duration_s : float
    names : sequence of d str
    resolution_s : float

    Returns
    -------
    MultivariateHawkes

    Notes
    -----
    :math:`\lambda_k = \mu_k + \sum_l n_{kl}\beta_k \sum_{t_i<t, type\,l} e^{-\beta_k(t-t_i)}`. The
    likelihood splits by receiving type, so that d small problems are solved.
    """
    events = event_times(times_s, duration_s)
    labels = np.asarray(types)
    if labels.shape != events.times_s.shape or labels.dtype.kind not in "iu":
        raise DataError("types do not give one integer per event. Expected shape (n,).")
    if len(set(names)) != len(names) or not names:
        raise DataError(f"names are {list(names)}. Expected one distinct name per type. Pass them.")
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(
            f"types run from {labels.min()} to {labels.max()}. Expected 0 to {len(names) - 1}, the "
            f"positions in names. Number the types so."
        )
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 10:
        row = int(counts.argmin())
        raise DataError(f"{counts[row]} events of type {names[row]!r}. Expected at least 10.")
    flags = [(labels == kind).astype(np.float64) for kind in range(len(names))]
    parts = [
        _one_type(events.times_s, duration_s, flags, kind, resolution_s)
        for kind in range(len(names))
    ]
    return MultivariateHawkes(
        names=tuple(names),
        baseline=np.array([part[0][0] for part in parts]),
        branching=np.array([part[0][1:-1] for part in parts]),
        branching_error=np.array([part[1] for part in parts]),
        decay=np.array([part[0][-1] for part in parts]),
        log_likelihood=float(sum(part[2] for part in parts)),
        n_events=events.n_events,
        duration_s=events.duration_s,
    )


def _one_type(
    times: FloatArray, duration_s: float, flags: list[FloatArray], kind: int, resolution_s: float
) -> tuple[FloatArray, FloatArray, float]:
    gaps, left = _gaps(times), duration_s - float(times[-1])
    mine = np.flatnonzero(flags[kind] > 0)
    rate = math.log(mine.size / duration_s)
    low, high = decay_bounds(duration_s, resolution_s)

    def value_gradient(point: FloatArray) -> tuple[float, FloatArray]:
        return _type_likelihood(point, gaps, left, flags, mine, duration_s)

    def objective(search: FloatArray) -> tuple[float, FloatArray]:
        point = np.concatenate([[math.exp(search[0])], search[1:-1], [math.exp(search[-1])]])
        value, slope = value_gradient(point)
        slope[0] *= point[0]
        slope[-1] *= point[-1]
        return -value / mine.size, -slope / mine.size

    n_types = len(flags)
    bounds = [(rate - 25.0, rate + 8.0), *[(0.0, 5.0)] * n_types, (math.log(low), math.log(high))]
    starts = [
        np.concatenate([[rate - 0.5], np.full(n_types, 0.4 / n_types), [centre]])
        for centre in np.quantile([math.log(low), math.log(high)], [0.3, 0.6])
    ]
    names = ("baseline", *(f"from {j}" for j in range(n_types)), "decay")
    problem = _Problem(names=names, bounds=bounds, objective=objective, starts=starts)
    best, loss = _minimise(problem)
    point = np.concatenate([[math.exp(best[0])], best[1:-1], [math.exp(best[-1])]])
    limits = np.array(bounds)
    fixed = (best - limits[:, 0] < 1e-6) | (limits[:, 1] - best < 1e-6)
    is_ratio = np.repeat([False, True, False], [1, n_types, 1])
    cov = _curvature(lambda at: value_gradient(at)[1], point, fixed, is_ratio)
    return point, np.sqrt(np.diag(cov))[1:-1], -loss * mine.size


def _type_likelihood(
    point: FloatArray,
    gaps: FloatArray,
    left_s: float,
    flags: list[FloatArray],
    mine: IntArray,
    duration_s: float,
) -> tuple[float, FloatArray]:
    baseline, branching, decay = float(point[0]), point[1:-1], float(point[-1])
    intensity = np.full(mine.size, baseline)
    levels, slopes, integrals, d_integrals = [], [], [], []
    for n, flag in zip(branching.tolist(), flags, strict=True):
        level, slope = excitation(gaps, flag, decay)
        end = (float(flag[-1]), float(level[-1]), float(slope[-1]), float(flag.sum()))
        value, d_value = _compensator(left_s, *end, decay)
        intensity = intensity + n * decay * level[mine]
        levels.append(level[mine])
        slopes.append(slope[mine])
        integrals.append(value)
        d_integrals.append(d_value)
    share = 1.0 / intensity
    jumps = branching * decay
    total = float(np.log(intensity).sum()) - baseline * duration_s - float(jumps @ integrals)
    d_jump = np.array([share @ level for level in levels]) - np.array(integrals)
    d_shape = np.array([share @ slope for slope in slopes]) - np.array(d_integrals)
    d_decay = float(d_jump @ branching + jumps @ d_shape)
    return total, np.concatenate([[share.sum() - duration_s], d_jump * decay, [d_decay]])
