"""A finite order book walked level by level: what the last unit fetched, and the average."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cascadelab.errors import BookExhausted, ParameterError
from cascadelab.units import Coordinate, FloatArray, Scale, Side

__all__ = ["OrderBookImpact"]


@dataclass(frozen=True, eq=False)
class OrderBookImpact:
    r"""Impact of an order walking the levels of a book, exactly.

    Parameters
    ----------
    prices : ndarray of shape (n_levels,)
        Prices of the levels from the best on, quote per base: falling bids for the coordinate's
        side ``"long"`` (forced sales), rising asks for ``"short"`` (forced purchases).
    sizes_base : ndarray of shape (n_levels,)
        Quantity resting at each level, base units, positive.
    coordinate : Coordinate
        What the move measures. Its reference price may be the best price, the mid or the mark;
        the best price must not lie on the other side of it.

    Attributes
    ----------
    capacity_base : float
        Quantity of all levels, base units. There is no price beyond it.

    Raises
    ------
    ParameterError
        If the levels are not ordered from the best on, or a size is not positive; names the
        level.
    BookExhausted
        From :meth:`move`, :meth:`slope` and the prices, for more than the book holds.

    Notes
    -----
    The move of Q is that of the price of the last unit of Q: a step function,
    :math:`I(0)=0`. A quantity that ends exactly at the end of a level has that level's price.

    Examples
    --------
    >>> book = OrderBookImpact(
    ...     np.array([100.0, 99.0, 97.0]),
    ...     np.array([1.0, 2.0, 2.0]),
    ...     Coordinate(reference_price=100.0),
    ... )
    >>> float(book.marginal_price(2.0)), float(book.average_price(2.0)), float(book.move(4.0))
    (99.0, 99.5, 3.0)
    """

    prices: FloatArray
    sizes_base: FloatArray
    coordinate: Coordinate
    capacity_base: float = field(init=False, repr=False)
    _moves: FloatArray = field(init=False, repr=False)
    _cumulative: FloatArray = field(init=False, repr=False)
    _proceeds: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        prices = np.asarray(self.prices, dtype=np.float64)
        sizes = np.asarray(self.sizes_base, dtype=np.float64)
        if prices.ndim != 1 or prices.shape != sizes.shape or not len(prices):
            raise ParameterError(
                f"prices have shape {prices.shape} and sizes_base {sizes.shape}; expected two "
                f"one-dimensional arrays of one length of at least 1. Pass one size per level."
            )
        moves = self.coordinate.move_to(prices)
        is_good = (moves >= np.concatenate([[0.0], moves[:-1]])) & (prices > 0)
        is_good &= np.isfinite(prices) & np.isfinite(sizes) & (sizes > 0)
        if not is_good.all():
            row = int(np.argmin(is_good))
            raise ParameterError(
                f"Level {row} has the price {prices[row]} and the size {sizes[row]}; expected a "
                f"positive size, and prices from the best on, away from the reference price "
                f"{self.coordinate.reference_price}. Sort the levels and drop empty ones."
            )
        cumulative = np.concatenate([[0.0], np.cumsum(sizes)])
        for name, value in (
            ("prices", prices),
            ("sizes_base", sizes),
            ("capacity_base", float(cumulative[-1])),
            ("_moves", np.concatenate([[0.0], moves])),
            ("_cumulative", cumulative),
            ("_proceeds", np.concatenate([[0.0], np.cumsum(sizes * prices)])),
        ):
            object.__setattr__(self, name, value)

    @property
    def scale(self) -> Scale:
        """Scale of the move."""
        return self.coordinate.scale

    @property
    def side(self) -> Side:
        """Side whose closing walks the book: bids for longs, asks for shorts."""
        return self.coordinate.side

    @property
    def edges_base(self) -> FloatArray:
        """Quantities at which a level is used up and the price jumps, shape (n_levels,)."""
        return self._cumulative[1:]

    def _level(self, quantity_base: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.intp]]:
        """Quantities, and the level (from 1; 0 for nothing) of the last unit of each."""
        quantity = np.asarray(quantity_base, dtype=np.float64)
        if not (quantity >= 0).all():
            raise ParameterError(
                f"quantity_base has the value {np.min(quantity)!r}; expected quantities of at "
                f"least 0. Pass the forced quantity as a positive number."
            )
        if (quantity > self.capacity_base).any():
            raise BookExhausted(float(quantity.max()), self.capacity_base)
        return quantity, np.searchsorted(self._cumulative, quantity, side="left")

    def move(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I(Q): move of the price of the last unit, coordinate units."""
        return np.asarray(self._moves[self._level(quantity_base)[1]])

    def slope(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """Rise of the move over the level of the last unit per base unit: a description.

        A step function has no slope; this is the distance to the next level over the size of
        the present one, 0 at the last.
        """
        _, level = self._level(quantity_base)
        steps = np.append(np.diff(self._moves[1:]) / self.sizes_base[:-1], 0.0)
        return np.asarray(steps[np.maximum(level - 1, 0)])

    def slope_bounds(self, low_base: float, high_base: float) -> tuple[float, float]:
        """Nothing better than (0, inf): a curve on a walked book is solved by plain rounds."""
        return 0.0, float("inf")

    def inverse(self, move: npt.ArrayLike) -> FloatArray:
        """Largest quantity that moves the price by no more, base units; infinite beyond the end."""
        values = np.asarray(move, dtype=np.float64)
        n_levels = np.searchsorted(self._moves[1:], values, side="right")
        return np.where(values > self._moves[-1], np.inf, self._cumulative[n_levels])

    def marginal_price(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """Price of the last unit, quote per base; the best price for nothing."""
        return np.asarray(self.prices[np.maximum(self._level(quantity_base)[1] - 1, 0)])

    def proceeds(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """Quote received (paid, for asks) for a quantity."""
        quantity, level = self._level(quantity_base)
        before = np.maximum(level - 1, 0)
        rest = quantity - self._cumulative[before]
        return np.asarray(self._proceeds[before] + rest * self.prices[before])

    def average_price(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """Average price of a quantity, quote per base; the best price for nothing."""
        quantity = np.asarray(quantity_base, dtype=np.float64)
        best = np.full(quantity.shape, self.prices[0])
        average: FloatArray = np.divide(
            self.proceeds(quantity), quantity, out=best, where=quantity > 0
        )
        return average
