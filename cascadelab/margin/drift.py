"""Drift v2: size-scaled weights, partial liquidation to a buffer, fees that shrink and grow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = [
    "LiquidationStep",
    "asset_weight",
    "base_to_cover",
    "liability_transfer_of_asset",
    "liability_transfer_to_cover",
    "liability_weight",
    "liquidation_step",
    "liquidator_fee",
    "max_step_fraction",
    "perp_insurance_fee",
    "spot_insurance_fee",
]

#: Shortage, USD, under which one step may close everything.
SMALL_SHORTAGE_USD = 50.0


def asset_weight(
    weight: npt.ArrayLike, imf_factor: npt.ArrayLike, size: npt.ArrayLike
) -> FloatArray:
    r"""Weight of an asset after the size discount: :math:`\min(w, 1.1/(1+r))`.

    Parameters
    ----------
    weight, imf_factor, size : array_like of shape (n,)
        Unscaled weight; factor (0 switches the discount off); unsigned size in tokens.

    Returns
    -------
    ndarray of shape (n,)

    Notes
    -----
    :math:`r = imf \sqrt{size}`. The same rule serves initial, fill and maintenance weights.
    """
    premium = np.asarray(imf_factor, dtype=np.float64) * np.sqrt(np.abs(size))
    scaled = np.minimum(weight, 1.1 / (1.0 + premium))
    return np.where(np.asarray(imf_factor) == 0, weight, scaled)


def liability_weight(
    weight: npt.ArrayLike, imf_factor: npt.ArrayLike, size: npt.ArrayLike
) -> FloatArray:
    r"""Weight of a liability after the size premium: :math:`\\max(w, 0.8 w + r)`.

    Parameters
    ----------
    weight, imf_factor, size : array_like of shape (n,)
        As in :func:`asset_weight`; perpetual margin ratios scale the same way.

    Returns
    -------
    ndarray of shape (n,)
    """
    base = np.asarray(weight, dtype=np.float64)
    premium = np.asarray(imf_factor, dtype=np.float64) * np.sqrt(np.abs(size))
    return np.where(np.asarray(imf_factor) == 0, base, np.maximum(base, 0.8 * base + premium))


def base_to_cover(
    margin_shortage: npt.ArrayLike,
    margin_ratio: npt.ArrayLike,
    liquidator_fee: float,
    insurance_fee: float,
    oracle_price: npt.ArrayLike,
    quote_price: float = 1.0,
) -> FloatArray:
    """Base quantity whose closing frees the margin shortage.

    Parameters
    ----------
    margin_shortage : array_like of shape (n,)
        Requirement with buffer minus collateral, USD.
    margin_ratio : array_like of shape (n,)
        Maintenance ratio with buffer.
    liquidator_fee, insurance_fee : float
        Fractions of closed value.
    oracle_price : array_like of shape (n,)
    quote_price : float
        Oracle price of the quote token, USD.

    Returns
    -------
    ndarray of shape (n,)
        Base; infinite where closing frees nothing because the fees eat the ratio.
    """
    per_base = np.asarray(oracle_price, dtype=np.float64) * quote_price
    freed = np.asarray(per_base * (np.asarray(margin_ratio) - liquidator_fee - insurance_fee))
    shortage = np.asarray(margin_shortage, dtype=np.float64)
    return np.where(freed > 0, shortage / np.where(freed > 0, freed, 1.0), np.inf)


def liability_transfer_to_cover(
    margin_shortage: float,
    asset: tuple[float, float],
    liability: tuple[float, float],
    insurance_fee: float,
    liability_price: float,
) -> float:
    """Spot liability to transfer so that the shortage is covered, tokens.

    Parameters
    ----------
    margin_shortage : float
        USD.
    asset, liability : tuple of float
        (weight, liquidation multiplier) of each side.
    insurance_fee : float
        Fraction.
    liability_price : float
        USD per token.

    Returns
    -------
    float
        Infinite where the liability component is not above the asset component.
    """
    asset_part = asset[0] * asset[1] / liability[1]
    gap = liability[0] * (1.0 - insurance_fee) - asset_part
    return math.inf if gap <= 0 else margin_shortage / (liability_price * gap)


def liability_transfer_of_asset(
    asset_value: float, liability_price: float, asset_multiplier: float, liability_multiplier: float
) -> float:
    """Spot liability that a given asset value pays for, tokens."""
    return asset_value * liability_multiplier / (asset_multiplier * liability_price)


def liquidator_fee(
    base_fee: float,
    max_fee: float,
    slots_elapsed: float,
    grace_slots: float = 1500,
    increase_per_slot: float = 1e-6,
) -> float:
    """Liquidator fee that grows once the grace period has passed, counted from its start.

    Examples
    --------
    >>> liquidator_fee(0.02, 0.05, 10), round(liquidator_fee(0.02, 0.05, 10_000), 9)
    (0.02, 0.03)
    """
    if slots_elapsed < grace_slots:
        return base_fee
    return min(base_fee + slots_elapsed * increase_per_slot, max_fee)


def perp_insurance_fee(
    margin_shortage: float,
    margin_ratio: float,
    liquidator_fee: float,
    position_value: float,
    max_fee: float,
) -> float:
    """Insurance-fund fee of a perpetual: what the ratio leaves after fee and shortage, times 0.95.

    Returns
    -------
    float
        Fraction in [0, max_fee]; it shrinks as the shortage grows.
    """
    left = margin_ratio - liquidator_fee - margin_shortage / position_value
    return min(max_fee, 0.95 * max(left, 0.0))


def spot_insurance_fee(
    margin_shortage: float,
    asset: tuple[float, float],
    liability: tuple[float, float],
    liability_value: float,
    max_fee: float,
) -> float:
    """Insurance-fund fee of a spot liability, fraction in [0, max_fee].

    Parameters
    ----------
    margin_shortage : float
        USD.
    asset, liability : tuple of float
        (weight, liquidation multiplier) of each side.
    liability_value : float
        USD.
    max_fee : float
    """
    asset_part = asset[0] * asset[1] / liability[1]
    left = liability[0] - asset_part - margin_shortage / liability_value
    return min(max_fee, max(left, 0.0) / liability[0])


def max_step_fraction(
    margin_shortage: float,
    initial_fraction: float,
    slots_elapsed: float,
    duration_slots: float,
    margin_already_freed: float = 0.0,
) -> float:
    """Share of the current shortage one liquidation step may free.

    Parameters
    ----------
    margin_shortage, margin_already_freed : float
        USD; freed since this liquidation began.
    initial_fraction : float
        Share allowed at the start.
    slots_elapsed, duration_slots : float
        Since the start, and until everything is allowed.

    Returns
    -------
    float
        1 for a shortage under 50 USD.
    """
    if margin_shortage < SMALL_SHORTAGE_USD:
        return 1.0
    allowed = min(1.0, initial_fraction + slots_elapsed / duration_slots)
    total = margin_shortage + margin_already_freed
    return max(0.0, total * allowed - margin_already_freed) / margin_shortage


@dataclass(frozen=True, kw_only=True, slots=True)
class LiquidationStep:
    """One Drift liquidation step.

    Parameters
    ----------
    base_closed : float
        Unsigned quantity closed.
    base_remaining : float
        Signed.
    quote_after : float
        Quote entry amount left on the position, signed (negative for a long).
    insurance_fee_paid : float
        USD to the insurance fund.
    liquidator_quote : float
        Quote entry the liquidator takes on with the base.
    margin_ratio_after : float
        Equity over remaining notional; NaN when nothing remains.
    """

    base_closed: float
    base_remaining: float
    quote_after: float
    insurance_fee_paid: float
    liquidator_quote: float
    margin_ratio_after: float


def liquidation_step(
    position: tuple[float, float],
    oracle_price: float,
    collateral: float,
    margin_ratio: tuple[float, float],
    fees: tuple[float, float],
    step_fraction: float = 1.0,
) -> LiquidationStep:
    """Close a perpetual until equity meets maintenance *plus buffer*.

    Parameters
    ----------
    position : tuple of float
        (signed base, signed quote entry): a long of 2 bought at 100 is (2, -200).
    oracle_price, collateral : float
        USD.
    margin_ratio : tuple of float
        (maintenance, buffer).
    fees : tuple of float
        (liquidator, insurance fund), fractions of closed value.
    step_fraction : float
        Share of the shortage this step may free, see :func:`max_step_fraction`.

    Returns
    -------
    LiquidationStep

    Raises
    ------
    ParameterError
        If the account is at or above maintenance: it may not be liquidated.
    """
    base, quote = position
    notional = abs(base) * oracle_price
    equity = collateral + quote + base * oracle_price
    if equity >= margin_ratio[0] * notional:
        raise ParameterError(
            f"Equity is {equity:g} and maintenance {margin_ratio[0] * notional:g}; expected "
            f"equity below maintenance. A healthy account is not liquidated."
        )
    target = margin_ratio[0] + margin_ratio[1]
    shortage = (target * notional - equity) * step_fraction
    wanted = float(base_to_cover(shortage, target, *fees, oracle_price))
    closed = math.copysign(min(wanted, abs(base)), base)
    sign = math.copysign(1.0, base)
    liquidator_quote = -closed * oracle_price * (1.0 - sign * fees[0])
    insurance = abs(closed) * oracle_price * fees[1]
    left, quote_left = base - closed, quote - liquidator_quote - insurance
    equity_left = collateral + quote_left + left * oracle_price
    ratio = equity_left / (abs(left) * oracle_price) if abs(left) > 1e-12 else math.nan
    return LiquidationStep(
        base_closed=abs(closed),
        base_remaining=left,
        quote_after=quote_left,
        insurance_fee_paid=insurance,
        liquidator_quote=liquidator_quote,
        margin_ratio_after=ratio,
    )
