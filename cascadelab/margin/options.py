"""Option and stock margins by formula: Deribit standard, Regulation T, defined-risk spreads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascadelab.errors import ParameterError
from cascadelab.margin.black import intrinsic_value

__all__ = [
    "OptionLeg",
    "ShortOptionMargin",
    "broad_index_fraction",
    "cash_to_cure",
    "contract_total",
    "deribit_option",
    "deribit_short_option",
    "futures_option_margin_before_span",
    "margin_call_price_long",
    "margin_call_value_long",
    "margin_call_value_short",
    "maximum_loss_at_expiry",
    "per_share",
    "reg_t_short_option",
    "sale_to_cure",
    "stock_to_cure",
]


def _is_call(right: str) -> bool:
    if right not in ("call", "put"):
        raise ParameterError.unknown("right", str(right), ("call", "put"))
    return right == "call"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortOptionMargin:
    """Initial and maintenance margin of one short option per unit of underlying.

    Parameters
    ----------
    initial, maintenance : float
        Coin on Deribit.
    """

    initial: float
    maintenance: float


def deribit_short_option(
    right: str, strike: float, underlying_price: float, mark_price: float
) -> ShortOptionMargin:
    """Deribit standard margin of a short option, premium and margin in coin per unit.

    Parameters
    ----------
    right : {"call", "put"}
    strike, underlying_price : float
        USD.
    mark_price : float
        Option price in coin.

    Returns
    -------
    ShortOptionMargin

    Notes
    -----
    Call: IM = max(0.15 - OTM/S, 0.1) + mark, MM = 0.075 + mark. Put: MM = max(0.075, 0.075 mark)
    + mark, IM = max(max(0.15 - OTM/S, 0.1) + mark, MM). Long options need none.
    """
    sign = 1.0 if _is_call(right) else -1.0
    out_of_money = max(sign * (strike - underlying_price), 0.0)
    initial = max(0.15 - out_of_money / underlying_price, 0.1) + mark_price
    if right == "call":
        return ShortOptionMargin(initial=initial, maintenance=0.075 + mark_price)
    maintenance = max(0.075, 0.075 * mark_price) + mark_price
    return ShortOptionMargin(initial=max(initial, maintenance), maintenance=maintenance)


def deribit_option(
    right: str, strike: float, underlying_price: float, mark_price: float, amount: float
) -> ShortOptionMargin:
    """Deribit standard margin of a signed amount of options, coin; long options need none."""
    short = deribit_short_option(right, strike, underlying_price, mark_price)
    size = max(-amount, 0.0)
    return ShortOptionMargin(initial=size * short.initial, maintenance=size * short.maintenance)


def reg_t_short_option(
    right: str,
    strike: float,
    underlying_price: float,
    option_price: float,
    underlying_fraction: float = 0.20,
    floor_fraction: float = 0.10,
) -> float:
    """Regulation T margin of one uncovered short option, per share.

    Parameters
    ----------
    right : {"call", "put"}
    strike, underlying_price, option_price : float
        USD.
    underlying_fraction : float
        0.20; 0.15 for broad indices.
    floor_fraction : float
        Of the underlying for calls, of the *strike* for puts.

    Returns
    -------
    float
        Premium + max(fraction × S - OTM, floor).

    Examples
    --------
    >>> reg_t_short_option("put", 192.0, 196.0, 14.0)
    49.2
    """
    is_call = _is_call(right)
    out_of_money = max((strike - underlying_price) * (1.0 if is_call else -1.0), 0.0)
    floor = floor_fraction * (underlying_price if is_call else strike)
    return option_price + max(underlying_fraction * underlying_price - out_of_money, floor)


def broad_index_fraction(is_broad_index: bool) -> float:
    """Share of the underlying charged by Regulation T: 15 % for broad indices, else 20 %."""
    return 0.15 if is_broad_index else 0.20


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionLeg:
    """One leg of a combination: right, strike and signed quantity (short negative)."""

    right: str
    strike: float
    quantity: float


def maximum_loss_at_expiry(legs: Sequence[OptionLeg]) -> float:
    """Largest loss of a combination at expiry per unit, premium excluded; infinite if unbounded.

    Parameters
    ----------
    legs : sequence of OptionLeg
        All of one expiry.

    Returns
    -------
    float
        Not negative.

    Examples
    --------
    >>> short_put, long_put = (OptionLeg(right="put", strike=k, quantity=q)
    ...                        for k, q in ((310.0, -1.0), (300.0, 1.0)))
    >>> maximum_loss_at_expiry([short_put, long_put])
    10.0
    """
    strikes = np.array([leg.strike for leg in legs])
    quantities = np.array([leg.quantity for leg in legs])
    is_call = np.array([_is_call(leg.right) for leg in legs])
    if quantities[is_call].sum() < 0:
        return float("inf")
    prices = np.concatenate([[0.0], strikes])
    payoff = intrinsic_value(prices[:, None], strikes, is_call) @ quantities
    return max(-float(payoff.min()), 0.0)


def margin_call_value_long(loan: float, maintenance_fraction: float) -> float:
    """Market value below which a long margin account is called: loan / (1 - m)."""
    return loan / (1.0 - maintenance_fraction)


def margin_call_price_long(
    entry_price: float, initial_fraction: float, maintenance_fraction: float
) -> float:
    """Price below which stock bought on margin is called: e (1 - IM) / (1 - m)."""
    return entry_price * (1.0 - initial_fraction) / (1.0 - maintenance_fraction)


def margin_call_value_short(
    short_value: float, initial_fraction: float, maintenance_fraction: float
) -> float:
    """Market value above which a short sale is called: credit / (1 + m).

    The credit is the sale's proceeds plus the initial margin.
    """
    return short_value * (1.0 + initial_fraction) / (1.0 + maintenance_fraction)


def cash_to_cure(value: float, loan: float, maintenance_fraction: float) -> float:
    """Cash deposit that cures a long call, not negative: m V - (V - loan)."""
    return max(maintenance_fraction * value - (value - loan), 0.0)


def stock_to_cure(value: float, loan: float, maintenance_fraction: float) -> float:
    """Value of fully paid stock that cures a long call: D / (1 - m), D the cash cure."""
    return cash_to_cure(value, loan, maintenance_fraction) / (1.0 - maintenance_fraction)


def sale_to_cure(value: float, loan: float, maintenance_fraction: float) -> float:
    """Value of holdings to sell that cures a long call: D / m, D the cash cure."""
    return cash_to_cure(value, loan, maintenance_fraction) / maintenance_fraction


def futures_option_margin_before_span(
    futures_margin: float, option_premium: float, half_out_of_money: float
) -> float:
    """Customer margin before SPAN: futures margin + premium - half the out-of-the-money amount."""
    return futures_margin + option_premium - half_out_of_money


def contract_total(per_unit: float, contracts: float, multiplier: float) -> float:
    """Amount of some contracts from the amount per unit of underlying."""
    return per_unit * contracts * multiplier


def per_share(value: float, shares: float) -> float:
    """Value divided by a number of shares."""
    return value / shares
