"""Hawkes samples by their branching structure, generation by generation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.estimate.hawkes.inputs import check_positive, decays, rates
from cascadelab.units import FloatArray, IntArray

__all__ = ["poisson_pieces", "simulate_hawkes", "simulate_multivariate", "simulate_power_law"]


def poisson_pieces(
    rates_per_s: npt.ArrayLike, edges_s: npt.ArrayLike, rng: np.random.Generator
) -> FloatArray:
    """Sorted times of a Poisson process with a piecewise constant rate.

    Parameters
    ----------
    rates_per_s : float or array_like of shape (n_pieces,)
    edges_s : array_like of shape (n_pieces + 1,)
        Rising, seconds.
    rng : numpy.random.Generator

    Raises
    ------
    ParameterError
        Edges do not rise, or a rate is negative or has no piece.
    """
    edges = np.asarray(edges_s, dtype=float)
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
        raise ParameterError(f"edges_s are {edges.tolist()}; expected rising times. Sort them.")
    rate = rates(np.atleast_1d(rates_per_s), "the rate", shape=(edges.size - 1,))
    counts = rng.poisson(rate * np.diff(edges))
    parts = [
        rng.uniform(low, high, count)
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return np.sort(np.concatenate(parts))


def simulate_hawkes(
    baseline: npt.ArrayLike,
    branching: npt.ArrayLike,
    decay: npt.ArrayLike,
    *,
    duration_s: float,
    rng: np.random.Generator,
    edges_s: npt.ArrayLike | None = None,
) -> FloatArray:
    """Sorted event times of a Hawkes process with a sum of exponentials, from an empty past.

    Parameters
    ----------
    baseline : float or array_like of shape (n_pieces,)
        Immigrants per second.
    branching, decay : float or array_like of shape (m,)
        n of each exponential (sum below 1) and its beta, per second.
    duration_s : float
    rng : numpy.random.Generator
    edges_s : array_like of shape (n_pieces + 1,), optional

    Returns
    -------
    ndarray of shape (n,)

    Examples
    --------
    >>> simulate_hawkes(0.0, 0.5, 1.0, duration_s=10.0, rng=np.random.default_rng(0)).size
    0
    """
    check_positive(duration_s=duration_s)
    weights = np.atleast_1d(branching).astype(float)
    weights = rates(weights, "branching", shape=weights.shape)
    betas = decays(np.atleast_1d(decay), shape=weights.shape)
    total = float(weights.sum())
    _check_total(total)
    edges = np.array([0.0, duration_s]) if edges_s is None else np.asarray(edges_s, dtype=float)
    share = weights / total if total > 0 else weights

    def delays(size: int) -> FloatArray:
        which = rng.choice(weights.size, size=size, p=share)
        return np.asarray(rng.exponential(size=size) / betas[which])

    return _generations(poisson_pieces(baseline, edges, rng), total, delays, duration_s, rng)


def simulate_power_law(
    baseline: float,
    branching: float,
    *,
    exponent: float,
    cutoff_s: float,
    duration_s: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Sorted event times with the kernel ``n eps tau**eps / (t + tau)**(1 + eps)``."""
    check_positive(exponent=exponent, cutoff_s=cutoff_s, duration_s=duration_s)
    _check_total(branching)

    def delays(size: int) -> FloatArray:
        return np.asarray(cutoff_s * (rng.random(size) ** (-1.0 / exponent) - 1.0))

    first = poisson_pieces(baseline, [0.0, duration_s], rng)
    return _generations(first, branching, delays, duration_s, rng)


def _check_total(total: float) -> None:
    if not 0.0 <= total < 1.0:
        raise ParameterError(
            f"The branching ratio is {total:g}; expected [0, 1) for a sample that ends. Lower it."
        )


def _generations(
    first: FloatArray,
    branching: float,
    delays: object,
    duration_s: float,
    rng: np.random.Generator,
) -> FloatArray:
    assert callable(delays)
    parts, parents = [first], first
    while parents.size and branching > 0:
        counts = rng.poisson(branching, parents.size)
        born = np.repeat(parents, counts)
        children = born + delays(born.size)
        parents = children[children < duration_s]
        parts.append(parents)
    return np.sort(np.concatenate(parts))


def simulate_multivariate(
    baseline: npt.ArrayLike,
    branching: npt.ArrayLike,
    decay: npt.ArrayLike,
    *,
    duration_s: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, IntArray]:
    """Times and types of a multivariate exponential Hawkes process.

    Parameters
    ----------
    baseline : array_like of shape (d,)
    branching : array_like of shape (d, d)
        Mean number of type-k children of one type-l event, in row k, column l.
    decay : array_like of shape (d,)
        beta of the receiving type, per second.
    duration_s : float
    rng : numpy.random.Generator

    Returns
    -------
    times_s, types : ndarray of shape (n,)
    """
    check_positive(duration_s=duration_s)
    n_types = np.size(baseline)
    base = rates(baseline, "baseline", shape=(n_types,))
    norm = rates(branching, "branching", shape=(n_types, n_types))
    betas = decays(decay, shape=(n_types,))
    _check_total(float(np.abs(np.linalg.eigvals(norm)).max()))
    times, types = [], []
    for kind, rate in enumerate(base):
        start = poisson_pieces(rate, [0.0, duration_s], rng)
        times.append(start)
        types.append(np.full(start.size, kind))
    parents, kinds = np.concatenate(times), np.concatenate(types)
    all_times, all_types = [parents], [kinds]
    while parents.size:
        counts = rng.poisson(norm[:, kinds])
        next_times, next_types = [], []
        for kind in range(base.size):
            born = np.repeat(parents, counts[kind])
            children = born + rng.exponential(size=born.size) / betas[kind]
            kept = children[children < duration_s]
            next_times.append(kept)
            next_types.append(np.full(kept.size, kind))
        parents, kinds = np.concatenate(next_times), np.concatenate(next_types)
        all_times.append(parents)
        all_types.append(kinds)
    flat, labels = np.concatenate(all_times), np.concatenate(all_types)
    order = np.argsort(flat, kind="stable")
    return flat[order], labels[order].astype(np.int64)
