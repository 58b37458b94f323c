"""Margins that reserve a commission: BitMEX and its relatives (KuCoin), Phemex, edgeX, OKX ratios.

BitMEX counts in integers of the settlement unit: the value *per contract* is rounded first and
multiplied afterwards, so every number here can be compared with the exchange to the last unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.margin import inverse, linear
from cascadelab.margin.rounding import is_below, round_half_up
from cascadelab.units import FloatArray

__all__ = [
    "FixedMarginState",
    "MarginBalance",
    "ReservedMargin",
    "assigned_balance",
    "commission_reserve",
    "equity_at_ratio",
    "equity_from_reported_ratio",
    "execution_print",
    "fixed_margin_state",
    "integer_cost",
    "integer_unrealized_profit",
    "inverse_ratio",
    "is_liquidated_at_ratio",
    "liquidation_price_from_cost",
    "liquidation_price_from_integer_cost",
    "liquidation_price_of_assigned_balance",
    "maintenance_with_commission",
    "margin_balance",
    "margin_ratio_with_fee",
    "prices_from_collateral",
    "reserved_margin",
]

#: Satoshi per coin: the settlement unit of XBTUSD.
SATOSHI = 1e8


def integer_cost(price: npt.ArrayLike, contracts: npt.ArrayLike) -> FloatArray:
    """Cost of inverse contracts of 1 USD in satoshi: integer per contract, then times contracts.

    Parameters
    ----------
    price : array_like of shape (n,)
        USD per coin.
    contracts : array_like of shape (n,)
        Contracts; the sign is kept.

    Returns
    -------
    ndarray of shape (n,)
        Satoshi.

    Examples
    --------
    >>> float(integer_cost(6725, 500))
    7435000.0
    """
    return np.asarray(round_half_up(SATOSHI / np.asarray(price)) * np.asarray(contracts))


def integer_unrealized_profit(
    entry_price: float, contracts: float, mark_price: float
) -> FloatArray:
    """Profit of signed inverse contracts in satoshi, both values rounded per contract."""
    return np.asarray(integer_cost(entry_price, contracts) - integer_cost(mark_price, contracts))


def commission_reserve(
    cost: npt.ArrayLike, leverage: npt.ArrayLike, fee_fraction: float
) -> FloatArray:
    r"""Commission set aside for closing: :math:`f \\, cost \\, (1 + 1/L)`, settlement units."""
    return np.asarray(fee_fraction * np.asarray(cost) * (1.0 + 1.0 / np.asarray(leverage)))


@dataclass(frozen=True, kw_only=True, slots=True)
class ReservedMargin:
    """Margins of one position with a commission reserve, settlement units.

    Parameters
    ----------
    initial_margin, commission, maintenance : float
        Cost over leverage; reserve; maintenance including the reserve and, where the position
        pays it, the next funding.
    position_margin : float
        Initial margin plus commission.
    """

    initial_margin: float
    commission: float
    maintenance: float
    position_margin: float


def reserved_margin(
    cost: float,
    side: str,
    leverage: float,
    maintenance_fraction: float,
    fee_fraction: float,
    funding_fraction: float = 0.0,
) -> ReservedMargin:
    """Initial margin, commission and maintenance of a BitMEX-type position.

    Parameters
    ----------
    cost : float
        Unsigned entry value, settlement units.
    side : {"long", "short"}
    leverage, maintenance_fraction, fee_fraction : float
    funding_fraction : float
        Next funding rate; longs pay it when positive, shorts when negative. Only a payment
        adds to maintenance.

    Returns
    -------
    ReservedMargin
    """
    initial = cost / leverage
    commission = float(commission_reserve(cost, leverage, fee_fraction))
    return ReservedMargin(
        initial_margin=initial,
        commission=commission,
        maintenance=maintenance_with_commission(
            cost, maintenance_fraction, commission, side, funding_fraction
        ),
        position_margin=initial + commission,
    )


def maintenance_with_commission(
    cost: float,
    maintenance_fraction: float,
    commission: float,
    side: str,
    funding_fraction: float = 0.0,
) -> float:
    """Maintenance on cost plus the commission reserve and the next funding if it is paid.

    Parameters
    ----------
    cost, commission : float
        Settlement units.
    maintenance_fraction, funding_fraction : float
        Longs pay a positive funding rate, shorts a negative one.
    side : {"long", "short"}

    Returns
    -------
    float
    """
    payment = max(linear.signed_size(side, 1.0) * funding_fraction, 0.0) * cost
    return maintenance_fraction * cost + commission + payment


def liquidation_price_from_integer_cost(
    entry_price: float,
    contracts: float,
    leverage: float,
    maintenance_fraction: float,
    funding_fraction: float = 0.0,
) -> tuple[float, float]:
    """Bankruptcy and liquidation price of XBTUSD-type contracts, before the tick.

    Parameters
    ----------
    entry_price : float
        USD per coin.
    contracts : float
        Signed; long positive.
    leverage, maintenance_fraction : float
    funding_fraction : float
        Next funding rate; counts only when the position pays it.

    Returns
    -------
    tuple of float
        Bankruptcy and liquidation price. The closing commission is on both sides and cancels.
        A short whose margin exceeds its cost has neither (NaN).

    Notes
    -----
    Coin value at bankruptcy is cost + s IM, at liquidation cost + s (IM - m cost - funding).
    """
    sign, gross = float(np.sign(contracts)), abs(contracts)
    cost = float(integer_cost(entry_price, gross))
    initial = cost / leverage
    paid = max(sign * funding_fraction, 0.0) * cost
    values = np.array(
        [cost + sign * initial, cost + sign * (initial - maintenance_fraction * cost - paid)]
    )
    good = values > 0
    prices = np.where(good, SATOSHI * gross / np.where(good, values, 1.0), np.nan)
    return float(prices[0]), float(prices[1])


def liquidation_price_from_cost(
    cost: float, size_base: float, initial_margin: float, maintenance: float, commission: float
) -> tuple[float, float]:
    """Bankruptcy and liquidation price of a linear position from its cost (KuCoin).

    Parameters
    ----------
    cost : float
        Unsigned entry value, quote.
    size_base : float
        Signed size.
    initial_margin, maintenance, commission : float
        Quote; `maintenance` includes the commission, which cancels.

    Returns
    -------
    tuple of float
        Bankruptcy and liquidation price before the tick, quote per base.
    """
    sign, gross = float(np.sign(size_base)), abs(size_base)
    bankruptcy = (cost - sign * initial_margin) / gross
    return bankruptcy, bankruptcy + sign * (maintenance - commission) / gross


def assigned_balance(
    entry_price: float, size_base: float, leverage: float, fee_fraction: float
) -> float:
    """Initial margin plus the fee to close at bankruptcy, quote (Phemex)."""
    initial = linear.initial_margin(entry_price, size_base, leverage)
    return float(initial + linear.fee_to_close(entry_price, size_base, leverage, fee_fraction))


def liquidation_price_of_assigned_balance(
    entry_price: float,
    size_base: float,
    balance_quote: float,
    maintenance_fraction: float,
    fee_fraction: float,
) -> float:
    """Mark at which the assigned balance equals maintenance plus the fee to close (Phemex)."""
    line = linear.Requirement(rate_at_mark=maintenance_fraction + fee_fraction)
    return float(linear.trigger_price(entry_price, size_base, balance_quote, line))


def prices_from_collateral(
    size_base: float, collateral_quote: float, maintenance_fraction: float, fee_fraction: float
) -> dict[str, float]:
    """Bankruptcy, liquidation and worst closing price of a StarkEx-style account, one position.

    Parameters
    ----------
    size_base : float
        Signed size.
    collateral_quote : float
        Signed cash balance; equity is cash plus signed size times the oracle price.
    maintenance_fraction, fee_fraction : float

    Returns
    -------
    dict
        ``bankruptcy_price``, ``liquidation_price``, ``worst_close_price``, quote per base,
        unrounded; NaN (long) or 0 (short) where no positive price solves them.
    """
    rates = {
        "bankruptcy_price": 0.0,
        "liquidation_price": maintenance_fraction,
        "worst_close_price": fee_fraction,
    }
    return {
        name: float(
            linear.trigger_price(
                0.0, size_base, collateral_quote, linear.Requirement(rate_at_mark=rate)
            )
        )
        for name, rate in rates.items()
    }


def margin_ratio_with_fee(
    equity: npt.ArrayLike, maintenance: npt.ArrayLike, liquidation_fee: npt.ArrayLike
) -> FloatArray:
    """Equity over maintenance plus liquidation fee (OKX); liquidation at 1 or less."""
    return np.asarray(np.asarray(equity) / (np.asarray(maintenance) + np.asarray(liquidation_fee)))


def is_liquidated_at_ratio(ratio: float) -> bool:
    """Whether OKX's margin ratio is at or below 100 %."""
    return not is_below(1.0, ratio)


def equity_at_ratio(ratio: float, maintenance: float, liquidation_fee: float) -> float:
    """Equity behind a reported margin ratio: the inverse of :func:`margin_ratio_with_fee`."""
    return ratio * (maintenance + liquidation_fee)


@dataclass(frozen=True, kw_only=True, slots=True)
class MarginBalance:
    """Margin of a position with commission, and with unrealised profit (KuCoin), quote."""

    position_margin: float
    unrealized_profit: float
    margin_balance: float


def margin_balance(
    initial_margin: float, commission: float, mark_value: float, entry_value: float, side: str
) -> MarginBalance:
    """Initial margin plus commission, and the same plus unrealised profit.

    Parameters
    ----------
    initial_margin, commission, mark_value, entry_value : float
        Unsigned, quote.
    side : {"long", "short"}

    Returns
    -------
    MarginBalance
    """
    profit = linear.signed_size(side, 1.0) * (mark_value - entry_value)
    posted = initial_margin + commission
    return MarginBalance(
        position_margin=posted, unrealized_profit=profit, margin_balance=posted + profit
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedMarginState:
    """Fixed-margin position of OKX's 2020 documents.

    Parameters
    ----------
    unrealized_profit : float
        Quote.
    margin_ratio : float
        Margin plus profit over value at the mark.
    required_ratio : float
        Tier's maintenance rate plus the liquidation fee rate.
    """

    unrealized_profit: float
    margin_ratio: float
    required_ratio: float

    @property
    def is_liquidated(self) -> bool:
        """Ratio at or below the required one."""
        return not is_below(self.required_ratio, self.margin_ratio, 1.0)


def fixed_margin_state(
    entry_price: float,
    size_base: float,
    margin: float,
    mark_price: float,
    maintenance_fraction: float,
    fee_fraction: float,
) -> FixedMarginState:
    """Margin ratio of a fixed-margin position and whether it is liquidated (OKX 2020)."""
    profit = float(linear.unrealized_profit(entry_price, size_base, mark_price))
    return FixedMarginState(
        unrealized_profit=profit,
        margin_ratio=(margin + profit) / float(linear.value_at(mark_price, size_base)),
        required_ratio=maintenance_fraction + fee_fraction,
    )


def execution_print(side: str, contracts: float, price: float) -> tuple[float, float]:
    """Cost in satoshi and home notional in coin of an execution of 1-USD inverse contracts.

    Parameters
    ----------
    side : {"buy", "sell"}
    contracts, price : float
        Unsigned contracts; USD per coin.

    Returns
    -------
    tuple of float
        Positive cost and negative notional for a sale, the reverse for a purchase.
    """
    if side not in ("buy", "sell"):
        raise ParameterError.unknown("side", side, ("buy", "sell"))
    cost = float(integer_cost(price, contracts)) * (1.0 if side == "sell" else -1.0)
    return cost, -cost / SATOSHI


def inverse_ratio(
    margin_coin: float,
    face_quote: float,
    entry_price: float,
    mark_price: float,
    maintenance_fraction: float,
    fee_fraction: float,
) -> tuple[float, float]:
    """Maintenance in coin and OKX margin ratio of an inverse position.

    Parameters
    ----------
    margin_coin, face_quote, entry_price, mark_price : float
    maintenance_fraction, fee_fraction : float

    Returns
    -------
    tuple of float
        Coin; equity over maintenance plus fee.
    """
    value = float(inverse.coin_value(mark_price, face_quote))
    profit = float(inverse.unrealized_profit(entry_price, face_quote, mark_price))
    maintenance = value * maintenance_fraction
    ratio = margin_ratio_with_fee(margin_coin + profit, maintenance, value * fee_fraction)
    return maintenance, float(ratio)


def equity_from_reported_ratio(
    ratio: float,
    size_base: float,
    mark_price: float,
    maintenance_fraction: float,
    fee_fraction: float,
) -> float:
    """Equity of a linear account behind the margin ratio OKX reports, quote."""
    value = float(linear.value_at(mark_price, size_base))
    return equity_at_ratio(ratio, value * maintenance_fraction, value * fee_fraction)
