"""Loops without a threshold: leverage targets, leverage caps, margin spirals, depth that leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError, require_positive
from cascadelab.flow import UniformFlow
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import Coordinate, FloatArray

__all__ = [
    "LeverageTargetFlow",
    "MarginSpiral",
    "WithdrawalFlow",
    "leverage_cap_gain",
    "leverage_target_slope",
    "with_withdrawal",
]


def leverage_target_slope(leverage: float, holding_base: float, price: float) -> float:
    """Units bought per unit of price by a holder kept at a leverage: ``(L - 1) n / p``.

    Two-sided: bought as the price rises, sold as it falls. Below a leverage of 1 the sign turns.

    Raises
    ------
    ParameterError
        If the price is not positive.
    """
    if not price > 0:
        raise ParameterError(f"price is {price!r}; expected a positive price. Pass one.")
    return (leverage - 1.0) * holding_base / price


@dataclass(frozen=True, kw_only=True)
class LeverageTargetFlow:
    r"""Sales of holders who keep their leverage while the price falls.

    Parameters
    ----------
    holding_base : float
        Units held before the move, positive.
    leverage : float
        Assets over equity, above 1.
    coordinate : Coordinate
        Reference price and scale of the move; side ``"long"``.

    Notes
    -----
    :math:`dn/dp=(L-1)n/p`, so that :math:`n = n_0 (p/p_0)^{L-1}` and
    :math:`Q(y) = n_0(1-(p/p_0)^{L-1})`. Unlike liquidations these are undone by a rebound.
    """

    holding_base: float
    leverage: float
    coordinate: Coordinate

    def __post_init__(self) -> None:
        require_positive(self, "holding_base")
        if not (np.isfinite(self.leverage) and self.leverage > 1):
            raise ParameterError.out_of_range(self, "leverage", "a finite number above 1")
        if self.coordinate.side != "long":
            raise ParameterError(
                "LeverageTargetFlow describes falls; expected a coordinate of side 'long'. "
                "For a rise the same holders buy: dn/dp = (L - 1) n/p."
            )

    @property
    def total_base(self) -> float:
        """All units, sold when the price reaches zero."""
        return self.holding_base

    def _share(self, move: npt.ArrayLike) -> FloatArray:
        return np.maximum(self.coordinate.price_at(move) / self.coordinate.reference_price, 0.0)

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units."""
        return np.asarray(self.holding_base * (1.0 - self._share(move) ** (self.leverage - 1.0)))

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Q'(y), base per coordinate unit."""
        share, power = self._share(move), self.leverage - 1.0
        if self.coordinate.scale == "log":
            return np.asarray(self.holding_base * power * share**power)
        with np.errstate(divide="ignore"):
            density = self.holding_base * power * share ** (power - 1.0)
        # At a price of zero all is sold; before it the density of a leverage below 2 has no limit.
        return np.where(share > 0, density / self.coordinate.reference_price, 0.0)

    def density_bounds(self, low: float, high: float) -> tuple[float, float]:
        """Smallest and largest density between two moves; none is left once the price is zero."""
        ends = float(self.density(low)), float(self.density(high))
        reaches_zero = self.coordinate.price_at(low) > 0 >= self.coordinate.price_at(high)
        if reaches_zero and self.leverage < 2:
            return 0.0, float("inf")
        return min(ends), max(ends)


def leverage_cap_gain(*, leverage: float, fund_value: float, noise_demand: float) -> float:
    r"""Loop gain of funds at their leverage cap beside noise traders.

    Parameters
    ----------
    leverage : float
        Cap L, at least 1.
    fund_value : float
        Wealth of the funds, quote.
    noise_demand : float
        :math:`\xi` of the noise traders' demand :math:`\xi/p`, quote, positive.

    Returns
    -------
    float
        :math:`g=(L-1)\,W/\xi`; a shock is amplified by 1/(1 - g) while g < 1.

    References
    ----------
    Thurner, Farmer, Geanakoplos (2012), Leverage Causes Fat Tails and Clustered Volatility.
    """
    if not noise_demand > 0:
        raise ParameterError(
            f"noise_demand is {noise_demand!r}; expected a positive number. Pass one."
        )
    return (leverage - 1.0) * fund_value / noise_demand


@dataclass(frozen=True, kw_only=True, slots=True)
class MarginSpiral:
    r"""Loss and margin spiral of a speculator whose margin requirement binds.

    Parameters
    ----------
    margin : float
        Margin m per unit at the present price, quote per base, positive.
    margin_slope : float
        :math:`m'`: negative where margins rise as the price falls (margin spiral).
    position : float
        Position :math:`x_1` that the margin allows, base.
    position_slope : float
        :math:`k = x_1'`: by how much the position rises with the price, base per quote, positive.
    initial_position : float
        Position :math:`x_0` held before, base; positive makes the loss spiral.

    Notes
    -----
    From :math:`m(p)x_1(p) = W + p x_0 + \eta` by differentiation:
    :math:`dp/d\eta = 1/(k m + m' x_1 - x_0)`.

    References
    ----------
    Brunnermeier, Pedersen (2009), Market Liquidity and Funding Liquidity.
    """

    margin: float
    margin_slope: float
    position: float
    position_slope: float
    initial_position: float

    def __post_init__(self) -> None:
        require_positive(self, "margin", "position_slope")

    @property
    def gain(self) -> float:
        """Loop gain (x0 - m' x1)/(k m); the spiral runs away from 1 on."""
        pull = self.initial_position - self.margin_slope * self.position
        return pull / (self.position_slope * self.margin)

    @property
    def price_response(self) -> float:
        """dp/d(funding), per base; infinite from a gain of 1 on."""
        if self.gain >= 1:
            return float("inf")
        return 1.0 / (self.position_slope * self.margin * (1.0 - self.gain))


@dataclass(frozen=True, kw_only=True)
class WithdrawalFlow:
    r"""Even band of thresholds in a book that thins as the price falls, seen at calm depth.

    Parameters
    ----------
    density_base : float
        :math:`\rho`, base units per coordinate unit, positive.
    scale : float
        :math:`\ell`, coordinate units, positive: depth falls to 1/e over it.
    width : float
        Width of the band, coordinate units.
    coordinate : Coordinate or None
        What y measures.

    Notes
    -----
    With the slope :math:`\lambda(y)=\lambda_0 e^{y/\ell}`, selling at y costs as much as selling
    :math:`e^{y/\ell}` times the quantity at calm depth. The curve counts such quantities, to be
    used with ``LinearImpact(slope_per_base=lambda_0)``:
    :math:`Q(y) = \rho\ell(e^{y/\ell}-1)`.
    """

    density_base: float
    scale: float
    width: float
    coordinate: Coordinate | None = None

    def __post_init__(self) -> None:
        require_positive(self, "density_base", "scale", "width")

    @property
    def edges(self) -> tuple[float, ...]:
        """Moves at which the density jumps, coordinate units."""
        return 0.0, self.width

    @property
    def total_base(self) -> float:
        """Quantity of the whole band at calm depth, base units."""
        return float(self.quantity(self.width))

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units at calm depth."""
        inside = np.clip(np.asarray(move, dtype=np.float64), 0.0, self.width)
        return np.asarray(self.density_base * self.scale * np.expm1(inside / self.scale))

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Q'(y), base units at calm depth per coordinate unit."""
        y = np.asarray(move, dtype=np.float64)
        inside = (y >= 0.0) & (y < self.width)
        power = np.exp(np.clip(y, 0.0, self.width) / self.scale)
        return np.where(inside, self.density_base * power, 0.0)

    def density_bounds(self, low: float, high: float) -> tuple[float, float]:
        """Smallest and largest density between two moves."""
        band = UniformFlow(density_base=self.density_base, width=self.width)
        smallest, largest = band.density_bounds(low, high)
        first, last = np.exp(np.clip([low, high], 0.0, self.width) / self.scale).tolist()
        return smallest * first, largest * last


def with_withdrawal(book: LedgerFlow, scale: float) -> LedgerFlow:
    """Return a book seen at calm depth when depth falls by the factor e over every `scale` of move.

    Parameters
    ----------
    book : LedgerFlow
    scale : float
        Coordinate units, positive.

    Returns
    -------
    LedgerFlow
        Sizes times ``exp(threshold / scale)``, thresholds below zero counting as zero.

    Raises
    ------
    ParameterError
        If `scale` is not positive.
    """
    if not scale > 0:
        raise ParameterError(f"scale is {scale!r}; expected a positive move. Pass one.")
    reached = np.where(np.isfinite(book.thresholds), np.maximum(book.thresholds, 0.0), 0.0)
    return replace(book, sizes_base=book.sizes_base * np.exp(reached / scale))
