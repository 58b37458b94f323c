"""The Hawkes likelihood and its gradient in O(n), vectorised across blocks of events."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import vector
from cascadelab.units import FloatArray, IntArray

__all__ = [
    "EventTimes",
    "event_times",
    "excitation",
    "excitation_by_event",
    "log_likelihood",
    "mixed_excitation",
    "mixture_log_likelihood",
    "power_law_nodes",
    "rescaled_gaps",
    "value_and_gradient",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EventTimes:
    """Checked event times with the pieces of the baseline they fall in.

    Parameters
    ----------
    times_s : ndarray of shape (n,)
        Non-decreasing, in [0, duration_s].
    duration_s : float
        Length of the observation window.
    edges_s : ndarray of shape (n_pieces + 1,)
        Edges of the pieces on which the baseline is constant, from 0 to `duration_s`.
    piece : ndarray of int of shape (n,)
        Piece of each event.
    """

    times_s: FloatArray
    duration_s: float
    edges_s: FloatArray
    piece: IntArray

    @property
    def n_events(self) -> int:
        """Number of events."""
        return int(self.times_s.size)

    @property
    def piece_lengths_s(self) -> FloatArray:
        """Length of each piece, shape (n_pieces,)."""
        return np.diff(self.edges_s)


def event_times(
    times_s: npt.ArrayLike, duration_s: float, edges_s: npt.ArrayLike | None = None
) -> EventTimes:
    """Return event times after checking order, range and edges.

    Raises
    ------
    DataError
        Fewer than two events, a time outside the window, times not sorted, or bad edges.
    """
    times = vector(times_s, "event times")
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise DataError(f"duration_s is {duration_s!r}. Expected a positive number of seconds.")
    if times.size < 2:
        raise DataError("One event only. Expected at least two. Use a longer window.")
    if (np.diff(times) < 0).any():
        row = int((np.diff(times) < 0).argmax()) + 1
        raise DataError(f"Event {row} at {times[row]:g} is before the one above. Sort the times.")
    if times[0] == times[-1]:
        raise DataError(f"All events are at {times[0]:g} s. Expected distinct times. Check them.")
    if times[0] < 0 or times[-1] > duration_s:
        raise DataError(
            f"Events run from {times[0]:g} to {times[-1]:g} s. Expected [0, {duration_s:g}]. "
            f"Subtract the start of the window."
        )
    edges = np.array([0.0, duration_s]) if edges_s is None else vector(edges_s, "edges")
    if edges[0] != 0 or edges[-1] != duration_s or (np.diff(edges) <= 0).any():
        raise DataError("Edges must rise from 0 to the duration. Pass such edges.")
    piece = np.searchsorted(edges[1:-1], times, side="right").astype(np.int64)
    return EventTimes(times_s=times, duration_s=float(duration_s), edges_s=edges, piece=piece)


def excitation_by_event(
    gaps: FloatArray, weights: FloatArray, decay: float
) -> tuple[FloatArray, FloatArray]:
    """Plain loop over events: the slow, readable twin of :func:`excitation`."""
    level, slope, before = 0.0, 0.0, 0.0
    out, slopes = np.empty_like(gaps), np.empty_like(gaps)
    for position, gap in enumerate(gaps.tolist()):
        factor = math.exp(-decay * gap)
        level = factor * (level + before)
        slope = factor * slope - gap * level
        out[position], slopes[position] = level, slope
        before = float(weights[position])
    return out, slopes


def excitation(
    gaps: FloatArray, weights: FloatArray, decay: float
) -> tuple[FloatArray, FloatArray]:
    r"""Decayed sum of past weights at each event, and its derivative in the decay.

    Parameters
    ----------
    gaps : ndarray of shape (n,)
        Time since the event before; the first is ignored.
    weights : ndarray of shape (n,)
        What each event adds.
    decay : float
        beta, per unit of time.

    Returns
    -------
    level, slope : ndarray of shape (n,)
        :math:`R_i = \sum_{j<i} w_j e^{-\beta(t_i-t_j)}` and :math:`dR_i/d\beta`.

    Notes
    -----
    :math:`R_i = e^{-\beta\Delta_i}(R_{i-1}+w_{i-1})`,
    :math:`R'_i = e^{-\beta\Delta_i} R'_{i-1} - \Delta_i R_i`. Events are laid out as about
    :math:`\sqrt n` blocks side by side: one pass finds what each block hands on, a second starts
    each block with what it receives. Nothing is rescaled, so that nothing overflows.
    """
    n_events = gaps.size
    gap, weight = _laid_out(gaps), _laid_out(np.concatenate([[0.0], weights[:-1]]))
    n_blocks = gap.shape[1]
    factor = np.exp(-decay * gap)
    level, slope = np.zeros(n_blocks), np.zeros(n_blocks)
    level, slope = _blocks(gap, weight, factor, level, slope)
    span = gap.sum(axis=0)
    passed = np.exp(-decay * span)
    starts = np.zeros((2, n_blocks))
    carry, carry_slope = 0.0, 0.0
    for block in range(n_blocks - 1):
        kept = float(passed[block])
        carry_slope = float(slope[block]) + kept * (carry_slope - float(span[block]) * carry)
        carry = float(level[block]) + kept * carry
        starts[:, block + 1] = carry, carry_slope
    out, slopes = np.empty_like(gap), np.empty_like(gap)
    _blocks(gap, weight, factor, starts[0], starts[1], out, slopes)
    return out.T.ravel()[:n_events], slopes.T.ravel()[:n_events]


def _laid_out(values: FloatArray) -> FloatArray:
    """Values as side-by-side blocks, one per column, the first value and the end padded by 0."""
    length = max(1, math.isqrt(values.size) // 2)
    n_blocks = -(-values.size // length)
    padded = np.zeros(n_blocks * length)
    padded[1 : values.size] = values[1:]
    return np.ascontiguousarray(padded.reshape(n_blocks, length).T)


def _blocks(
    gap: FloatArray,
    weight: FloatArray,
    factor: FloatArray,
    level: FloatArray,
    slope: FloatArray,
    *keep: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Run the recursion down all blocks at once; store rows in `keep` when given."""
    level, slope, moved = level.copy(), slope.copy(), np.empty_like(level)
    for row in range(gap.shape[0]):
        level += weight[row]
        level *= factor[row]
        np.multiply(gap[row], level, out=moved)
        slope *= factor[row]
        slope -= moved
        if keep:
            keep[0][row] = level
            keep[1][row] = slope
    return level, slope


def mixed_excitation(
    gaps: FloatArray, jumps: FloatArray, decays: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Excitation summed over many exponentials of unit-weight events, without derivatives.

    Parameters
    ----------
    gaps : ndarray of shape (n,)
    jumps, decays : ndarray of shape (m,)

    Returns
    -------
    total : ndarray of shape (n,)
        Sum over exponentials of jump times level, at each event.
    last : ndarray of shape (m,)
        Level of each exponential at the last event.
    """
    gap = _laid_out(gaps)
    weight = _laid_out(np.concatenate([[0.0], np.ones(gaps.size - 1)]))
    n_blocks = gap.shape[1]
    level = np.zeros((decays.size, n_blocks))
    factors = -decays[:, None] * gap[:, None, :]
    np.exp(factors, out=factors)
    for row in range(gap.shape[0]):
        level += weight[row]
        level *= factors[row]
    passed = np.exp(-decays[:, None] * gap.sum(axis=0))
    start = np.zeros_like(level)
    for block in range(n_blocks - 1):
        start[:, block + 1] = level[:, block] + passed[:, block] * start[:, block]
    out, at_end, end_row = np.empty_like(gap), np.zeros(decays.size), (gaps.size - 1) % gap.shape[0]
    for row in range(gap.shape[0]):
        start += weight[row]
        start *= factors[row]
        out[row] = jumps @ start
        if row == end_row:
            at_end = start[:, -1].copy()
    return out.T.ravel()[: gaps.size], at_end


def mixture_log_likelihood(
    events: EventTimes, baseline: float, branching: FloatArray, decay: FloatArray
) -> float:
    """Log-likelihood of a kernel of many exponentials, baseline constant, no gradient."""
    times = events.times_s
    jumps = branching * decay
    total, last = mixed_excitation(_gaps(times), jumps, decay)
    still = np.exp(-decay * (events.duration_s - float(times[-1]))) * (1.0 + last)
    integral = float(branching @ (times.size - still)) + baseline * events.duration_s
    return float(np.log(baseline + total).sum()) - integral


def _gaps(times: FloatArray) -> FloatArray:
    return np.diff(times, prepend=times[0])


def _compensator(
    left_s: float, last_weight: float, level: float, slope: float, total: float, decay: float
) -> tuple[float, float]:
    """Integral of the excitation to the end of the window, and its derivative in the decay.

    The sum of exp(-beta (T - t_j)) is exp(-beta (T - t_n)) (w_n + R_n): no second exponential.
    """
    tail = math.exp(-decay * left_s)
    still = tail * (last_weight + level)
    still_slope = -left_s * still + tail * slope
    value = (total - still) / decay
    return value, -still_slope / decay - value / decay


def value_and_gradient(
    events: EventTimes, baseline: FloatArray, branching: FloatArray, decay: FloatArray
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    r"""Log-likelihood with gradients in baseline, branching ratios and decays.

    Parameters
    ----------
    events : EventTimes
    baseline : ndarray of shape (n_pieces,)
        mu per second on each piece.
    branching : ndarray of shape (m,)
        n of each exponential.
    decay : ndarray of shape (m,)
        beta of each exponential, per second.

    Returns
    -------
    value : float
    d_baseline, d_branching, d_decay : ndarray

    Notes
    -----
    :math:`\lambda_t = \mu_t + \sum_m n_m\beta_m \sum_{t_i<t} e^{-\beta_m(t-t_i)}`,
    :math:`\log L = \sum_i \ln\lambda_{t_i} - \int_0^T \lambda`.
    """
    times, weights = events.times_s, np.ones(events.n_events)
    gaps, piece, lengths = _gaps(times), events.piece, events.piece_lengths_s
    left = events.duration_s - float(times[-1])
    levels, slopes, integrals, integral_slopes = [], [], [], []
    intensity = baseline[piece]
    for n, beta in zip(branching.tolist(), decay.tolist(), strict=True):
        level, slope = excitation(gaps, weights, beta)
        last = (float(level[-1]), float(slope[-1]))
        value, d_value = _compensator(left, 1.0, *last, float(times.size), beta)
        intensity = intensity + (n * beta) * level
        levels.append(level)
        slopes.append(slope)
        integrals.append(value)
        integral_slopes.append(d_value)
    share = 1.0 / intensity
    jumps = branching * decay
    total = float(np.log(intensity).sum()) - float(baseline @ lengths)
    total -= float(jumps @ np.array(integrals))
    d_baseline = np.bincount(piece, share, minlength=lengths.size) - lengths
    d_jump = np.array([share @ level for level in levels]) - np.array(integrals)
    d_shape = np.array([share @ slope for slope in slopes]) - np.array(integral_slopes)
    return total, d_baseline, d_jump * decay, d_jump * branching + jumps * d_shape


def log_likelihood(
    times_s: npt.ArrayLike, duration_s: float, *, baseline: float, jump: float, decay: float
) -> float:
    """Log-likelihood of an exponential Hawkes process with intensity jump alpha.

    Examples
    --------
    >>> times = (0.5, 1.1, 1.2, 2.7, 2.75, 4.0)
    >>> round(log_likelihood(times, 5.0, baseline=0.4, jump=0.9, decay=1.5), 9)
    -6.706587197
    """
    is_good = baseline > 0 and jump >= 0 and decay > 0
    if not (is_good and np.isfinite([baseline, jump, decay]).all()):
        raise ParameterError(
            f"baseline is {baseline!r}, jump {jump!r} and decay {decay!r}; expected a positive "
            f"baseline and decay and a jump of at least 0, all finite. Pass such numbers."
        )
    events = event_times(times_s, duration_s)
    parts = (np.array([baseline]), np.array([jump / decay]), np.array([decay]))
    return value_and_gradient(events, *parts)[0]


def rescaled_gaps(
    events: EventTimes, baseline: FloatArray, branching: FloatArray, decay: FloatArray
) -> FloatArray:
    """Compensator between events, shape (n,); independent unit exponentials if the model holds.

    Examples
    --------
    >>> events = event_times((0.5, 1.1, 1.2, 2.7, 2.75, 4.0), 5.0)
    >>> rescaled_gaps(events, np.array([0.4]), np.array([0.6]), np.array([1.5])).round(6).tolist()
    [0.2, 0.596058, 0.157554, 1.786587, 0.073455, 1.589077]
    """
    times = events.times_s
    gaps = _gaps(times)
    cumulated = np.concatenate([[0.0], np.cumsum(baseline * events.piece_lengths_s)])
    total = np.interp(times, events.edges_s, cumulated)
    out = np.diff(total, prepend=0.0)
    for n, beta in zip(branching.tolist(), decay.tolist(), strict=True):
        level, _ = excitation(gaps, np.ones(times.size), beta)
        before = np.concatenate([[0.0], level[:-1] + 1.0])
        out = out + n * before * -np.expm1(-beta * gaps)
    return np.asarray(out)


def power_law_nodes(
    exponent: float, cutoff_s: float, duration_s: float
) -> tuple[FloatArray, FloatArray]:
    r"""Exponentials whose sum is the power-law kernel, to about 1e-8 over the window.

    Parameters
    ----------
    exponent : float
        epsilon, positive.
    cutoff_s : float
        tau, positive.
    duration_s : float

    Returns
    -------
    weight, decay : ndarray of shape (m,)
        Branching weights (summing to about 1) and decays, for a kernel of unit integral.

    Notes
    -----
    :math:`\epsilon\tau^\epsilon (t+\tau)^{-1-\epsilon} = \frac{\epsilon\tau^\epsilon}
    {\Gamma(1+\epsilon)} \int e^{x(1+\epsilon)} e^{-e^x(t+\tau)}\,dx`, by the trapezoid rule with
    step 0.4, whose error falls like :math:`e^{-\pi^2/h}`.
    """
    step = 0.4
    low = math.log(1e-6 / (duration_s + cutoff_s))
    high = math.log(45.0 / cutoff_s)
    nodes = np.arange(low, high + step, step)
    decay = np.exp(nodes)
    scale = math.log(exponent) + exponent * math.log(cutoff_s) - math.lgamma(1.0 + exponent)
    jump = step * np.exp(scale + nodes * (1.0 + exponent) - decay * cutoff_s)
    return jump / decay, decay
