"""Random streams: one seed in, independent generators out, never a global state."""

from __future__ import annotations

import numpy as np

from cascadelab.errors import ParameterError

__all__ = ["check_generator", "generator", "spawn"]


def generator(seed: int) -> np.random.Generator:
    """Return the generator of one seed (PCG64, as ``numpy.random.default_rng``).

    Parameters
    ----------
    seed : int
        Non-negative.

    Raises
    ------
    ParameterError
        If `seed` is negative or not an integer.
    """
    _check_seed(seed)
    return np.random.default_rng(seed)


def spawn(seed: int, n_streams: int) -> list[np.random.Generator]:
    """Independent generators, one per grid point, whatever the number of workers.

    Stream ``i`` depends on `seed` and ``i`` only, so that adding points at the end leaves the
    earlier ones as they were.

    Parameters
    ----------
    seed : int
        Non-negative.
    n_streams : int
        Number of streams.

    Returns
    -------
    list of numpy.random.Generator
    """
    _check_seed(seed)
    children = np.random.SeedSequence(seed).spawn(n_streams)
    return [np.random.default_rng(child) for child in children]


def check_generator(rng: np.random.Generator) -> None:
    """Raise :class:`ParameterError` unless `rng` is a generator; a bare seed is none."""
    if not isinstance(rng, np.random.Generator):
        raise ParameterError(
            f"rng is {rng!r}; expected a numpy.random.Generator. Pass numpy.random.default_rng(0)."
        )


def _check_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ParameterError(f"seed is {seed!r}; expected an integer of at least 0. Pass one.")
