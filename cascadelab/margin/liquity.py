"""Liquity v1: normal and recovery mode, the stability pool, redistribution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = [
    "Liquidated",
    "StabilityPool",
    "collateral_ratio",
    "gas_compensation",
    "liquidate_trove",
    "liquidation_action",
    "redistribute",
]

MINIMUM_RATIO = 1.1
CRITICAL_RATIO = 1.5


def collateral_ratio(collateral: float, price: float, debt: float) -> float:
    """Collateral value over debt of one trove or of the system; infinite without debt."""
    return math.inf if debt == 0 else collateral * price / debt


def gas_compensation(collateral: float, fraction: float = 0.005) -> float:
    """Collateral paid to the caller before anything is split."""
    return collateral * fraction


def liquidation_action(
    ratio: float,
    system_ratio: float,
    is_covered: bool,
    minimum_ratio: float = MINIMUM_RATIO,
    critical_ratio: float = CRITICAL_RATIO,
) -> str:
    """What happens to a trove in normal or recovery mode.

    Parameters
    ----------
    ratio, system_ratio : float
        Collateral ratio of the trove and of the system (TCR).
    is_covered : bool
        Whether the stability pool covers the trove's whole debt.
    minimum_ratio, critical_ratio : float
        1.1 and 1.5 on the main deployment; recovery mode when TCR < critical.

    Returns
    -------
    str
        ``"none"``, ``"redistribute"``, ``"offset_then_redistribute"`` or ``"offset_capped"``
        (pool absorbs all debt, takes 1.1 × debt of collateral; the owner may claim the rest).

    Examples
    --------
    >>> liquidation_action(1.2, 2.0, True), liquidation_action(1.2, 1.4, True)
    ('none', 'offset_capped')
    """
    if system_ratio >= critical_ratio:
        return "offset_then_redistribute" if ratio < minimum_ratio else "none"
    if ratio <= 1.0:
        return "redistribute"
    if ratio < minimum_ratio:
        return "offset_then_redistribute"
    if ratio < system_ratio and is_covered:
        return "offset_capped"
    return "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class StabilityPool:
    """Deposits and collateral gains of a stability pool; every event makes a new pool.

    Parameters
    ----------
    deposits, gains : mapping of str to float
        LUSD left, and collateral gained, per depositor.
    caller_fraction : float
        Collateral paid to the caller before the pool gets its part.

    Examples
    --------
    >>> pool = StabilityPool().deposit("a", 100.0).deposit("b", 300.0).liquidate(100.0, 2.0)
    >>> pool.deposits
    {'a': 75.0, 'b': 225.0}
    """

    deposits: Mapping[str, float] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    caller_fraction: float = 0.005

    @property
    def total(self) -> float:
        """LUSD in the pool."""
        return float(sum(self.deposits.values()))

    def _with(self, deposits: dict[str, float], gains: dict[str, float]) -> StabilityPool:
        return StabilityPool(deposits=deposits, gains=gains, caller_fraction=self.caller_fraction)

    def deposit(self, depositor: str, amount: float) -> StabilityPool:
        """Pool with a further deposit; it shares in later liquidations only.

        Raises
        ------
        ParameterError
            If the amount is not positive.
        """
        if not amount > 0:
            raise ParameterError(
                f"deposit of {depositor!r} is {amount!r}; expected a positive amount. Pass one."
            )
        deposits = dict(self.deposits)
        deposits[depositor] = deposits.get(depositor, 0.0) + amount
        return self._with(deposits, {**{depositor: 0.0}, **self.gains})

    def withdraw(self, depositor: str, amount: float = math.inf) -> StabilityPool:
        """Pool after a withdrawal of at most what is left of a deposit; gains stay recorded.

        Raises
        ------
        ParameterError
            If the depositor is unknown or the amount is not positive.
        """
        if depositor not in self.deposits or not amount > 0:
            raise ParameterError(
                f"withdrawal of {depositor!r} is {amount!r}; expected a positive amount of one of "
                f"{sorted(self.deposits)}. Deposit first."
            )
        left = max(self.deposits[depositor] - amount, 0.0)
        return self._with({**self.deposits, depositor: left}, dict(self.gains))

    def liquidate(self, debt: float, collateral: float) -> StabilityPool:
        """Pool after absorbing as much of a trove's debt as it holds.

        Parameters
        ----------
        debt, collateral : float
            Of the whole trove. What the pool cannot absorb is redistributed elsewhere with its
            share of the collateral.

        Returns
        -------
        StabilityPool
        """
        total = self.total
        absorbed = min(debt, total)
        if absorbed <= 0:
            return self
        net = collateral - gas_compensation(collateral, self.caller_fraction)
        received = net * absorbed / debt
        keep = 1.0 - absorbed / total
        gains = {
            name: self.gains.get(name, 0.0) + received * amount / total
            for name, amount in self.deposits.items()
        }
        deposits = {name: amount * keep for name, amount in self.deposits.items()}
        return self._with(deposits, {**self.gains, **gains})


@dataclass(frozen=True, kw_only=True, slots=True)
class Liquidated:
    """Where the debt and the collateral of a liquidated trove go; each adds up to the trove.

    Parameters
    ----------
    action : str
        See :func:`liquidation_action`.
    debt_to_pool, debt_redistributed : float
        LUSD.
    collateral_to_caller, collateral_to_pool, collateral_redistributed, collateral_claimable : float
        Units of collateral; the last is the owner's surplus of the capped branch.
    """

    action: str
    debt_to_pool: float = 0.0
    debt_redistributed: float = 0.0
    collateral_to_caller: float = 0.0
    collateral_to_pool: float = 0.0
    collateral_redistributed: float = 0.0
    collateral_claimable: float = 0.0


def liquidate_trove(
    collateral: float, debt: float, price: float, system_ratio: float, pool_lusd: float
) -> Liquidated:
    """Split a trove between caller, pool, redistribution and owner.

    Parameters
    ----------
    collateral, debt, price : float
        Trove and oracle price.
    system_ratio : float
        TCR.
    pool_lusd : float
        LUSD in the stability pool.

    Returns
    -------
    Liquidated
    """
    ratio = collateral_ratio(collateral, price, debt)
    action = liquidation_action(ratio, system_ratio, pool_lusd >= debt)
    if action == "none":
        return Liquidated(action=action)
    claimable = 0.0
    if action == "offset_capped":
        claimable = collateral - MINIMUM_RATIO * debt / price
    seized = collateral - claimable
    caller = gas_compensation(seized)
    absorbed = 0.0 if action == "redistribute" else min(debt, pool_lusd)
    to_pool = (seized - caller) * absorbed / debt
    return Liquidated(
        action=action,
        debt_to_pool=absorbed,
        debt_redistributed=debt - absorbed,
        collateral_to_caller=caller,
        collateral_to_pool=to_pool,
        collateral_redistributed=seized - caller - to_pool,
        collateral_claimable=claimable,
    )


def redistribute(amount: float, stakes: FloatArray) -> FloatArray:
    """Amount split over the other troves by stake.

    Parameters
    ----------
    amount : float
        Debt or collateral.
    stakes : ndarray of shape (n_troves,)
        Not negative, not all zero.

    Returns
    -------
    ndarray of shape (n_troves,)
    """
    weights = np.asarray(stakes, dtype=np.float64)
    return np.asarray(amount * weights / weights.sum())
