"""dYdX v4: subaccount health, bankruptcy and fillable prices, fund flows, deleveraging.

Signs: `delta_base` is the signed change of the position (a long is closed with a negative
delta); quote received is positive for a sale and negative for a purchase.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.margin.rounding import ceil_toward_infinity, is_below
from cascadelab.units import FloatArray

__all__ = [
    "Deleveraged",
    "Subaccount",
    "adjusted_initial_ppm",
    "deleverage",
    "initial_margin_quantums",
    "insurance_fund_delta",
    "max_liquidatable_notional",
    "single_position_bankruptcy_quantums",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subaccount:
    """Quote balance and perpetual positions of one subaccount at oracle prices.

    Parameters
    ----------
    quote_balance : float
        Signed, quote.
    size_base : ndarray of shape (n_markets,)
        Signed sizes.
    oracle_price : ndarray of shape (n_markets,)
        Quote per base.
    maintenance_fraction : ndarray of shape (n_markets,) or float
        Maintenance fraction of each market; open interest does not scale it.
    """

    quote_balance: float
    size_base: FloatArray
    oracle_price: FloatArray
    maintenance_fraction: FloatArray | float

    @property
    def _maintenance_by_market(self) -> FloatArray:
        value = np.abs(self.size_base) * self.oracle_price
        return np.asarray(value * self.maintenance_fraction)

    @property
    def net_collateral(self) -> float:
        """Quote balance plus positions at oracle prices (TNC), quote."""
        return float(self.quote_balance + np.dot(self.size_base, self.oracle_price))

    @property
    def maintenance_margin(self) -> float:
        """Total maintenance requirement (TMMR), quote."""
        return float(self._maintenance_by_market.sum())

    @property
    def is_liquidatable(self) -> bool:
        """Net collateral strictly below maintenance; equality is safe, so is no requirement."""
        gross = abs(self.quote_balance) + float(np.dot(np.abs(self.size_base), self.oracle_price))
        need = self.maintenance_margin
        return need > 0 and is_below(self.net_collateral, need, gross)

    def _check_closing(self, market: int, delta_base: float) -> None:
        size = float(self.size_base[market])
        if delta_base == 0 or delta_base * size >= 0 or abs(delta_base) > abs(size) * (1 + 1e-12):
            raise ParameterError(
                f"delta_base is {delta_base!r} for a position of {size!r}; expected a change that "
                f"closes it in part or whole. Pass the opposite sign and no more than its size."
            )

    def bankruptcy_quote(self, market: int, delta_base: float) -> float:
        r"""Quote received at the bankruptcy price for closing `delta_base`.

        Notes
        -----
        :math:`-\delta P - TNC \, |\Delta MMR| / TMMR`: net collateral is allotted to the closed leg
        by its share of total maintenance. The chain rounds towards plus infinity; see
        :func:`single_position_bankruptcy_quantums` for integers.
        """
        self._check_closing(market, delta_base)
        own = float(self._maintenance_by_market[market])
        share = own * abs(delta_base) / abs(float(self.size_base[market]))
        value = -delta_base * float(self.oracle_price[market])
        return value - self.net_collateral * share / self.maintenance_margin

    def insurance_fund_delta(
        self, market: int, delta_base: float, fill_price: float, max_fee_fraction: float
    ) -> float:
        """Fund payment for closing `delta_base` at a fill price, quote; negative: a cover."""
        quote = -delta_base * fill_price
        return insurance_fund_delta(
            quote, self.bankruptcy_quote(market, delta_base), max_fee_fraction
        )

    def fillable_price(
        self, market: int, bankruptcy_adjustment: float = 1.0, spread_to_maintenance: float = 0.1
    ) -> float:
        r"""Limit price of the liquidation order, quote per base.

        Notes
        -----
        :math:`P (1 \mp ABR \cdot SMMR \cdot MMF)`, minus for a long, with
        :math:`ABR = \min(1, \max(0, BA (1 - TNC/TMMR)))`.
        """
        rating = bankruptcy_adjustment * (1.0 - self.net_collateral / self.maintenance_margin)
        fraction = np.broadcast_to(self.maintenance_fraction, self.size_base.shape)[market]
        spread = min(1.0, max(0.0, rating)) * spread_to_maintenance * float(fraction)
        sign = math.copysign(1.0, float(self.size_base[market]))
        return float(self.oracle_price[market]) * (1.0 - sign * spread)


def single_position_bankruptcy_quantums(quote_balance: int, position: int, delta: int) -> int:
    """Bankruptcy quote of a one-position subaccount in quantums, rounded towards + infinity.

    With one position the oracle price cancels: the quote is balance × delta / position.

    Examples
    --------
    >>> single_position_bankruptcy_quantums(13_000_000, -100_000_000, 21_347)
    -2775
    """
    return ceil_toward_infinity(quote_balance * delta, position)


def adjusted_initial_ppm(
    initial_margin_ppm: int, open_interest: float, lower_cap: float, upper_cap: float
) -> int:
    """Initial margin fraction raised by open interest, ppm, floored.

    Notes
    -----
    IMF + (1 - IMF) clamp((OI - lower)/(upper - lower), 0, 1); without caps it is IMF.

    Examples
    --------
    >>> adjusted_initial_ppm(200_000, 1_234_567, 1_000_000, 2_000_000)
    387653
    """
    initial_margin_ppm = int(initial_margin_ppm)
    if open_interest <= lower_cap or upper_cap <= lower_cap:
        return initial_margin_ppm
    if open_interest >= upper_cap:
        return max(initial_margin_ppm, 1_000_000)
    above, width = int(open_interest - lower_cap), int(upper_cap - lower_cap)
    return initial_margin_ppm + (1_000_000 - initial_margin_ppm) * above // width


def initial_margin_quantums(
    position_quote_quantums: int,
    initial_margin_ppm: int,
    open_interest: float,
    lower_cap: float,
    upper_cap: float,
) -> int:
    """Initial requirement in quote quantums, rounded up, with open-interest scaling."""
    ppm = adjusted_initial_ppm(initial_margin_ppm, open_interest, lower_cap, upper_cap)
    return ceil_toward_infinity(int(position_quote_quantums) * ppm, 1_000_000)


def insurance_fund_delta(
    fill_quote: float, bankruptcy_quote: float, max_fee_fraction: float
) -> float:
    """Payment to the insurance fund: a capped fee if positive, a cover if negative, quote.

    Parameters
    ----------
    fill_quote : float
        Quote received for the closed quantity at the fill price (negative for a purchase).
    bankruptcy_quote : float
        Quote received for it at the bankruptcy price.
    max_fee_fraction : float
        Largest fee over the unsigned fill quote.

    Returns
    -------
    float
    """
    surplus = fill_quote - bankruptcy_quote
    if surplus <= 0:
        return surplus
    return min(surplus, max_fee_fraction * abs(fill_quote))


def max_liquidatable_notional(
    position_notional: npt.ArrayLike, max_portion: float, min_notional: float
) -> FloatArray:
    """Largest notional one block may liquidate: the portion, at least the minimum, at most all."""
    notional = np.asarray(position_notional, dtype=np.float64)
    return np.minimum(notional, np.maximum(notional * max_portion, min_notional))


@dataclass(frozen=True, kw_only=True, slots=True)
class Deleveraged:
    """Both accounts after one deleveraging match at the bankruptcy price.

    Parameters
    ----------
    matched_base : float
        Unsigned quantity matched.
    bankrupt_position, bankrupt_quote, offset_position, offset_quote : float
        Signed positions and quote balances afterwards.
    """

    matched_base: float
    bankrupt_position: float
    bankrupt_quote: float
    offset_position: float
    offset_quote: float


def deleverage(
    bankrupt_position: float,
    bankrupt_quote: float,
    offset_position: float,
    offset_quote: float,
    bankruptcy_price: float,
) -> Deleveraged:
    """Match a bankrupt position with one counterparty at the bankruptcy price.

    Raises
    ------
    ParameterError
        If the two positions are on the same side.
    """
    if bankrupt_position * offset_position >= 0:
        raise ParameterError(
            f"Positions are {bankrupt_position!r} and {offset_position!r}; expected opposite "
            f"sides. Deleveraging takes only the side opposite to the bankrupt position."
        )
    quantity = min(abs(bankrupt_position), abs(offset_position))
    signed = math.copysign(quantity, bankrupt_position)
    return Deleveraged(
        matched_base=quantity,
        bankrupt_position=bankrupt_position - signed,
        bankrupt_quote=bankrupt_quote + signed * bankruptcy_price,
        offset_position=offset_position + signed,
        offset_quote=offset_quote - signed * bankruptcy_price,
    )
