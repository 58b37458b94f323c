"""Rates that move at random between a few levels: the rival that no event excites."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.estimate.hawkes.counts import event_counts
from cascadelab.estimate.hawkes.inputs import check_whole
from cascadelab.estimate.hawkes.kernel import event_times
from cascadelab.units import FloatArray

__all__ = ["RateLevels", "best_rate_levels", "fit_rate_levels"]

#: Bins on whose edges the level may change: as many blocks as bins in a block.
_SIDE = 64
_N_BINS = _SIDE * _SIDE
_MOST_ROUNDS = 200


@dataclass(frozen=True, kw_only=True)
class RateLevels:
    """Poisson process whose rate jumps between levels as a hidden Markov chain.

    Parameters
    ----------
    rates_per_s : tuple of float
        Increasing.
    stay_s : tuple of float
        Mean time at each level, seconds.
    log_likelihood : float
        Of the event times, comparable with that of a Hawkes fit.
    n_events : int
    """

    rates_per_s: tuple[float, ...]
    stay_s: tuple[float, ...]
    log_likelihood: float
    n_events: int

    @property
    def bic(self) -> float:
        """Schwarz criterion: k rates and k (k - 1) transitions."""
        return len(self.rates_per_s) ** 2 * math.log(self.n_events) - 2.0 * self.log_likelihood


def best_rate_levels(
    times_s: npt.ArrayLike, duration_s: float, *, most_levels: int = 4
) -> RateLevels:
    """Fit 2 to `most_levels` levels and return the one with the least Schwarz criterion."""
    check_whole("most_levels", most_levels, 2)
    fits = [
        fit_rate_levels(times_s, duration_s, n_levels=count) for count in range(2, most_levels + 1)
    ]
    return min(fits, key=lambda fit: fit.bic)


def fit_rate_levels(times_s: npt.ArrayLike, duration_s: float, *, n_levels: int) -> RateLevels:
    r"""Maximum likelihood by expectation and maximisation, on 4,096 bins.

    Parameters
    ----------
    times_s : array_like of shape (n,)
    duration_s : float
    n_levels : int
        At least 2.

    Returns
    -------
    RateLevels

    Notes
    -----
    The level is constant within a bin, so that the likelihood of the times given the levels is
    :math:`\prod_t \lambda_{k_t}^{c_t} e^{-\lambda_{k_t}\Delta}` with counts c and bins of length
    :math:`\Delta`; no factor of the bins is left and it compares to that of a Hawkes process.
    """
    check_whole("n_levels", n_levels, 2)
    events = event_times(times_s, duration_s)
    counts = event_counts(times_s, duration_s, bin_s=duration_s / _N_BINS)
    counts[-1] += events.n_events - counts.sum()  # an event at the very end of the window
    width = duration_s / _N_BINS
    with np.errstate(under="ignore"):
        rates, move, value = _maximise(counts, width, n_levels)
    order = np.argsort(rates)
    stay = width / np.maximum(1.0 - np.diag(move), 1e-12)
    return RateLevels(
        rates_per_s=tuple(rates[order].tolist()),
        stay_s=tuple(stay[order].tolist()),
        log_likelihood=value,
        n_events=events.n_events,
    )


def _maximise(
    counts: FloatArray, width: float, n_levels: int
) -> tuple[FloatArray, FloatArray, float]:
    """Rates, transitions from one bin to the next, and the log-likelihood they reach."""
    rates = _start(counts, n_levels) / width
    move = np.full((n_levels, n_levels), 0.02 / (n_levels - 1))
    np.fill_diagonal(move, 0.98)
    first = np.full(n_levels, 1.0 / n_levels)
    before = -math.inf
    for _ in range(_MOST_ROUNDS):
        value, weight, moves = _expectation(counts, width, rates, move, first)
        if value - before < 1e-2:
            break
        before = value
        n_events = np.maximum((weight * counts[:, None]).sum(axis=0), 1e-6)
        rates = n_events / (width * np.maximum(weight.sum(axis=0), 1e-9))
        move = np.maximum(moves, 1e-12)
        move /= move.sum(axis=1, keepdims=True)
        first = np.maximum(weight[0], 1e-12)
        first /= first.sum()
    return rates, move, value


def _start(counts: FloatArray, n_levels: int) -> FloatArray:
    """Levels spread over the quantiles of counts summed over blocks of bins, per bin."""
    block = max(1, math.ceil(3.0 * counts.size / max(counts.sum(), 1.0)))
    sums = np.convolve(counts, np.ones(block) / block, mode="valid")
    share = (np.arange(n_levels) + 0.5) / n_levels
    levels = np.quantile(sums, share) + 1e-3 * counts.mean()
    return np.asarray(levels * (1.0 + 0.05 * np.arange(n_levels)))


def _expectation(
    counts: FloatArray, width: float, rates: FloatArray, move: FloatArray, first: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Log-likelihood, weight of each level in each bin, and expected moves between levels."""
    logs = counts[:, None] * np.log(rates) - rates * width
    top = logs.max(axis=1)
    seen = np.exp(logs - top[:, None])
    steps = seen[:, :, None] * move.T  # column vector of levels -> the next
    steps[0] = np.diag(seen[0])
    ahead, scale = _scan(steps, first)
    back_steps = np.swapaxes(steps, 1, 2)[:0:-1]
    back_steps = np.concatenate([np.eye(rates.size)[None], back_steps])
    behind = _scan(back_steps, np.ones(rates.size))[0][::-1]
    weight = ahead * behind
    weight /= weight.sum(axis=1, keepdims=True)
    pairs = ahead[:-1, :, None] * move * (seen[1:] * behind[1:])[:, None, :]
    pairs /= pairs.sum(axis=(1, 2), keepdims=True)
    return scale + float(top.sum()), weight, pairs.sum(axis=0)


def _scan(steps: FloatArray, start: FloatArray) -> tuple[FloatArray, float]:
    """Normalised states after every matrix in turn, and the log of what was divided out.

    Products within blocks are formed for all blocks at once, then carried from block to block.
    """
    n_levels = start.size
    blocks = steps.reshape(_SIDE, _SIDE, n_levels, n_levels)
    inside = np.empty_like(blocks)
    product = np.broadcast_to(np.eye(n_levels), (_SIDE, n_levels, n_levels))
    taken = np.zeros(_SIDE)
    for position in range(_SIDE):
        product = blocks[:, position] @ product
        size = product.max(axis=(1, 2))
        product = product / size[:, None, None]
        taken += np.log(size)
        inside[:, position] = product
    carried = np.empty((_SIDE, n_levels))
    state, scale = start, 0.0
    for block in range(_SIDE):
        carried[block] = state
        state = inside[block, -1] @ state
        size = float(state.sum())
        scale += math.log(size) + float(taken[block])
        state = state / size
    states = np.einsum("bpij,bj->bpi", inside, carried).reshape(-1, n_levels)
    return states / states.sum(axis=1, keepdims=True), scale
