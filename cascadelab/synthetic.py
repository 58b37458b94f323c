"""Made-up books of positions, for examples and for what no venue publishes. Never data."""

from __future__ import annotations

import numpy as np

from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.rng import generator
from cascadelab.units import Coordinate, FloatArray

__all__ = ["draw_long_flow", "draw_long_ledger"]


def draw_long_ledger(*, n_positions: int, reference_price: float, seed: int) -> Ledger:
    r"""Isolated long positions with entries below the price and mostly moderate leverage.

    Parameters
    ----------
    n_positions : int
        At least 1.
    reference_price : float
        Price :math:`p_0` before the shock, quote per base.
    seed : int
        Seed; the same seed gives the same book.

    Returns
    -------
    Ledger

    Notes
    -----
    Entries are :math:`p_0 e^{-0.04 X}` with X standard exponential (most positions are young),
    leverage is :math:`2+48 B` with B ~ Beta(1.3, 12) (median about 5.5), notional is lognormal
    with :math:`\mu=8.5`, :math:`\sigma=1.4` (a few large accounts hold most). No venue publishes
    these distributions; they are the assumption, and the shape of every curve drawn from such a
    book depends on it.
    """
    _require(n_positions, reference_price)
    entry, leverage, notional = _draw(n_positions, reference_price, generator(seed))
    return Ledger.from_arrays(entry_price=entry, size_base=notional / entry, leverage=leverage)


def draw_long_flow(
    *,
    n_positions: int,
    coordinate: Coordinate,
    maintenance_fraction: float,
    rng: np.random.Generator,
) -> LedgerFlow:
    """Forced-flow curve of a book as :func:`draw_long_ledger` draws it, without the table.

    Parameters
    ----------
    n_positions : int
        At least 1.
    coordinate : Coordinate
        Its reference price is the price before the shock; side ``"long"``.
    maintenance_fraction : float
        Maintenance margin over notional, in [0, 1), as in ``FlatRules``.
    rng : numpy.random.Generator
        Many books in a row are drawn from one generator, or from spawned ones.

    Returns
    -------
    LedgerFlow
        For ``numpy.random.default_rng(seed)`` that of the ledger with the same seed, to rounding.
    """
    _require(n_positions, coordinate.reference_price)
    if coordinate.side != "long":
        raise ParameterError(
            "The book holds longs only; expected a coordinate of side 'long'. Pass that."
        )
    if not 0 <= maintenance_fraction < 1:
        raise ParameterError(
            f"maintenance_fraction is {maintenance_fraction!r}; expected a number in [0, 1). "
            f"Pass 0.005 for half a percent."
        )
    entry, leverage, notional = _draw(n_positions, coordinate.reference_price, rng)
    due = entry * ((1.0 - 1.0 / leverage) / (1.0 - maintenance_fraction))
    return LedgerFlow(coordinate.move_to(due), notional / entry, coordinate)


def _require(n_positions: int, reference_price: float) -> None:
    if isinstance(n_positions, bool) or not isinstance(n_positions, int) or n_positions < 1:
        raise ParameterError(f"n_positions is {n_positions!r}; expected at least 1. Pass one.")
    if not (np.isfinite(reference_price) and reference_price > 0):
        raise ParameterError(
            f"reference_price is {reference_price!r}; expected a positive price. Pass one."
        )


def _draw(
    n_positions: int, reference_price: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Entry prices, leverage and notional, drawn in this order."""
    entry = reference_price * np.exp(-0.04 * rng.standard_exponential(n_positions))
    leverage = 2 + 48 * rng.beta(1.3, 12.0, n_positions)
    notional = np.exp(8.5 + 1.4 * rng.standard_normal(n_positions))
    return entry, leverage, notional
