"""Many shocks and many depths on one curve: amplification curves and phase diagrams."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab._many import moves_of_shocks, moves_of_slopes
from cascadelab._rounds import end_of_curve
from cascadelab.cascade import require_alike
from cascadelab.criticality import largest_density
from cascadelab.errors import ConvergenceError, ParameterError
from cascadelab.flow import ForcedFlow
from cascadelab.impact import Impact, LinearImpact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray

__all__ = ["PhaseCube", "loop_curve", "phase_cube", "phase_diagram", "random_depth", "solve_shocks"]


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
        ``is_exhausted`` (something was sold and no position is left), ``is_book_exhausted`` (the
        order book had no price for the rest: the move is where the book ends). The same fixed
        points as :func:`cascadelab.solve`.

    Raises
    ------
    ParameterError
        If a shock is negative or not finite (names its position), or flow and impact measure
        moves in different scales or directions.
    ConvergenceError
        As from :func:`cascadelab.solve`.
    """
    require_alike(flow, impact)
    start = _non_negative("shocks", shocks)
    if isinstance(flow, LedgerFlow):
        with np.errstate(over="ignore"):
            moves, quantities = moves_of_shocks(flow.prepare(), impact, start)
        _require_finite(moves)
    else:
        ends = [end_of_curve(flow, impact, s, s) for s in start.tolist()]
        moves, quantities = np.array([end[:2] for end in ends]).reshape(-1, 2).T
    is_cut = (quantities >= impact.capacity_base) & (flow.quantity(moves) > impact.capacity_base)
    if isinstance(flow, LedgerFlow):
        is_all = (quantities > 0) & (moves >= flow.last_threshold)
    else:
        is_all = quantities >= flow.total_base * (1 - 1e-14)
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
            "is_exhausted": is_all & ~is_cut,
            "is_book_exhausted": is_cut,
        }
    )


def _require_finite(moves: FloatArray) -> None:
    if not np.isfinite(moves).all():
        raise ConvergenceError(
            "A move is infinite: sizes or slopes are larger than numbers hold. Measure quantities "
            "in larger units.",
            float("inf"),
            0,
        )


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
    if isinstance(flow, LedgerFlow):
        cube = phase_cube([flow], slopes_per_base, shocks)
        return cube.to_frame().select(pl.exclude("book", "slope_per_base"), "slope_per_base")
    none = solve_shocks(flow, LinearImpact(slope_per_base=0.0), [])
    parts = [
        solve_shocks(flow, LinearImpact(slope_per_base=slope), shocks).with_columns(
            pl.lit(slope, dtype=pl.Float64).alias("slope_per_base")
        )
        for slope in slopes_per_base
    ]
    return pl.concat([none.with_columns(slope_per_base=pl.lit(None, dtype=pl.Float64)), *parts])


@dataclass(frozen=True, eq=False)
class PhaseCube:
    """Cascades over book x linear slope x shock.

    Parameters
    ----------
    slopes_per_base : ndarray of shape (n_slopes,)
        Impact slopes, coordinate units per base unit.
    shocks : ndarray of shape (n_shocks,)
        Exogenous moves, coordinate units.
    moves : ndarray of shape (n_books, n_slopes, n_shocks)
        Least fixed points y*, coordinate units.
    quantities_base : ndarray of shape (n_books, n_slopes, n_shocks)
        Quantities sold, base units.
    totals_base : ndarray of shape (n_books,)
        Quantity of each book that can be closed, base units.
    """

    slopes_per_base: FloatArray
    shocks: FloatArray
    moves: FloatArray
    quantities_base: FloatArray
    totals_base: FloatArray

    @property
    def secant_gain(self) -> FloatArray:
        """Endogenous share of the move, shape of `moves`; NaN where nothing moved."""
        endogenous = self.moves - self.shocks
        out = np.full_like(self.moves, np.nan)
        return np.divide(endogenous, self.moves, out=out, where=self.moves > 0)

    @property
    def is_exhausted(self) -> npt.NDArray[np.bool_]:
        """Whether every position of the book was closed (and there was one), shape of `moves`."""
        is_all = self.quantities_base >= self.totals_base[:, None, None]
        return np.asarray(is_all & (self.quantities_base > 0))

    def to_frame(self) -> pl.DataFrame:
        """One row per scenario: ``book``, ``slope_per_base`` and what `solve_shocks` returns."""
        n_books, n_slopes, n_shocks = self.moves.shape
        moves, shocks = self.moves.ravel(), np.tile(self.shocks, n_books * n_slopes)
        ratio = np.divide(moves, shocks, out=np.full_like(moves, np.nan), where=shocks > 0)
        slopes = np.tile(np.repeat(self.slopes_per_base, n_shocks), n_books)
        return pl.DataFrame(
            {
                "book": np.repeat(np.arange(n_books), n_slopes * n_shocks),
                "slope_per_base": slopes,
                "shock": shocks,
                "move": moves,
                "quantity_base": self.quantities_base.ravel(),
                "secant_gain": self.secant_gain.ravel(),
                "amplification": np.where((moves > 0) & (shocks == 0), np.inf, ratio),
                "is_exhausted": self.is_exhausted.ravel(),
                "is_book_exhausted": np.zeros(len(moves), dtype=bool),
            }
        )


def phase_cube(
    books: Sequence[LedgerFlow],
    slopes_per_base: npt.ArrayLike,
    shocks: npt.ArrayLike,
    *,
    n_threads: int = 1,
) -> PhaseCube:
    """Cascades of several books over linear slopes and shocks, such as leverage x depth x shock.

    Parameters
    ----------
    books : sequence of LedgerFlow
        One per leverage, say. Each is sorted once.
    slopes_per_base : array_like of shape (n_slopes,)
        Impact slopes, coordinate units per base unit, at least 0.
    shocks : array_like of shape (n_shocks,)
        Exogenous moves, coordinate units, at least 0.
    n_threads : int
        Threads over the books; NumPy leaves them run side by side. The answer does not depend
        on it.

    Returns
    -------
    PhaseCube
        Every number as :func:`cascadelab.solve` gives it.

    Raises
    ------
    ParameterError
        If a slope or a shock is negative or not finite; names its position.
    ConvergenceError
        If a move is larger than numbers hold.
    """
    slopes, start = (
        _non_negative("slopes_per_base", slopes_per_base),
        _non_negative("shocks", shocks),
    )

    def solved(book: LedgerFlow) -> tuple[FloatArray, FloatArray]:
        with np.errstate(over="ignore", invalid="ignore"):
            moves, sold = moves_of_slopes(book.prepare(), slopes, start)
        _require_finite(moves)
        return moves, sold

    if n_threads > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            parts = list(pool.map(solved, books))
    else:
        parts = [solved(book) for book in books]
    empty = np.empty((0, len(slopes), len(start)))
    return PhaseCube(
        slopes_per_base=slopes,
        shocks=start,
        moves=np.stack([moves for moves, _ in parts]) if parts else empty,
        quantities_base=np.stack([sold for _, sold in parts]) if parts else empty,
        totals_base=np.array([book.cumulative_base[-1] for book in books], dtype=np.float64),
    )


def _non_negative(name: str, values: npt.ArrayLike) -> FloatArray:
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ParameterError(
            f"{name}[{row}] is {array[row]}; expected a finite number of at least 0. Correct it."
        )
    return array


def random_depth(
    flow: LedgerFlow | ForcedFlow,
    slopes_per_base: npt.ArrayLike,
    shock: float,
    levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99),
) -> pl.DataFrame:
    r"""Quantiles of the amplification of one shock under depths that are not known.

    Parameters
    ----------
    flow : LedgerFlow or ForcedFlow
    slopes_per_base : array_like of shape (n_draws,)
        Draws of the linear impact slope, coordinate units per base unit.
    shock : float
        Exogenous move, coordinate units, positive.
    levels : sequence of float
        Levels of the quantiles, in [0, 1].

    Returns
    -------
    polars.DataFrame
        ``level``, ``amplification``, ``secant_gain`` (quantiles) and, the same in each row,
        ``cascade_share``: share of draws in which the loop gain reaches 1 somewhere between the
        shock and where the move ends.

    Raises
    ------
    ParameterError
        If there is no draw or no positive shock, a slope is negative or not finite, or a level is
        outside [0, 1].

    Notes
    -----
    There is no mean here on purpose: if the gain has a density f near 1,
    :math:`P(A>a) \approx f(1)/a` and the mean does not exist.
    """
    slopes = _non_negative("slopes_per_base", slopes_per_base)
    at = np.asarray(levels, dtype=np.float64)
    if not len(slopes):
        raise ParameterError("slopes_per_base is empty; expected draws of a slope. Pass some.")
    if not shock > 0:
        raise ParameterError(
            f"shock is {shock!r}; expected a positive move, because the amplification is a ratio "
            f"to it. Pass one."
        )
    if not ((at >= 0) & (at <= 1)).all():
        raise ParameterError(f"levels are {at.tolist()}; expected [0, 1]. Pass 0.95 for 95 %.")
    frame = phase_diagram(flow, slopes.tolist(), [shock])
    ends = frame["move"].to_numpy()
    pairs = zip(slopes.tolist(), ends.tolist(), strict=True)
    is_cascade = [slope * _largest_density(flow, shock, end) >= 1.0 for slope, end in pairs]
    return pl.DataFrame(
        {
            "level": at,
            "amplification": _quantiles(frame["amplification"].to_numpy(), at),
            "secant_gain": _quantiles(frame["secant_gain"].to_numpy(), at),
            "cascade_share": np.full(len(at), float(np.mean(is_cascade))),
        }
    )


def _quantiles(values: FloatArray, levels: FloatArray) -> FloatArray:
    """Values that occurred: between them an infinite amplification has no average."""
    return np.asarray(np.quantile(values, levels, method="inverted_cdf"), dtype=np.float64)


def _largest_density(flow: LedgerFlow | ForcedFlow, low: float, high: float) -> float:
    if isinstance(flow, LedgerFlow):
        return float(flow.density(np.linspace(low, high, 101)).max())
    return largest_density(flow, low, high)


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
