"""How far a forced quantity moves the price: I(Q), its slope, its inverse, its capacity.

Every impact is a non-decreasing function of a non-negative quantity with I(0) = 0, measured in
the unit of the coordinate in use (quote per base, or log points). Inputs may be scalars or
arrays; shapes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cascadelab.errors import BookExhausted, ParameterError, require_positive
from cascadelab.units import FloatArray, Scale, Side

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
    scale : {"price", "log"}, optional
        What the slope was measured in, where it was measured: the solver then refuses the other.

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
    scale: Scale | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope_per_base) and self.slope_per_base >= 0):
            raise ParameterError.out_of_range(self, "slope_per_base", "a finite number >= 0")
        if self.scale not in (None, "price", "log"):
            raise ParameterError.unknown("scale", str(self.scale), ("price", "log"))

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
        # The function, not the operator: of one number that differs from arrays in the last bit.
        power = np.sqrt(ratio) if self.exponent == 0.5 else np.power(ratio, self.exponent)
        return np.asarray(self.coefficient * power)

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
    side : {"long", "short"}
        Whose positions are closed: longs by sales into the pool, shorts by purchases from it.

    Notes
    -----
    Selling q pays out :math:`Y - XY/(X+(1-f)q)`; the marginal price after it is
    :math:`p_s X^2/((X+(1-f)q)(X+q))`. Buying q costs :math:`Yq/((1-f)(X-q))`; the marginal price
    after it is :math:`p_s (1+\frac{f}{1-f}\frac qX)/(1-\frac qX)^2`, and q stays below X. A pool
    holds more base after arbitrage has moved it to a lower price: use :meth:`after_shock`.

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
    side: Side = "long"

    def __post_init__(self) -> None:
        require_positive(self, "reserve_base", "pool_price")
        if not 0 <= self.fee_fraction < 1:
            raise ParameterError.out_of_range(self, "fee_fraction", "[0, 1)")
        if self.scale not in ("price", "log"):
            raise ParameterError.unknown("scale", str(self.scale), ("price", "log"))
        if self.side not in ("long", "short"):
            raise ParameterError.unknown("side", str(self.side), ("long", "short"))

    @property
    def capacity_base(self) -> float:  # type: ignore[override]
        """Largest quantity that has a price, base units: any if sold, less than X if bought."""
        return float("inf") if self.side == "long" else float(np.nextafter(self.reserve_base, 0))

    @property
    def _kept(self) -> float:
        return 1.0 - self.fee_fraction

    def after_shock(self, price: float) -> ConstantProductImpact:
        r"""Return the pool after arbitrage to `price`, with reserves :math:`X\sqrt{p/p'}`."""
        if not (np.isfinite(price) and price > 0):
            raise ParameterError(f"price is {price!r}; expected a positive price. Pass one.")
        reserve = self.reserve_base * np.sqrt(self.pool_price / price)
        return replace(self, reserve_base=float(reserve), pool_price=price)

    def _share(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """Quantity over the reserve."""
        quantity = _quantity(quantity_base)
        if (quantity > self.capacity_base).any():
            raise BookExhausted(float(quantity.max()), self.capacity_base)
        return np.asarray(quantity / self.reserve_base)

    def proceeds(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """Quote received for selling a quantity (paid for buying it), shape of the input."""
        share, quote = self._share(quantity_base), self.reserve_base * self.pool_price
        if self.side == "short":
            return np.asarray(quote * share / (self._kept * (1.0 - share)))
        return np.asarray(quote * self._kept * share / (1.0 + self._kept * share))

    def move(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I(Q): fall (for shorts rise) of the marginal price, coordinate units."""
        logs = self._log_move(self._share(quantity_base))
        if self.scale == "log":
            return logs
        return np.asarray(self.pool_price * self._sign * np.expm1(self._sign * logs))

    @property
    def _sign(self) -> float:
        return -1.0 if self.side == "long" else 1.0

    def _log_move(self, share: FloatArray) -> FloatArray:
        if self.side == "short":
            toll = self.fee_fraction / self._kept
            return np.asarray(np.log1p(toll * share) - 2.0 * np.log1p(-share))
        return np.asarray(np.log1p(self._kept * share) + np.log1p(share))

    def slope(self, quantity_base: npt.ArrayLike) -> FloatArray:
        """I'(Q), coordinate units per base unit."""
        share = self._share(quantity_base)
        if self.side == "short":
            toll = self.fee_fraction / self._kept
            log_slope = toll / (1.0 + toll * share) + 2.0 / (1.0 - share)
        else:
            log_slope = self._kept / (1.0 + self._kept * share) + 1.0 / (1.0 + share)
        log_slope = log_slope / self.reserve_base
        if self.scale == "log":
            return np.asarray(log_slope)
        ratio = np.exp(self._sign * self._log_move(share))
        return np.asarray(self.pool_price * ratio * log_slope)

    def inverse(self, move: npt.ArrayLike) -> FloatArray:
        """Quantity that causes a move, base units; infinite where the price would be zero."""
        values = np.asarray(move, dtype=np.float64)
        # rise = p_s/p - 1 for sales, p/p_s - 1 for purchases.
        if self.scale == "log":
            rise = np.expm1(values)
        elif self.side == "short":
            rise = values / self.pool_price
        else:
            left = np.maximum(self.pool_price - values, 0.0)
            with np.errstate(divide="ignore"):
                rise = values / left
        return np.asarray(self.reserve_base * self._share_of(np.asarray(rise)))

    def _share_of(self, rise: FloatArray) -> FloatArray:
        """Positive root x = Q/X, in the form without cancellation (infinite for sales to zero)."""
        if self.side == "short":
            # r x^2 - (2 r + a) x + (r - 1) = 0 with r = 1 + rise, a = f/(1 - f).
            toll, ratio = self.fee_fraction / self._kept, 1.0 + rise
            root = np.sqrt(toll * toll + 4.0 * ratio * (1.0 + toll))
            return np.asarray(2.0 * rise / (2.0 * ratio + toll + root))
        # kept x^2 + (1 + kept) x = rise.
        both = 1.0 + self._kept
        with np.errstate(invalid="ignore"):
            share = 2.0 * rise / (both + np.sqrt(both * both + 4.0 * self._kept * rise))
        return np.where(np.isinf(rise), np.inf, share)
