"""Many shocks and many depths on one curve: amplification curves and phase diagrams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab._rounds import least_root
from cascadelab.errors import ParameterError
from cascadelab.flow import ForcedFlow
from cascadelab.impact import Impact, LinearImpact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray, IntArray

__all__ = ["phase_diagram", "solve_shocks"]


def solve_shocks(
    flow: LedgerFlow | ForcedFlow, impact: Impact, shocks: npt.ArrayLike
) -> pl.DataFrame:
    """Cascades of many shocks under one impact; a book is sorted once.

    Parameters
    ----------
    flow : LedgerFlow or ForcedFlow
    impact : Impact
    shocks : array_like of shape (n_shocks,)
        Exogenous moves, coordinate units, at least 0.

    Returns
    -------
    polars.DataFrame
        One row per shock, in order: ``shock``, ``move``, ``quantity_base``, ``secant_gain``,
        ``amplification`` (infinite for a move without a shock, NaN where nothing moved),
        ``is_exhausted``. The same fixed points as :func:`cascadelab.solve`.

    Raises
    ------
    ParameterError
        If a shock is negative or not finite; names its position.
    """
    start = np.atleast_1d(np.asarray(shocks, dtype=np.float64))
    bad = ~(np.isfinite(start) & (start >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ParameterError(
            f"shocks[{row}] is {start[row]}; expected a finite move of at least 0. Correct it."
        )
    if isinstance(flow, LedgerFlow):
        moves, quantities = _book_moves(flow, impact, start)
    else:
        moves = np.array([least_root(flow, impact, s, s)[0] for s in start.tolist()])
        quantities = flow.quantity(moves)
    positive, driven = moves > 0, start > 0
    ratio = np.divide(moves, start, out=np.full_like(moves, np.nan), where=driven)
    return pl.DataFrame(
        {
            "shock": start,
            "move": moves,
            "quantity_base": quantities,
            "secant_gain": np.divide(
                moves - start, moves, out=np.full_like(moves, np.nan), where=positive
            ),
            "amplification": np.where(positive & ~driven, np.inf, ratio),
            "is_exhausted": quantities >= flow.total_base * (1 - 1e-14),
        }
    )


def _book_moves(
    flow: LedgerFlow, impact: Impact, shocks: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """All shocks advance one round together until none sells more."""
    flow.prepare()
    moves, closed = shocks.copy(), np.zeros(len(shocks), dtype=np.int64)
    active: IntArray = np.arange(len(shocks))
    while active.size:
        due = flow.n_closed(moves[active])
        is_new = flow.cumulative_base[due] > flow.cumulative_base[closed[active]]
        closed[active] = due
        active = active[is_new]
        sold = np.minimum(flow.cumulative_base[closed[active]], impact.capacity_base)
        moves[active] = shocks[active] + impact.move(sold)
    return moves, np.asarray(np.minimum(flow.cumulative_base[closed], impact.capacity_base))


def phase_diagram(
    flow: LedgerFlow | ForcedFlow, slopes_per_base: Sequence[float], shocks: Sequence[float]
) -> pl.DataFrame:
    """Cascades over linear impact slope x shock: the data of the phase diagram.

    Parameters
    ----------
    flow : LedgerFlow or ForcedFlow
    slopes_per_base : sequence of float
        Impact slopes, coordinate units per base unit.
    shocks : sequence of float
        Exogenous moves, coordinate units.

    Returns
    -------
    polars.DataFrame
        The columns of :func:`solve_shocks` and ``slope_per_base``, one row per pair.
    """
    parts = [
        solve_shocks(flow, LinearImpact(slope_per_base=slope), shocks).with_columns(
            pl.lit(slope).alias("slope_per_base")
        )
        for slope in slopes_per_base
    ]
    return pl.concat(parts)


def loop_curve(
    flow: LedgerFlow | ForcedFlow, impact: Impact, shock: float, upper: float
) -> pl.DataFrame:
    """Forced quantity and image F(y) along the move: the data of the cobweb.

    Parameters
    ----------
    flow : LedgerFlow or ForcedFlow
    impact : Impact
    shock : float
        s, coordinate units.
    upper : float
        End of the curve, coordinate units.

    Returns
    -------
    polars.DataFrame
        401 rows: ``move`` from 0 to `upper`, ``quantity_base``, ``image``.
    """
    moves = np.linspace(0.0, upper, 401)
    quantities = flow.quantity(moves)
    image = shock + impact.move(np.minimum(quantities, impact.capacity_base))
    return pl.DataFrame({"move": moves, "quantity_base": quantities, "image": image})
