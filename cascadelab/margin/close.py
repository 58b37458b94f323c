"""Close rules: how much of a position a venue closes when it fires, and when it may go on.

Functions are vectorised over accounts and return the *unsigned* quantity closed in one step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.margin.tiers import TierTable
from cascadelab.units import FloatArray

__all__ = [
    "KINDS",
    "closed_by_factor",
    "closed_by_half",
    "closed_by_step_down",
    "closed_by_tranche",
    "closed_to_target",
    "closed_whole",
    "needs_backstop",
    "okx_contracts_closed",
    "target_fraction",
]

#: Close rules a venue record may name.
KINDS = (
    "whole",
    "step_down",
    "tranche",
    "close_factor",
    "to_target",
    "half",
    "auction",
    "absorb",
    "stability_pool",
    "disposal",
)


def closed_whole(quantity: npt.ArrayLike) -> FloatArray:
    """All of each position (GMX, Comet collateral, BitMEX at its lowest risk limit)."""
    return np.abs(np.asarray(quantity, dtype=np.float64))


def target_fraction(
    equity_ratio: npt.ArrayLike, target_ratio: npt.ArrayLike, fee_fraction: npt.ArrayLike = 0.0
) -> FloatArray:
    r"""Fraction to close so that equity over notional returns to a target.

    Parameters
    ----------
    equity_ratio, target_ratio : array_like of shape (n,)
        Equity over notional now and wanted.
    fee_fraction : array_like of shape (n,)
        Fee over closed notional.

    Returns
    -------
    ndarray of shape (n,)
        In [0, 1]; 1 where no partial close reaches the target.

    Notes
    -----
    :math:`f = (m_t - e_r)/(m_t - \phi)`; fills at the mark.

    Examples
    --------
    >>> float(target_fraction(0.01, 0.03, 0.005).round(9))
    0.8
    """
    ratio = np.asarray(equity_ratio, dtype=np.float64)
    target = np.asarray(target_ratio, dtype=np.float64)
    slope = target - np.asarray(fee_fraction, dtype=np.float64)
    fraction = (target - ratio) / np.where(slope > 0, slope, 1.0)
    return np.where(slope > 0, np.clip(fraction, 0.0, 1.0), 1.0)


def closed_to_target(
    quantity: npt.ArrayLike,
    equity: npt.ArrayLike,
    mark_price: npt.ArrayLike,
    target_ratio: npt.ArrayLike,
    fee_fraction: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Quantity closed to reach a target equity ratio (Drift: maintenance plus buffer; Deribit).

    Parameters
    ----------
    quantity, equity, mark_price, target_ratio, fee_fraction : array_like of shape (n,)
        Unsigned or signed base; quote; quote per base; fractions.

    Returns
    -------
    ndarray of shape (n,)
        Base, unsigned.
    """
    gross = closed_whole(quantity)
    notional = gross * np.asarray(mark_price, dtype=np.float64)
    ratio = np.asarray(equity, dtype=np.float64) / notional
    return np.asarray(gross * target_fraction(ratio, target_ratio, fee_fraction))


def closed_by_step_down(
    quantity: npt.ArrayLike, mark_price: npt.ArrayLike, table: TierTable, n_steps: int = 1
) -> FloatArray:
    """Quantity closed to come down to the top of a lower tier; all where none is low enough.

    Parameters
    ----------
    quantity, mark_price : array_like of shape (n,)
        Base; quote per base.
    table : TierTable
    n_steps : int
        Tiers to step down: 1 (Bybit, BitMEX), 2 (OKX, which closes tiers 1 and 2 whole).

    Returns
    -------
    ndarray of shape (n,)
        Base, unsigned.
    """
    gross = closed_whole(quantity)
    mark = np.asarray(mark_price, dtype=np.float64)
    tier = table.tier_of(gross * mark)
    target = np.maximum(tier - n_steps, 0)
    cap = np.append(table.floor[1:], np.inf)[target]
    return np.where(tier < n_steps, gross, np.maximum(gross - cap / mark, 0.0))


def closed_by_tranche(
    quantity: npt.ArrayLike,
    mark_price: npt.ArrayLike,
    cut_notional: float,
    first_fraction: float,
    is_cooling: npt.ArrayLike = False,
) -> FloatArray:
    """Quantity closed by a venue that starts large positions with a tranche (Hyperliquid).

    Parameters
    ----------
    quantity, mark_price : array_like of shape (n,)
        Base; quote per base.
    cut_notional : float
        Positions *above* this notional are closed in part first (100,000 USDC).
    first_fraction : float
        Share of the first tranche (0.2).
    is_cooling : array_like of bool of shape (n,)
        Whether the account has had a tranche and its cool-down runs: then the whole closes.

    Returns
    -------
    ndarray of shape (n,)
        Base, unsigned.
    """
    gross = closed_whole(quantity)
    is_large = gross * np.asarray(mark_price, dtype=np.float64) > cut_notional
    is_partial = is_large & ~np.asarray(is_cooling, dtype=bool)
    return np.where(is_partial, gross * first_fraction, gross)


def needs_backstop(
    equity: npt.ArrayLike, maintenance: npt.ArrayLike, fraction: float = 2.0 / 3.0
) -> npt.NDArray[np.bool_]:
    """Whether a backstop vault takes the account over: equity below 2/3 of maintenance."""
    return np.asarray(np.asarray(equity) < fraction * np.asarray(maintenance))


def closed_by_factor(quantity: npt.ArrayLike, close_factor: npt.ArrayLike) -> FloatArray:
    """Share of a debt or position that one call may close (Aave, Compound)."""
    factor = np.asarray(close_factor, dtype=np.float64)
    if np.any(~((factor >= 0) & (factor <= 1))):
        raise ParameterError(
            f"close_factor holds {float(factor.max()):g}; expected fractions in [0, 1]. Pass 0.5 "
            f"for a half."
        )
    return np.asarray(closed_whole(quantity) * factor)


def closed_by_half(
    quantity: npt.ArrayLike,
    equity_ratio: npt.ArrayLike,
    maintenance_fraction: float,
    notional: npt.ArrayLike,
    full_close_notional: float,
) -> FloatArray:
    """Half of a position not too weak and not too small, else all (Perp Protocol v2)."""
    is_half = np.asarray(equity_ratio) >= maintenance_fraction / 2
    is_half &= np.asarray(notional) > full_close_notional
    return np.asarray(closed_whole(quantity) * np.where(is_half, 0.5, 1.0))


def okx_contracts_closed(
    position_contracts: float,
    tier: int,
    target_tier_contracts: float,
    *,
    is_above_first_tier: bool = True,
) -> float:
    """Contracts closed by OKX's 2020 rule.

    Parameters
    ----------
    position_contracts : float
    tier : int
        Tier of the position, from 1.
    target_tier_contracts : float
        Largest position of the tier two below.
    is_above_first_tier : bool
        Whether the margin ratio still exceeds the first tier's requirement plus fee.

    Returns
    -------
    float
        All of it in tiers 1 and 2 or when the ratio is too low; else down to the target.
    """
    if tier < 3 or not is_above_first_tier:
        return position_contracts
    return max(position_contracts - target_tier_contracts, 0.0)
