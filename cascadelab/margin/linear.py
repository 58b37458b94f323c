"""Linear contracts: profit in quote, proportional to the price change. Array formulas.

Every venue of this family asks the same question: at which mark p does equity
:math:`M + q(p-e)` meet a requirement that is a straight line in p? A venue differs from
another only in the coefficients of that line (:class:`Requirement`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = [
    "MarginsWithFee",
    "Requirement",
    "average_entry_price",
    "bankruptcy_price",
    "bankruptcy_price_at_leverage",
    "base_of_contracts",
    "buffered_price",
    "displayed_price_at_entry_maintenance",
    "entry_from_profit",
    "fee_to_close",
    "initial_margin",
    "isolated_margin_field",
    "isolated_wallet",
    "liquidation_price",
    "margins_with_fee_to_close",
    "order_cost",
    "price_of_legs",
    "signed_size",
    "trigger_price",
    "unrealized_profit",
    "value_at",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Requirement:
    r"""Margin requirement as a line in the mark: :math:`V(r_p p + r_e e) - a + F`.

    Parameters
    ----------
    rate_at_mark : float or ndarray of shape (n_positions,)
        Part charged on the value at the mark: maintenance rate, plus the closing fee where the
        venue charges it at the mark (Gate, OKX).
    rate_at_entry : float or ndarray of shape (n_positions,)
        Part charged on the value at entry (Bybit's displayed price, BitMEX).
    deduction : float or ndarray of shape (n_positions,)
        Cumulative maintenance deduction a, settlement units (quote; coin for inverse contracts).
    fixed : float or ndarray of shape (n_positions,)
        Amounts that do not move with the mark, such as a fee at the bankruptcy price.
    """

    rate_at_mark: FloatArray | float = 0.0
    rate_at_entry: FloatArray | float = 0.0
    deduction: FloatArray | float = 0.0
    fixed: FloatArray | float = 0.0

    @classmethod
    def with_fee_at_mark(
        cls, maintenance_fraction: float, fee_fraction: float, deduction: float = 0.0
    ) -> Requirement:
        """Maintenance plus a closing fee on the value at the mark (Gate, OKX)."""
        return cls(rate_at_mark=maintenance_fraction + fee_fraction, deduction=deduction)


def signed_size(side: str, size: float) -> float:
    """Size with the sign of its side: positive for ``"long"``, negative for ``"short"``.

    Raises
    ------
    ParameterError
        If `side` is neither, or `size` is not positive and finite.
    """
    if side not in ("long", "short"):
        raise ParameterError.unknown("side", str(side), ("long", "short"))
    if not (np.isfinite(size) and size > 0):
        raise ParameterError(
            f"size is {size!r}; expected a positive finite number. Pass the size without a sign "
            f"and the direction as side."
        )
    return size if side == "long" else -size


def trigger_price(
    entry_price: npt.ArrayLike,
    size_base: npt.ArrayLike,
    margin_quote: npt.ArrayLike,
    requirement: Requirement,
) -> FloatArray:
    r"""Mark at which equity equals the requirement.

    Parameters
    ----------
    entry_price : array_like of shape (n_positions,)
        Average entry price, quote per base.
    size_base : array_like of shape (n_positions,)
        Signed size, base; long positive.
    margin_quote : array_like of shape (n_positions,)
        Wallet behind the position, quote. For a cross position: wallet minus the maintenance
        of the other positions plus their unrealised profit, each at its own mark.
    requirement : Requirement
        Line the equity is compared with.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per base. A long that no fall liquidates: NaN. A short that is liquidated at every
        price: 0.

    Notes
    -----
    :math:`M + q(p-e) = |q|(r_p p + r_e e) - a + F` gives
    :math:`p = (qe - M + |q| r_e e - a + F)/(q - |q| r_p)`.

    Examples
    --------
    >>> trigger_price([8.0], [-1.0], [1.6], Requirement(rate_at_mark=0.01, deduction=0.01)).round(6)
    array([9.514851])
    """
    entry = np.asarray(entry_price, dtype=np.float64)
    size = np.asarray(size_base, dtype=np.float64)
    margin = np.asarray(margin_quote, dtype=np.float64)
    gross = np.abs(size)
    top = size * entry - margin + gross * entry * requirement.rate_at_entry
    top = top - requirement.deduction + requirement.fixed
    return positive_or_never(top / (size - gross * requirement.rate_at_mark), size)


def positive_or_never(price: npt.ArrayLike, size_base: npt.ArrayLike) -> FloatArray:
    """Price where it is positive; else NaN (never) for longs and 0 (always) for shorts."""
    value = np.asarray(price, dtype=np.float64)
    return np.where(value > 0, value, np.where(np.asarray(size_base) > 0, np.nan, 0.0))


def liquidation_price(
    entry_price: FloatArray,
    size_base: FloatArray,
    margin_quote: FloatArray,
    maintenance_fraction: FloatArray | float,
) -> FloatArray:
    r"""Mark price at which an isolated position's equity equals its maintenance margin.

    Parameters
    ----------
    entry_price : ndarray of shape (n_positions,)
        Average entry price, quote per base.
    size_base : ndarray of shape (n_positions,)
        Signed size, base; long positive.
    margin_quote : ndarray of shape (n_positions,)
        Margin posted, quote.
    maintenance_fraction : float or ndarray of shape (n_positions,)
        Maintenance margin over notional at the mark.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per base; NaN for a long whose margin covers a fall to zero.

    Notes
    -----
    Equity is :math:`M + q(p-e)` and the requirement :math:`m|q|p`, so
    :math:`p = (q e - M)/(q - m|q|)`. Fees are not included. With leverage L this is
    :math:`e(1-1/L)/(1-m)` for a long and :math:`e(1+1/L)/(1+m)` for a short
    (Binance USD-M rule without tiers).

    Examples
    --------
    >>> one = np.array([1.0, -1.0])
    >>> liquidation_price(np.full(2, 100.0), one, np.full(2, 10.0), 0.01).round(5)
    array([ 90.90909, 108.91089])
    """
    signed_equity = size_base * entry_price - margin_quote
    slope = size_base - maintenance_fraction * np.abs(size_base)
    price = signed_equity / slope
    return np.where(price > 0, price, np.nan)


def bankruptcy_price(
    entry_price: FloatArray, size_base: FloatArray, margin_quote: FloatArray
) -> FloatArray:
    r"""Price at which an isolated position's equity is zero.

    Parameters
    ----------
    entry_price, size_base, margin_quote : ndarray of shape (n_positions,)
        As in :func:`liquidation_price`.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per base; NaN for a long whose margin covers a fall to zero.

    Notes
    -----
    :math:`p_b = e - M/q`: :math:`e(1-1/L)` for a long, :math:`e(1+1/L)` for a short.
    """
    price = entry_price - margin_quote / size_base
    return np.where(price > 0, price, np.nan)


def bankruptcy_price_at_leverage(
    entry_price: npt.ArrayLike, size_base: npt.ArrayLike, leverage: npt.ArrayLike
) -> FloatArray:
    r"""Bankruptcy price of a position opened at leverage L: :math:`e(1 \mp 1/L)`.

    Parameters
    ----------
    entry_price, size_base, leverage : array_like of shape (n_positions,)
        Quote per base; signed base; entry value over initial margin.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per base.
    """
    sign = np.sign(np.asarray(size_base, dtype=np.float64))
    return np.asarray(
        np.asarray(entry_price) * (1.0 - sign / np.asarray(leverage, dtype=np.float64))
    )


def fee_to_close(
    entry_price: npt.ArrayLike,
    size_base: npt.ArrayLike,
    leverage: npt.ArrayLike,
    fee_fraction: float,
) -> FloatArray:
    """Fee charged for closing at the bankruptcy price, quote (Bybit, Phemex).

    Parameters
    ----------
    entry_price, size_base, leverage : array_like of shape (n_positions,)
        As in :func:`bankruptcy_price_at_leverage`.
    fee_fraction : float
        Taker fee over closed value.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote, not negative.

    Examples
    --------
    >>> float(fee_to_close(1073.85, 0.5, 10, 0.0006).round(7))
    0.2899395
    """
    price = bankruptcy_price_at_leverage(entry_price, size_base, leverage)
    return np.asarray(np.abs(size_base) * price * fee_fraction)


def initial_margin(
    price: npt.ArrayLike, size_base: npt.ArrayLike, leverage: npt.ArrayLike
) -> FloatArray:
    """Value over leverage, quote: the margin before any fee is reserved.

    Parameters
    ----------
    price, size_base, leverage : array_like of shape (n_positions,)
        Quote per base (mark on Binance, entry on Bybit); signed base; ratio.

    Returns
    -------
    ndarray of shape (n_positions,)
    """
    return np.asarray(np.abs(size_base) * np.asarray(price) / np.asarray(leverage))


def order_cost(price: float, size_base: float, leverage: float, fee_fraction: float) -> FloatArray:
    """Initial margin plus the fees to open and to close at bankruptcy, quote (Bybit)."""
    value = np.abs(size_base) * np.asarray(price)
    closing = fee_to_close(price, size_base, leverage, fee_fraction)
    return np.asarray(value / leverage + value * fee_fraction + closing)


def unrealized_profit(
    entry_price: npt.ArrayLike, size_base: npt.ArrayLike, mark_price: npt.ArrayLike
) -> FloatArray:
    """Profit at the mark, quote: signed size times price change; losses negative."""
    return np.asarray(np.asarray(size_base) * (np.asarray(mark_price) - np.asarray(entry_price)))


def average_entry_price(price: npt.ArrayLike, size_base: npt.ArrayLike) -> float:
    """Size-weighted mean of fill prices, quote per base.

    Parameters
    ----------
    price, size_base : array_like of shape (n_fills,)
        Fills of one side.

    Returns
    -------
    float
    """
    size = np.asarray(size_base, dtype=np.float64)
    return float(np.dot(size, np.asarray(price, dtype=np.float64)) / size.sum())


def price_of_legs(
    entry_price: npt.ArrayLike,
    size_base: npt.ArrayLike,
    margin_quote: float,
    requirement: Requirement,
) -> float:
    r"""One liquidation price for several legs of one market (hedge mode), quote per base.

    Parameters
    ----------
    entry_price, size_base : array_like of shape (n_legs,)
        Entry and signed size of each leg; both sides may be held.
    margin_quote : float
        Wallet behind all legs, after the other markets' maintenance and profit.
    requirement : Requirement
        Each leg's own rate and deduction, shape (n_legs,).

    Returns
    -------
    float
        NaN where no positive price solves it.

    Notes
    -----
    :math:`p = (\sum q_i e_i - M - \sum a_i + \sum F_i)/(\sum q_i - \sum |q_i| m_i)`.
    """
    entry = np.asarray(entry_price, dtype=np.float64)
    size = np.asarray(size_base, dtype=np.float64)
    spread = np.ones_like(size)
    gross = np.abs(size)
    top = np.sum(size * entry + gross * entry * requirement.rate_at_entry)
    top += np.sum((requirement.fixed - requirement.deduction) * spread) - margin_quote
    slope = float(np.sum(size - gross * requirement.rate_at_mark))
    price = float(top) / slope if slope != 0 else float("nan")
    return price if price > 0 else float("nan")


def buffered_price(
    liquidation: npt.ArrayLike, entry_price: npt.ArrayLike, buffer_fraction: float
) -> FloatArray:
    """Liquidation price moved towards entry by a fraction of their distance.

    A trading bot's convention (freqtrade), not a rule of any exchange.
    """
    price = np.asarray(liquidation, dtype=np.float64)
    return np.asarray(price + buffer_fraction * (np.asarray(entry_price) - price))


def value_at(price: npt.ArrayLike, size_base: npt.ArrayLike) -> FloatArray:
    """Unsigned value at a price, quote."""
    return np.asarray(np.abs(size_base) * np.asarray(price, dtype=np.float64))


def isolated_wallet(isolated_margin: float, profit: float) -> float:
    """Wallet of an isolated position from a margin field that already contains its profit."""
    return isolated_margin - profit


def isolated_margin_field(wallet: float, profit: float) -> float:
    """Margin field as Binance reports it: isolated wallet plus unrealised profit."""
    return wallet + profit


def entry_from_profit(mark_price: float, size_base: float, profit: float) -> float:
    """Entry price implied by a mark and an unrealised profit, quote per base."""
    return mark_price - profit / size_base


def base_of_contracts(contracts: float, multiplier: float) -> float:
    """Size of contracts in base (linear) or face (inverse): contracts times multiplier."""
    return contracts * multiplier


@dataclass(frozen=True, kw_only=True, slots=True)
class MarginsWithFee:
    """Margins that include the fee to close at the bankruptcy price, quote (Bybit unified).

    Parameters
    ----------
    value : float
        Entry value.
    initial, maintenance : float
        Both include `fee_to_close`.
    fee_to_close : float
    order_cost : float
        Initial margin plus the fee to open.
    """

    value: float
    initial: float
    maintenance: float
    fee_to_close: float
    order_cost: float


def margins_with_fee_to_close(
    entry_price: float,
    size_base: float,
    leverage: float,
    maintenance_fraction: float,
    fee_fraction: float,
    deduction: float = 0.0,
) -> MarginsWithFee:
    """Initial and maintenance margin of a position opened at leverage L, with its closing fee.

    Parameters
    ----------
    entry_price, size_base, leverage : float
        Quote per base; signed base; ratio.
    maintenance_fraction, deduction : float
        Of the tier at entry value.
    fee_fraction : float
        Taker fee.

    Returns
    -------
    MarginsWithFee
    """
    value = float(value_at(entry_price, size_base))
    closing = float(fee_to_close(entry_price, size_base, leverage, fee_fraction))
    return MarginsWithFee(
        value=value,
        initial=value / leverage + closing,
        maintenance=value * maintenance_fraction - deduction + closing,
        fee_to_close=closing,
        order_cost=float(order_cost(entry_price, size_base, leverage, fee_fraction)),
    )


def displayed_price_at_entry_maintenance(
    entry_price: float,
    size_base: float,
    leverage: float,
    maintenance_fraction: float,
    deduction: float = 0.0,
    extra_margin: float = 0.0,
) -> float:
    r"""Bybit's displayed isolated liquidation price: maintenance on the *entry* value.

    Parameters
    ----------
    entry_price, size_base, leverage : float
    maintenance_fraction, deduction : float
        Of the tier at entry value.
    extra_margin : float
        Margin added by hand; negative for margin drained by funding, quote.

    Returns
    -------
    float
        :math:`e - s (IM_0 - MM_0)/q - s X/q`, quote per base, before the tick.
    """
    initial = float(initial_margin(entry_price, size_base, leverage))
    line = Requirement(rate_at_entry=maintenance_fraction, deduction=deduction)
    return float(trigger_price(entry_price, size_base, initial + extra_margin, line))
