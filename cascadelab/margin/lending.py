r"""Collateralised loans: health, close factors and seizures of Aave and Compound.

A loan is an isolated long in another coordinate: collateral c at price p against debt d is
liquidated where :math:`LT\\,c\\,p = d`, i.e. a linear contract with maintenance 1 - LT.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.margin.rounding import is_below
from cascadelab.units import FloatArray

__all__ = [
    "AaveRules",
    "Absorption",
    "Seizure",
    "aave_close_factor",
    "aave_max_repay",
    "aave_seizure_integers",
    "account_liquidity",
    "asset_values",
    "comet_absorb",
    "comet_collateral_for_base",
    "comet_is_borrow_collateralized",
    "comet_is_liquidatable",
    "compound_seize_tokens",
    "health_factor",
    "liquidation_price",
    "reported_health_factor",
    "seizure_with_bonus",
]


def health_factor(
    collateral_value: npt.ArrayLike, threshold: npt.ArrayLike, debt_value: npt.ArrayLike
) -> float:
    """Collateral weighted by its thresholds over debt, of one account.

    Parameters
    ----------
    collateral_value, threshold : array_like of shape (n_assets,)
        Values in one currency; liquidation thresholds, fractions.
    debt_value : array_like of shape (n_debts,)
        Values in the same currency.

    Returns
    -------
    float
        Infinite without debt. Below 1 the account may be liquidated.

    Raises
    ------
    ParameterError
        If a value is negative or not a number.
    """
    debt = float(np.sum(debt_value))
    if np.any(~(np.asarray(debt_value) >= 0)) or np.any(~(np.asarray(collateral_value) >= 0)):
        raise ParameterError(
            f"Debts sum to {debt!r} and a value is negative or nan; expected values of at least 0. "
            f"Pass what is owed as a positive value."
        )
    backing = float(np.dot(np.atleast_1d(collateral_value), np.atleast_1d(threshold)))
    return math.inf if debt == 0 else backing / debt


def reported_health_factor(health: float) -> float:
    """Health factor as Aave's client libraries print it: -1 where there is no debt."""
    return -1.0 if math.isinf(health) else health


def liquidation_price(
    collateral: npt.ArrayLike, debt_value: npt.ArrayLike, threshold: npt.ArrayLike
) -> FloatArray:
    """Price of the collateral at which health is 1: debt / (threshold × collateral).

    Parameters
    ----------
    collateral, debt_value, threshold : array_like of shape (n_loans,)
        Units; currency; fraction.

    Returns
    -------
    ndarray of shape (n_loans,)
        Currency per unit; NaN without debt.
    """
    debt = np.asarray(debt_value, dtype=np.float64)
    price = debt / (np.asarray(threshold) * np.asarray(collateral, dtype=np.float64))
    return np.where(debt > 0, price, np.nan)


@dataclass(frozen=True, kw_only=True, slots=True)
class AaveRules:
    """Close-factor rules of one Aave version.

    Parameters
    ----------
    version : str
        ``"2"``, ``"3.0"`` to ``"3.2"``, or ``"3.3"`` and later.
    default_close_factor : float
    full_close_health : float
        Health at or below which everything may be closed (strictly above it: half).
    small_usd : float
        From 3.3: collateral or debt of the reserve below this may be closed whole.
    """

    version: str
    default_close_factor: float = 0.5
    full_close_health: float = 0.95
    small_usd: float = 2000.0

    def __post_init__(self) -> None:
        if not self.version or not all(part.isdigit() for part in self.version.split(".")):
            raise ParameterError.out_of_range(self, "version", "digits such as '3.3'")

    @property
    def number(self) -> tuple[int, ...]:
        """Version as numbers, for comparison."""
        return tuple(int(part) for part in self.version.split("."))

    @property
    def is_total_debt_scope(self) -> bool:
        """Whether the factor applies to all the user's debt (3.3 and later)."""
        return self.number >= (3, 3)


def aave_close_factor(
    rules: AaveRules,
    health: float,
    collateral_usd: float = math.inf,
    debt_usd: float = math.inf,
) -> float:
    """Share of debt that one call may repay.

    Parameters
    ----------
    rules : AaveRules
    health : float
    collateral_usd, debt_usd : float
        Of the reserves being liquidated; large where left out.

    Returns
    -------
    float
        0.5 or 1. It applies to the reserve before 3.3 and to the user's total debt from 3.3.
    """
    if rules.number < (3,):
        return rules.default_close_factor
    if health <= rules.full_close_health:
        return 1.0
    is_small = min(collateral_usd, debt_usd) < rules.small_usd
    return 1.0 if rules.is_total_debt_scope and is_small else rules.default_close_factor


def aave_max_repay(
    rules: AaveRules, close_factor: float, debts_usd: npt.ArrayLike, target: int
) -> float:
    """Largest repayment of the target reserve in one call, USD.

    Parameters
    ----------
    rules : AaveRules
        Version 3.3 and later: the factor is taken of the total debt, at most the reserve's.
    close_factor : float
    debts_usd : array_like of shape (n_debts,)
    target : int
        Index of the reserve to repay.

    Returns
    -------
    float
    """
    debts = np.asarray(debts_usd, dtype=np.float64)
    scope = float(debts.sum() if rules.is_total_debt_scope else debts[target])
    return min(float(debts[target]), close_factor * scope)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seizure:
    """Debt repaid and collateral taken for it, in one currency or unit.

    Parameters
    ----------
    debt_repaid, bonus, collateral_seized : float
        The seizure is the repaid value plus the bonus.
    """

    debt_repaid: float
    bonus: float
    collateral_seized: float


def seizure_with_bonus(
    debt: float, close_factor: float, bonus_fraction: float, collateral_available: float = math.inf
) -> Seizure:
    """Repay a share of the debt and take its value plus a bonus.

    Parameters
    ----------
    debt, collateral_available : float
        Values in one currency. If the collateral is short, the repayment shrinks to
        collateral / (1 + bonus).
    close_factor, bonus_fraction : float

    Returns
    -------
    Seizure
    """
    repaid = min(debt * close_factor, collateral_available / (1.0 + bonus_fraction))
    bonus = repaid * bonus_fraction
    return Seizure(debt_repaid=repaid, bonus=bonus, collateral_seized=repaid + bonus)


def aave_seizure_integers(
    debt_to_cover: int,
    collateral_balance: int,
    prices: tuple[int, int],
    units: tuple[int, int],
    bonus_bps: int,
    protocol_fee_bps: int,
) -> dict[str, int]:
    """Integer seizure of Aave v3.7: floor on seized and base amounts, ceiling on the fee.

    Parameters
    ----------
    debt_to_cover, collateral_balance : int
        Smallest units.
    prices, units : tuple of int
        (debt, collateral): oracle prices, and smallest units per token.
    bonus_bps : int
        10,500 means a bonus of 5 %.
    protocol_fee_bps : int
        Share of the *bonus* part.

    Returns
    -------
    dict
        ``total_collateral``, ``liquidator_collateral``, ``protocol_fee``, ``debt_repaid``,
        ``leftover_collateral``.
    """
    base = debt_to_cover * prices[0] * units[1] // (prices[1] * units[0])
    seized, repaid = base * bonus_bps // 10_000, debt_to_cover
    if seized > collateral_balance:
        seized = collateral_balance
        value = collateral_balance * prices[1] * units[0] * 10_000
        repaid = -(-value // (prices[0] * units[1] * bonus_bps))
    without_bonus = seized * 10_000 // bonus_bps
    fee = -(-(seized - without_bonus) * protocol_fee_bps // 10_000)
    return {
        "total_collateral": seized,
        "liquidator_collateral": seized - fee,
        "protocol_fee": fee,
        "debt_repaid": repaid,
        "leftover_collateral": collateral_balance - seized,
    }


def account_liquidity(
    supplied_value: npt.ArrayLike,
    collateral_factor: npt.ArrayLike,
    borrowed_value: npt.ArrayLike,
    is_entered: npt.ArrayLike,
) -> tuple[float, float]:
    """Liquidity and shortfall of a Compound v2 account; one of the two is 0.

    Parameters
    ----------
    supplied_value, collateral_factor, borrowed_value : array_like of shape (n_markets,)
        Values in one currency; fractions.
    is_entered : array_like of bool of shape (n_markets,)
        Markets not entered neither help nor hurt.

    Returns
    -------
    tuple of float
        A shortfall above 0 makes the account liquidatable; exactly 0 does not.
    """
    entered = np.asarray(is_entered, dtype=bool)
    backing = np.asarray(supplied_value, float) * np.asarray(collateral_factor, float)
    backed = float(np.sum(backing[entered]))
    borrowed = float(np.sum(np.asarray(borrowed_value, float)[entered]))
    if not (is_below(backed, borrowed) or is_below(borrowed, backed)):
        return 0.0, 0.0
    return max(backed - borrowed, 0.0), max(borrowed - backed, 0.0)


def compound_seize_tokens(
    repay: float,
    incentive: float,
    prices: tuple[float, float],
    exchange_rate: float,
    protocol_share: float,
) -> tuple[float, float]:
    """Collateral tokens seized, and the liquidator's part of them (Compound v2).

    Parameters
    ----------
    repay : float
        Borrowed asset, its own units.
    incentive : float
        For example 1.1.
    prices : tuple of float
        (borrowed, collateral).
    exchange_rate : float
        Underlying per collateral token.
    protocol_share : float
        Share of the *seized tokens* (not of the bonus) that the protocol keeps.

    Returns
    -------
    tuple of float
    """
    seized = repay * incentive * prices[0] / (prices[1] * exchange_rate)
    return seized, seized * (1.0 - protocol_share)


def comet_is_borrow_collateralized(
    debt: float, value: npt.ArrayLike, borrow_factor: npt.ArrayLike
) -> bool:
    """Whether collateral at the *borrow* factors covers the debt; equality does (Compound v3)."""
    covered = float(np.dot(np.atleast_1d(value), np.atleast_1d(borrow_factor)))
    return not is_below(covered, debt)


def comet_is_liquidatable(
    debt: float, value: npt.ArrayLike, liquidate_factor: npt.ArrayLike
) -> bool:
    """Whether collateral at the *liquidate* factors is strictly below the debt (Compound v3)."""
    return is_below(float(np.dot(np.atleast_1d(value), np.atleast_1d(liquidate_factor))), debt)


@dataclass(frozen=True, kw_only=True, slots=True)
class Absorption:
    """Result of absorbing a Compound v3 account.

    Parameters
    ----------
    collateral_value_credited : float
        Value of all collateral times its liquidation factor.
    balance_after : float
        Base balance left with the user, never negative.
    reserves_loss : float
        Debt beyond the credit, borne by the protocol's reserves.
    """

    collateral_value_credited: float
    balance_after: float
    reserves_loss: float


def comet_absorb(
    debt: float, value: npt.ArrayLike, liquidation_factor: npt.ArrayLike
) -> Absorption:
    """Take all collateral at oracle price × liquidation factor and clear the debt.

    Parameters
    ----------
    debt : float
        Base asset value.
    value, liquidation_factor : array_like of shape (n_assets,)

    Returns
    -------
    Absorption
    """
    values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    credited = float(np.sum(values * np.asarray(liquidation_factor)))
    surplus = credited - debt
    return Absorption(
        collateral_value_credited=credited,
        balance_after=max(surplus, 0.0),
        reserves_loss=max(-surplus, 0.0),
    )


def comet_collateral_for_base(
    base_amount: npt.ArrayLike,
    collateral_price: float,
    liquidation_factor: float,
    store_front_factor: float,
    base_price: float = 1.0,
) -> FloatArray:
    """Collateral sold for a base amount, at a discount of storeFront × (1 - liquidationFactor).

    Parameters
    ----------
    base_amount : array_like of shape (n,)
    collateral_price, base_price : float
    liquidation_factor, store_front_factor : float
        Fractions.

    Returns
    -------
    ndarray of shape (n,)
        Collateral units.
    """
    price = collateral_price * (1.0 - store_front_factor * (1.0 - liquidation_factor))
    return np.asarray(np.asarray(base_amount, dtype=np.float64) * base_price / price)


def asset_values(amount: npt.ArrayLike, price: npt.ArrayLike) -> FloatArray:
    """Values of amounts at prices, shape (n_assets,)."""
    return np.asarray(np.asarray(amount, dtype=np.float64) * np.asarray(price, dtype=np.float64))
