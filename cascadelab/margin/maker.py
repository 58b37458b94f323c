"""Maker Liquidations 2.0: starting an auction (bark), taking from it, keeper incentives.

Letters as in the protocol: ink collateral, art normalised debt, rate, mat liquidation ratio,
chop penalty factor, buf starting factor, Hole/Dirt and hole/dirt global and per-collateral
limits and amounts in auction, dust smallest debt, tab DAI to raise, lot collateral for sale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cascadelab.margin.errors import AuctionRefused

__all__ = ["Bark", "IlkRules", "Limits", "Take", "bark", "keeper_incentive", "smallest_tab", "take"]

_SLACK = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class IlkRules:
    """Liquidation parameters of one collateral type.

    Parameters
    ----------
    mat, chop, buf : float
        Liquidation ratio, penalty factor (1.13 is 13 %), starting price over oracle price.
    dust : float
        Smallest debt a vault may keep, DAI.
    """

    mat: float
    chop: float = 1.0
    buf: float = 1.0
    dust: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Room for auctions, DAI: largest amounts and amounts already in auction.

    Parameters
    ----------
    Hole, Dirt : float
        All collateral types; no limit and nothing in auction where left out.
    hole, dirt : float
        This collateral type.
    """

    Hole: float = math.inf
    Dirt: float = 0.0
    hole: float = math.inf
    dirt: float = 0.0

    @property
    def room(self) -> float:
        """DAI that may still be put up for auction."""
        return min(self.Hole - self.Dirt, self.hole - self.dirt)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bark:
    """Auction started from a vault.

    Parameters
    ----------
    is_unsafe : bool
        False: nothing is auctioned, `tab` and `lot` are 0.
    tab, lot, top : float
        DAI to raise; collateral for sale; starting price.
    ink_left, art_left : float
        What the vault keeps.
    """

    is_unsafe: bool
    tab: float
    lot: float
    top: float
    ink_left: float
    art_left: float


def bark(
    ink: float, art: float, rate: float, price: float, rules: IlkRules, limits: Limits
) -> Bark:
    """Put an unsafe vault, whole or in part, up for auction.

    Parameters
    ----------
    ink, art, rate, price : float
        Collateral, normalised debt, accumulated rate, oracle price.
    rules : IlkRules
    limits : Limits

    Returns
    -------
    Bark

    Raises
    ------
    AuctionRefused
        If there is no room, or the part that fits is itself dusty.

    Notes
    -----
    Unsafe when ink × price / mat < art × rate. If the debt left would be under dust, the whole
    vault is taken and the limits may be exceeded.
    """
    top = rules.buf * price
    if ink * price / rules.mat >= art * rate * (1.0 - _SLACK):
        return Bark(is_unsafe=False, tab=0.0, lot=0.0, top=top, ink_left=ink, art_left=art)
    if limits.room <= 0:
        raise AuctionRefused(
            f"Room for auctions is {limits.room:g} DAI; expected a positive amount. Wait until "
            f"running auctions have raised some."
        )
    taken = _debt_taken(art, rate, rules, limits)
    lot = ink * taken / art
    return Bark(
        is_unsafe=True,
        tab=taken * rate * rules.chop,
        lot=lot,
        top=top,
        ink_left=ink - lot,
        art_left=art - taken,
    )


def _debt_taken(art: float, rate: float, rules: IlkRules, limits: Limits) -> float:
    part = min(art, limits.room / rate / rules.chop)
    if part >= art or (art - part) * rate < rules.dust * (1.0 - _SLACK):
        return art
    if part * rate < rules.dust * (1.0 - _SLACK):
        raise AuctionRefused(
            f"The part that fits holds {part * rate:g} DAI of debt; expected at least the dust "
            f"of {rules.dust:g}. Wait for more room."
        )
    return part


def smallest_tab(dust: float, chop: float) -> float:
    """Smallest remainder of an auction worth keeping, DAI: dust × chop (chost)."""
    return dust * chop


@dataclass(frozen=True, kw_only=True, slots=True)
class Take:
    """Purchase from a running auction.

    Parameters
    ----------
    owe, slice : float
        DAI paid and collateral received.
    tab_left, lot_left : float
        What stays in the auction; both 0 when it has ended.
    lot_returned : float
        Collateral handed back to the vault's owner when the tab is met.
    bad_debt : float
        DAI never raised because the lot ran out.
    """

    owe: float
    slice: float
    tab_left: float
    lot_left: float
    lot_returned: float
    bad_debt: float


def take(
    lot: float,
    tab: float,
    price: float,
    amount: float,
    chost: float,
    max_price: float = math.inf,
) -> Take:
    """Buy up to `amount` of collateral at the auction price.

    Parameters
    ----------
    lot, tab : float
        Collateral for sale and DAI to raise.
    price : float
        Auction price now, DAI per unit.
    amount : float
        Most collateral the taker wants.
    chost : float
        Smallest remainder, DAI.
    max_price : float
        Highest price the taker accepts, DAI per unit.

    Returns
    -------
    Take

    Raises
    ------
    AuctionRefused
        If a remainder under `chost` cannot be avoided because the tab itself is not above it, or
        the price is above `max_price`.

    Notes
    -----
    A purchase that would leave some lot and a tab under chost shrinks to leave exactly chost.
    """
    if price > max_price:
        raise AuctionRefused(
            f"The price is {price:g}; expected at most {max_price:g}. Wait until it has fallen."
        )
    piece = min(lot, amount)
    owe = piece * price
    if owe > tab:
        owe, piece = tab, tab / price
    elif owe < tab and piece < lot and tab - owe < chost:
        if tab <= chost:
            raise AuctionRefused(
                f"The purchase leaves {tab - owe:g} of a tab of {tab:g}; expected nothing or at "
                f"least {chost:g}. Take enough to clear the tab."
            )
        owe = tab - chost
        piece = owe / price
    return _settled(lot - piece, tab - owe, owe, piece)


def _settled(lot_left: float, tab_left: float, owe: float, piece: float) -> Take:
    if tab_left <= 0:
        return Take(
            owe=owe, slice=piece, tab_left=0.0, lot_left=0.0, lot_returned=lot_left, bad_debt=0.0
        )
    if lot_left <= 0:
        return Take(
            owe=owe, slice=piece, tab_left=0.0, lot_left=0.0, lot_returned=0.0, bad_debt=tab_left
        )
    return Take(
        owe=owe, slice=piece, tab_left=tab_left, lot_left=lot_left, lot_returned=0.0, bad_debt=0.0
    )


def keeper_incentive(
    tip: float, chip: float, tab: float, lot_value: float, chost: float, kind: str = "bark"
) -> float:
    """DAI paid for starting or restarting an auction: tip + chip × tab.

    Parameters
    ----------
    tip, chip : float
        Flat DAI; share of the tab.
    tab, lot_value, chost : float
        DAI.
    kind : {"bark", "redo"}
        A redo pays nothing if the tab or the lot's value is under chost.

    Returns
    -------
    float
    """
    if kind == "redo" and (tab < chost or lot_value < chost):
        return 0.0
    return tip + chip * tab
