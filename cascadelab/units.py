"""Units and signs: the two directions of a drop, price and log-price coordinates, flow signs.

The cascade model measures a move by its size ``y >= 0``: a fall for longs, a rise for shorts.
:class:`Coordinate` is the only place that turns such a move into a price and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError

__all__ = [
    "Coordinate",
    "FloatArray",
    "IntArray",
    "Scale",
    "Side",
    "forced_sales_to_signed_flow",
    "utc_time",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Scale = Literal["price", "log"]
Side = Literal["long", "short"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coordinate:
    r"""How a move ``y >= 0`` away from a reference price is measured.

    Parameters
    ----------
    reference_price : float
        Price before the shock, quote per base, positive.
    scale : {"price", "log"}
        ``"price"``: y in quote per base. ``"log"``: y is dimensionless.
    side : {"long", "short"}
        Whose liquidations the move causes: ``"long"`` measures a fall, ``"short"`` a rise.

    Notes
    -----
    With :math:`k=+1` for longs and :math:`-1` for shorts, :math:`y = k (p_0 - p)` in price and
    :math:`y = k \ln(p_0/p)` in log-price.

    Examples
    --------
    >>> float(Coordinate(reference_price=100.0).price_at(10.0))
    90.0
    >>> round(float(Coordinate(reference_price=100.0, scale="log").move_to(90.0)), 6)
    0.105361
    """

    reference_price: float
    scale: Scale = "price"
    side: Side = "long"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.reference_price) and self.reference_price > 0):
            raise ParameterError.out_of_range(self, "reference_price", "a positive finite price")
        if self.scale not in ("price", "log"):
            raise ParameterError.unknown("scale", str(self.scale), ("price", "log"))
        if self.side not in ("long", "short"):
            raise ParameterError.unknown("side", str(self.side), ("long", "short"))

    @property
    def unit(self) -> str:
        """Unit of y, for axes and tables."""
        return "quote per base" if self.scale == "price" else "log points"

    @property
    def _sign(self) -> float:
        return 1.0 if self.side == "long" else -1.0

    def move_to(self, price: npt.ArrayLike) -> FloatArray:
        """Move y from the reference to `price`; negative if the price lies on the other side."""
        values = np.asarray(price, dtype=np.float64)
        if self.scale == "price":
            return self._sign * (self.reference_price - values)
        with np.errstate(divide="ignore"):
            return self._sign * np.log(self.reference_price / values)

    def price_at(self, move: npt.ArrayLike) -> FloatArray:
        """Price after a move of size y."""
        values = np.asarray(move, dtype=np.float64)
        if self.scale == "price":
            return self.reference_price - self._sign * values
        return self.reference_price * np.exp(-self._sign * values)


def forced_sales_to_signed_flow(sold_base: npt.ArrayLike, side: Side = "long") -> FloatArray:
    """Signed market flow (buy positive) of a forced quantity.

    The cascade model counts forced quantity as positive whichever side is closed; regressions
    use signed flow. Closing longs sells (negative), closing shorts buys (positive).

    Parameters
    ----------
    sold_base : array_like of shape (n,)
        Forced quantity, base units, non-negative.
    side : {"long", "short"}
        Side that was closed.

    Returns
    -------
    ndarray of shape (n,)
        Signed flow, base units.

    Examples
    --------
    >>> forced_sales_to_signed_flow([2.0], "long")
    array([-2.])
    """
    quantity = np.asarray(sold_base, dtype=np.float64)
    return -quantity if side == "long" else quantity.copy()


def utc_time(text: str) -> datetime:
    """Time of an ISO 8601 text, in UTC; a text without a zone is taken as UTC.

    Raises
    ------
    ParameterError
        If the text is no time.

    Examples
    --------
    >>> utc_time("2025-10-10T20:50").isoformat()
    '2025-10-10T20:50:00+00:00'
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ParameterError(
            f"{text!r} is no time; expected ISO 8601 such as '2025-10-10T20:50'. Correct it."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
