"""How far a forced quantity moves the price: I(Q), its slope, its inverse, its capacity.

Every impact is a non-decreasing function of a non-negative quantity with I(0) = 0, measured in
the unit of the coordinate in use (quote per base, or log points). Inputs may be scalars or
arrays; shapes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError, require_positive
from cascadelab.units import FloatArray, Scale

__all__ = [
    "BoundedImpact",
    "ConstantProductImpact",
    "Impact",
    "LinearImpact",
    "PowerImpact",
    "RegularisedSquareRootImpact",
    "exponential_impact",
    "power_book_impact",
]


class Impact(Protocol):
    """What the solver asks of an impact function.

    ``slope`` is monotone in the quantity for every impact here, so that its bounds over an
    interval are its values at the ends; the solver relies on ``slope_bounds`` only.
    """

    @property
    def capacity_base(self) -> float:
        """Largest quantity that has a price, base units; infinite for continuous books."""
        ...

    def move(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I(Q), coordinate units."""
        ...

    def slope(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I'(Q), coordinate units per base unit."""
        ...

    def inverse(self, move: npt.ArrayLike) -> FloatArray:
        """Quantity that causes a move, base units; infinite beyond the largest move."""
        ...

    def slope_bounds(self, low_base: float, high_base: float) -> tuple[float, float]:
        """Smallest and largest slope for quantities between `low_base` and `high_base`."""
        ...


class _MonotoneSlope:
    """Bounds of a monotone slope: its values at the ends of the interval."""

    capacity_base = float("inf")

    def slope(self, quantity_base: npt.ArrayLike) -> FloatArray:
        raise TypeError(f"{type(self).__name__} does not define slope().")

    def slope_bounds(self, low_base: float, high_base: float) -> tuple[float, float]:
        """Smallest and largest slope for quantities between `low_base` and `high_base`."""
        first, last = float(self.slope(low_base)), float(self.slope(high_base))
        return min(first, last), max(first, last)


def _quantity(quantity_base: npt.ArrayLike) -> FloatArray:
    if type(quantity_base) is float and quantity_base >= 0.0:
        return np.float64(quantity_base)  # acts as a 0-d array
    quantity = np.asarray(quantity_base, dtype=np.float64)
    if not (quantity >= 0).all():
        raise ParameterError(
            f"quantity_base has the value {np.min(quantity)!r}; expected quantities of at least 0. "
            f"Pass the forced quantity as a positive number, whichever side is closed."
        )
    return quantity


@dataclass(frozen=True, kw_only=True)
class LinearImpact(_MonotoneSlope):
    r"""Impact :math:`I(Q) = \lambda Q`.

    Parameters
    ----------
    slope_per_base : float
        :math:`\lambda \ge 0`, coordinate units per base unit; depth is its inverse.

    References
    ----------
    Kyle (1985), Continuous Auctions and Insider Trading; Cont, Kukanov, Stoikov (2014), The
    Price Impact of Order Book Events (slope proportional to 1/depth).

    Examples
    --------
    >>> float(LinearImpact(slope_per_base=0.05).move(10.0))
    0.5
    """

    slope_per_base: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope_per_base) and self.slope_per_base >= 0):
            raise ParameterError.out_of_range(self, "slope_per_base", "a finite number >= 0")

    def move(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I(Q), coordinate units."""
        return self.slope_per_base * _quantity(quantity_base)

    def slope(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I'(Q), coordinate units per base unit."""
        return np.full_like(_quantity(quantity_base), self.slope_per_base)

    def inverse(self, move: npt.ArrayLike) -> FloatArray:
        """Quantity that causes a move, base units; infinite if the slope is 0."""
        values = np.asarray(move, dtype=np.float64)
        if self.slope_per_base == 0:
            return np.where(values > 0, np.inf, 0.0)
        return values / self.slope_per_base


@dataclass(frozen=True, kw_only=True)
class PowerImpact(_MonotoneSlope):
    r"""Impact :math:`I(Q) = c\,(Q/V)^\delta`, the square-root law at :math:`\delta=1/2`.

    Parameters
    ----------
    coefficient : float
        :math:`c = Y \sigma p_0` (price) or :math:`Y\sigma` (log), coordinate units, positive.
    volume_base : float
        Volume :math:`V` over the time in which :math:`\sigma` is measured, base units, positive.
    exponent : float
        :math:`\delta`, in (0, 2].

    Notes
    -----
    For :math:`\delta<1` the slope at zero is infinite: with any positive density of thresholds
    the state of no move is unstable. Prefer :class:`RegularisedSquareRootImpact` in a loop.

    References
    ----------
    Sato, Kanazawa (2025), Strict Universality of the Square-Root Law; Donier, Bonart (2015).
    """

    coefficient: float
    volume_base: float = 1.0
    exponent: float = 0.5

    def __post_init__(self) -> None:
        require_positive(self, "coefficient", "volume_base")
        if not 0 < self.exponent <= 2:
            raise ParameterError.out_of_range(self, "exponent", "(0, 2]")

    def move(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I(Q), coordinate units."""
        ratio = _quantity(quantity_base) / self.volume_base
        return np.asarray(self.coefficient * ratio**self.exponent)

    def slope(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I'(Q), coordinate units per base unit; infinite at 0 for an exponent below 1."""
        ratio = _quantity(quantity_base) / self.volume_base
        with np.errstate(divide="ignore"):
            power = ratio ** (self.exponent - 1.0)
        return np.asarray(self.coefficient * self.exponent / self.volume_base * power)

    def inverse(self, move: npt.ArrayLike) -> FloatArray:
        """Quantity that causes a move, base units."""
        ratio = np.asarray(move, dtype=np.float64) / self.coefficient
        return np.asarray(self.volume_base * ratio ** (1.0 / self.exponent))


@dataclass(frozen=True, kw_only=True)
class RegularisedSquareRootImpact(_MonotoneSlope):
    r"""Impact :math:`I(Q) = b(\sqrt{Q+Q_c}-\sqrt{Q_c})`: linear when small, square root when large.

    Parameters
    ----------
    coefficient : float
        :math:`b`, coordinate units per square root of base unit, positive.
    crossover_base : float
        :math:`Q_c`, base units, positive; the slope at zero is :math:`b/(2\sqrt{Q_c})`.

    References
    ----------
    Bucci, Benzaquen, Lillo, Bouchaud (2019), Crossover from Linear to Square-Root Market Impact
    (that the crossover exists; the form is ours).
    """

    coefficient: float
    crossover_base: float

    def __post_init__(self) -> None:
        require_positive(self, "coefficient", "crossover_base")

    def move(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I(Q), coordinate units."""
        quantity = _quantity(quantity_base)
        # b Q / (sqrt(Q + Qc) + sqrt(Qc)): no cancellation for Q much smaller than Qc.
        root = np.sqrt(quantity + self.crossover_base) + np.sqrt(self.crossover_base)
        return np.asarray(self.coefficient * quantity / root)

    def slope(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I'(Q), coordinate units per base unit."""
        return np.asarray(
            0.5 * self.coefficient / np.sqrt(_quantity(quantity_base) + self.crossover_base)
        )

    def inverse(self, move: npt.ArrayLike) -> FloatArray:
        """Quantity that causes a move, base units."""
        scaled = np.asarray(move, dtype=np.float64) / self.coefficient
        return np.asarray(scaled * (scaled + 2.0 * np.sqrt(self.crossover_base)))


@dataclass(frozen=True, kw_only=True)
class BoundedImpact(_MonotoneSlope):
    r"""Impact that cannot push the price below a floor, in the price coordinate.

    :math:`I(Q) = (p_0-B)\,(1-e^{-\lambda Q/(p_0-B)})`.

    Parameters
    ----------
    reference_price : float
        :math:`p_0`, quote per base, positive.
    slope_per_base : float
        Slope :math:`\lambda` at zero, quote per base per base unit, positive.
    floor_price : float
        :math:`B`, quote per base, in [0, reference_price).
    """

    reference_price: float
    slope_per_base: float
    floor_price: float = 0.0
    scale: Scale = field(default="price", init=False)

    def __post_init__(self) -> None:
        require_positive(self, "reference_price", "slope_per_base")
        if not 0 <= self.floor_price < self.reference_price:
            raise ParameterError.out_of_range(self, "floor_price", "[0, reference_price)")

    @property
    def _room(self) -> float:
        return self.reference_price - self.floor_price

    def move(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I(Q), quote per base."""
        exponent = -self.slope_per_base * _quantity(quantity_base) / self._room
        return np.asarray(-self._room * np.expm1(exponent))

    def slope(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I'(Q), quote per base per base unit."""
        exponent = -self.slope_per_base * _quantity(quantity_base) / self._room
        return np.asarray(self.slope_per_base * np.exp(exponent))

    def inverse(self, move: npt.ArrayLike) -> FloatArray:
        """Quantity that causes a move, base units; infinite from the floor on."""
        share = np.minimum(np.asarray(move, dtype=np.float64) / self._room, 1.0)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.log1p(-share) * self._room / self.slope_per_base)


def exponential_impact(
    *, reference_price: float, sensitivity: float, total_base: float
) -> BoundedImpact:
    r"""Impact under which the price is :math:`p_0 e^{-\beta Q/Q_{tot}}`, price coordinate.

    In the log-price coordinate the same law is ``LinearImpact(slope_per_base=beta / total)``.

    Parameters
    ----------
    reference_price : float
        :math:`p_0`, quote per base.
    sensitivity : float
        :math:`\beta`, dimensionless, positive.
    total_base : float
        :math:`Q_{tot}`, base units, positive.

    References
    ----------
    Cifuentes, Ferrucci, Shin (2005), Liquidity Risk and Contagion.
    """
    if not (np.isfinite(total_base) and total_base > 0):
        raise ParameterError(f"total_base is {total_base!r}; expected a positive number. Pass one.")
    slope = reference_price * sensitivity / total_base
    return BoundedImpact(reference_price=reference_price, slope_per_base=slope)


def power_book_impact(*, density_coefficient: float, density_exponent: float) -> PowerImpact:
    r"""Impact of a continuous book whose density is a power of the distance.

    Parameters
    ----------
    density_coefficient : float
        :math:`c` of the density :math:`q(x) = c\,x^a`, base units per coordinate unit to the
        power :math:`a+1`, positive.
    density_exponent : float
        :math:`a \ge -1/2`: 0 is an even book (linear impact), 1 a V-shaped one (square root).

    Returns
    -------
    PowerImpact
        :math:`I(Q) = ((a+1)Q/c)^{1/(a+1)}`.

    Raises
    ------
    ParameterError
        If a parameter is out of its range.

    References
    ----------
    Donier, Bonart, Mastromatteo, Bouchaud (2015), A Fully Consistent, Minimal Model for
    Non-linear Market Impact (the V-shaped latent book).

    Examples
    --------
    >>> even = power_book_impact(density_coefficient=20.0, density_exponent=0.0)
    >>> float(even.move(10.0))
    0.5
    """
    if not (np.isfinite(density_exponent) and density_exponent >= -0.5):
        raise ParameterError(
            f"density_exponent is {density_exponent!r}; expected a number of at least -0.5. "
            f"Pass 0 for an even book or 1 for a V-shaped one."
        )
    if not (np.isfinite(density_coefficient) and density_coefficient > 0):
        raise ParameterError(
            f"density_coefficient is {density_coefficient!r}; expected a positive number. Pass one."
        )
    power = density_exponent + 1.0
    return PowerImpact(
        coefficient=float((power / density_coefficient) ** (1 / power)), exponent=1 / power
    )


@dataclass(frozen=True, kw_only=True)
class ConstantProductImpact(_MonotoneSlope):
    r"""Move of the marginal price of a constant-product pool when base is sold into it.

    Parameters
    ----------
    reserve_base : float
        Base units in the pool, :math:`X`, positive.
    pool_price : float
        Marginal price before the sale, :math:`p_s = Y/X`, quote per base, positive.
    fee_fraction : float
        Fee on the amount paid in, in [0, 1); it stays in the pool.
    scale : {"price", "log"}
        Coordinate of the move.

    Notes
    -----
    Selling q pays out :math:`Y - XY/(X+(1-f)q)`; the marginal price after it is
    :math:`p_s X^2/((X+(1-f)q)(X+q))`. A pool holds more base after arbitrage has moved it to a
    lower price: use :meth:`after_shock`.

    Examples
    --------
    >>> pool = ConstantProductImpact(reserve_base=1000.0, pool_price=100.0, fee_fraction=0.003)
    >>> round(float(pool.proceeds(50.0)), 6), round(100.0 - float(pool.move(50.0)), 6)
    (4748.297376, 90.715907)
    """

    reserve_base: float
    pool_price: float
    fee_fraction: float = 0.0
    scale: Scale = "price"

    def __post_init__(self) -> None:
        require_positive(self, "reserve_base", "pool_price")
        if not 0 <= self.fee_fraction < 1:
            raise ParameterError.out_of_range(self, "fee_fraction", "[0, 1)")
        if self.scale not in ("price", "log"):
            raise ParameterError.unknown("scale", str(self.scale), ("price", "log"))

    def after_shock(self, price: float) -> ConstantProductImpact:
        r"""Return the pool after arbitrage to `price`, with reserves :math:`X\sqrt{p/p'}`."""
        if not (np.isfinite(price) and price > 0):
            raise ParameterError(f"price is {price!r}; expected a positive price. Pass one.")
        reserve = self.reserve_base * np.sqrt(self.pool_price / price)
        return ConstantProductImpact(
            reserve_base=float(reserve),
            pool_price=price,
            fee_fraction=self.fee_fraction,
            scale=self.scale,
        )

    def proceeds(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """Quote paid out for selling a quantity, shape of the input."""
        paid_in = (1.0 - self.fee_fraction) * _quantity(quantity_base)
        quote = self.reserve_base * self.pool_price
        return np.asarray(quote * paid_in / (self.reserve_base + paid_in))

    def _ratio(self, quantity: FloatArray) -> FloatArray:
        kept = 1.0 - self.fee_fraction
        share = quantity / self.reserve_base
        return np.asarray(1.0 / ((1.0 + kept * share) * (1.0 + share)))

    def move(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I(Q): fall of the marginal price, coordinate units."""
        quantity = _quantity(quantity_base)
        if self.scale == "price":
            return np.asarray(self.pool_price * (1.0 - self._ratio(quantity)))
        kept = 1.0 - self.fee_fraction
        share = quantity / self.reserve_base
        return np.asarray(np.log1p(kept * share) + np.log1p(share))

    def slope(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I'(Q), coordinate units per base unit."""
        quantity = _quantity(quantity_base)
        kept = 1.0 - self.fee_fraction
        log_slope = kept / (self.reserve_base + kept * quantity) + 1.0 / (
            self.reserve_base + quantity
        )
        if self.scale == "log":
            return np.asarray(log_slope)
        return np.asarray(self.pool_price * self._ratio(quantity) * log_slope)

    def inverse(self, move: npt.ArrayLike) -> FloatArray:
        """Quantity that causes a move, base units; infinite where the price would be zero."""
        values = np.asarray(move, dtype=np.float64)
        if self.scale == "price":
            left = np.maximum(1.0 - values / self.pool_price, 0.0)
        else:
            left = np.exp(-values)
        kept = 1.0 - self.fee_fraction
        # kept x^2 + (1 + kept) x + 1 = 1/left for x = Q/X; the positive root.
        with np.errstate(divide="ignore"):
            product = 1.0 / left - 1.0
        root = np.sqrt((1.0 + kept) ** 2 + 4.0 * kept * product)
        return np.asarray(self.reserve_base * (root - (1.0 + kept)) / (2.0 * kept))
