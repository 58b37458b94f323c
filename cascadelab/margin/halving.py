"""Protocols that close half first: Perp Protocol v2 (curie) and Squeeth."""

from __future__ import annotations

from dataclasses import dataclass

from cascadelab.margin.rounding import is_below

__all__ = [
    "CurieLiquidation",
    "CurieRules",
    "SqueethLiquidation",
    "curie_liquidation",
    "curie_penalty",
    "squeeth_debt_eth",
    "squeeth_is_safe",
    "squeeth_liquidation",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class CurieRules:
    """Parameters of a Perp Protocol v2 market.

    Parameters
    ----------
    maintenance_fraction : float
        Account value over position value below which an account may be liquidated.
    penalty_fraction : float
        Over closed notional.
    insurance_share : float
        Part of the penalty that goes to the insurance fund when there is no bad debt.
    full_close_usd : float
        A position worth no more than this is closed whole.
    """

    maintenance_fraction: float = 0.0625
    penalty_fraction: float = 0.025
    insurance_share: float = 0.5
    full_close_usd: float = 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CurieLiquidation:
    """What one liquidation closes and who is paid; sizes and notionals are unsigned.

    Parameters
    ----------
    is_liquidatable : bool
        The remaining fields are 0 when it is False.
    closed_size, closed_notional : float
        Base; quote at the mark.
    penalty, insurance_fee, liquidator_fee : float
        Quote.
    realized_profit : float
        Of the closed part, before the penalty, quote.
    liquidator_quote : float
        Quote the liquidator pays for a long, or receives for a short.
    has_bad_debt : bool
        Whether the account value before the penalty is negative.
    deficit : float
        What the account cannot pay after the penalty, quote, paid by the insurance fund.
    """

    is_liquidatable: bool
    closed_size: float = 0.0
    closed_notional: float = 0.0
    penalty: float = 0.0
    insurance_fee: float = 0.0
    liquidator_fee: float = 0.0
    realized_profit: float = 0.0
    liquidator_quote: float = 0.0
    has_bad_debt: bool = False
    deficit: float = 0.0


def curie_liquidation(
    size_base: float, open_notional: float, mark_price: float, collateral: float, rules: CurieRules
) -> CurieLiquidation:
    """Close half of a weak account, all of a very weak or a small one.

    Parameters
    ----------
    size_base : float
        Signed; long positive.
    open_notional : float
        Unsigned quote at entry.
    mark_price, collateral : float
        Quote per base; quote.
    rules : CurieRules

    Returns
    -------
    CurieLiquidation

    Notes
    -----
    Half if the ratio is at least half of maintenance and the position is worth more than
    `full_close_usd`. With bad debt the whole penalty goes to the liquidator.
    """
    sign, gross = (1.0 if size_base > 0 else -1.0), abs(size_base)
    value = gross * mark_price
    profit = sign * (value - abs(open_notional))
    ratio = (collateral + profit) / value
    if not is_below(ratio, rules.maintenance_fraction, 1.0):
        return CurieLiquidation(is_liquidatable=False)
    is_weak = is_below(ratio, rules.maintenance_fraction / 2, 1.0)
    is_half = not is_weak and is_below(rules.full_close_usd, value)
    share = 0.5 if is_half else 1.0
    has_bad_debt = is_below(collateral + profit, 0.0, value)
    penalty, insurance, liquidator = curie_penalty(value * share, rules, has_bad_debt)
    left = collateral + profit * share - penalty
    return CurieLiquidation(
        is_liquidatable=True,
        closed_size=gross * share,
        closed_notional=value * share,
        penalty=penalty,
        insurance_fee=insurance,
        liquidator_fee=liquidator,
        realized_profit=profit * share,
        liquidator_quote=value * share - sign * liquidator,
        has_bad_debt=has_bad_debt,
        deficit=max(-left, 0.0),
    )


def curie_penalty(
    closed_notional: float, rules: CurieRules, has_bad_debt: bool
) -> tuple[float, float, float]:
    """Penalty, and the insurance fund's and the liquidator's part of it, quote.

    Parameters
    ----------
    closed_notional : float
        Quote at the mark.
    rules : CurieRules
    has_bad_debt : bool
        With bad debt the fund gets nothing.

    Returns
    -------
    tuple of float
    """
    penalty = closed_notional * rules.penalty_fraction
    insurance = 0.0 if has_bad_debt else penalty * rules.insurance_share
    return penalty, insurance, penalty - insurance


def squeeth_debt_eth(
    short_units: float, eth_price: float, norm_factor: float, scale: float = 10_000.0
) -> float:
    """Debt of a short in ETH: units × ETH price × normalisation / scale."""
    return short_units * eth_price * norm_factor / scale


def squeeth_is_safe(collateral_eth: float, debt_eth: float, min_ratio: float = 1.5) -> bool:
    """Whether collateral covers the debt 1.5 times; equality is safe."""
    return not is_below(collateral_eth, min_ratio * debt_eth)


@dataclass(frozen=True, kw_only=True, slots=True)
class SqueethLiquidation:
    """Units closed and collateral paid to the liquidator.

    Parameters
    ----------
    units_closed : float
    collateral_paid : float
        ETH, debt plus bonus, at most the vault's collateral.
    deficit_eth : float
        Claim the vault could not pay.
    """

    units_closed: float
    collateral_paid: float
    deficit_eth: float


def squeeth_liquidation(
    short_units: float,
    unit_price_eth: float,
    collateral_eth: float,
    min_collateral_eth: float = 0.5,
    bonus_fraction: float = 0.1,
) -> SqueethLiquidation:
    """At most half with a bonus; all if the rest would hold less than the minimum collateral.

    Parameters
    ----------
    short_units, unit_price_eth : float
        Units owed and what one costs, ETH.
    collateral_eth, min_collateral_eth : float
        ETH.
    bonus_fraction : float

    Returns
    -------
    SqueethLiquidation
    """
    claim = unit_price_eth * (1.0 + bonus_fraction)
    half = short_units / 2
    is_whole = is_below(collateral_eth - half * claim, min_collateral_eth, collateral_eth)
    units = short_units if is_whole else half
    paid = min(units * claim, collateral_eth)
    return SqueethLiquidation(
        units_closed=units, collateral_paid=paid, deficit_eth=units * claim - paid
    )
