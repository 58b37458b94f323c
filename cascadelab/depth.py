"""What the depth of the book does to a loop: amplification, phase diagram, what must be assumed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.calibrate import impact_from_depth, scale_to_move
from cascadelab.criticality import jumps
from cascadelab.errors import ParameterError
from cascadelab.impact import LinearImpact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.sweep import solve_shocks
from cascadelab.units import FloatArray

__all__ = ["amplification_by_depth", "needed_open_interest", "phase_by_depth"]


#: Columns of :func:`needed_open_interest`.
_NEEDED = {
    "shock_fraction": pl.Float64,
    "open_interest_base": pl.Float64,
    "open_interest_quote": pl.Float64,
    "closed_share": pl.Float64,
    "stops_at_fraction": pl.Float64,
    "lands_at_fraction": pl.Float64,
    "is_met": pl.Boolean,
}


def _impact(flow: LedgerFlow, depth_quote: float, band_fraction: float) -> LinearImpact:
    price = flow.coordinate.reference_price
    return impact_from_depth(depth_quote=depth_quote, band_fraction=band_fraction, price=price)


def amplification_by_depth(
    flow: LedgerFlow, shock: float, depths_quote: Sequence[float], band_fraction: float
) -> pl.DataFrame:
    """Cascade of one shock on one book under books of orders of many depths.

    Parameters
    ----------
    flow : LedgerFlow
        In the log coordinate.
    shock : float
        Exogenous move, log points.
    depths_quote : sequence of float
        Resting bids within the band, quote.
    band_fraction : float
        Width of the band over the price.

    Returns
    -------
    polars.DataFrame
        ``depth_quote`` and the columns of :func:`cascadelab.sweep.solve_shocks`.
    """
    rows = [
        solve_shocks(flow, _impact(flow, depth, band_fraction), [shock]).with_columns(
            pl.lit(depth).alias("depth_quote")
        )
        for depth in depths_quote
    ]
    return pl.concat(rows)


def phase_by_depth(
    flow: LedgerFlow, depths_quote: npt.ArrayLike, shocks: npt.ArrayLike, band_fraction: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Endogenous share over depth and shock, and where the largest jump happens.

    Parameters
    ----------
    flow : LedgerFlow
        In the log coordinate.
    depths_quote, shocks : array_like of shape (n_depths + 1,), (n_shocks + 1,)
        Edges of the cells; each cell is solved at its middle (geometric for depths).
    band_fraction : float
        Width of the band over the price.

    Returns
    -------
    cells : polars.DataFrame
        ``x``, ``x_end`` (depth), ``y``, ``y_end`` (shock), ``secant_gain``.
    line : polars.DataFrame
        ``x`` (depth), ``y`` (shock) of the largest jump among shocks inside the range, where one
        adds at least a tenth of the largest shock to the move.

    Raises
    ------
    ParameterError
        If there are no cells, or a depth is not positive.
    """
    depths: FloatArray = np.asarray(depths_quote, dtype=np.float64)
    edges: FloatArray = np.asarray(shocks, dtype=np.float64)
    if depths.size < 2 or edges.size < 2 or not (depths > 0).all():
        raise ParameterError(
            f"There are {depths.size} edges of depth, the lowest {depths.min(initial=np.inf):g}, "
            f"and {edges.size} of shocks; expected two or more of each, and positive depths. Pass "
            f"edges."
        )
    middles = 0.5 * (edges[1:] + edges[:-1])
    cells, line = [], []
    for low, high in pairwise(depths.tolist()):
        depth = float(np.sqrt(low * high))
        impact = _impact(flow, depth, band_fraction)
        solved = solve_shocks(flow, impact, middles)
        cells.append(
            pl.DataFrame(
                {"y": edges[:-1], "y_end": edges[1:], "secant_gain": solved["secant_gain"]}
            ).with_columns(x=pl.lit(low), x_end=pl.lit(high))
        )
        size = pl.col("move_after") - pl.col("move_before")
        inside = jumps(flow, impact).filter(pl.col("shock").is_between(edges[0], edges[-1]))
        largest = inside.sort(size, descending=True).head(1).filter(size >= 0.1 * edges[-1])
        line += [{"x": depth, "y": shock} for shock in largest["shock"]]
    return pl.concat(cells), pl.DataFrame(line, schema={"x": pl.Float64, "y": pl.Float64})


def needed_open_interest(
    book: LedgerFlow,
    shocks: Sequence[float],
    move: float,
    depth_quote: float,
    band_fraction: float,
) -> pl.DataFrame:
    """Open interest a book must have for its cascade to reach an observed move.

    In proportion to the depth: a book of orders twice as deep needs twice the open interest, and
    all else is the same.

    Parameters
    ----------
    book : LedgerFlow
        In the log coordinate; only its shape matters.
    shocks : sequence of float
        Assumed exogenous parts, log points.
    move : float
        Observed move, log points.
    depth_quote : float
        Depth within the band, quote.
    band_fraction : float
        Width of the band over the price.

    Returns
    -------
    polars.DataFrame
        One row per shock: ``shock_fraction`` (of the price), ``open_interest_base``,
        ``open_interest_quote`` (at the reference price), ``closed_share``, ``stops_at_fraction``
        (fall of a book just smaller), ``lands_at_fraction`` (fall of this one), ``is_met``. Null
        but for the shock where no position is due at it: then no book reaches the move.
    """
    rows = []
    for shock in shocks:
        if float(book.quantity(shock)) <= 0:
            rows.append({"shock_fraction": -np.expm1(-shock)})
            continue
        loop = scale_to_move(book, _impact(book, depth_quote, band_fraction), shock, move)
        total, cascade = loop.flow.total_base, loop.cascade
        rows.append(
            {
                "shock_fraction": -np.expm1(-shock),
                "open_interest_base": total,
                "open_interest_quote": total * book.coordinate.reference_price,
                "closed_share": cascade.quantity_base / total,
                "stops_at_fraction": -np.expm1(-loop.short_of),
                "lands_at_fraction": -np.expm1(-cascade.move),
                "is_met": loop.is_met,
            }
        )
    return pl.DataFrame(rows, schema=_NEEDED)
