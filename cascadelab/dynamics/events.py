"""What is known to happen during a run: openings, margin added, funding, orders of traders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cascadelab.errors import ParameterError, require_positive

__all__ = ["AccountEvent", "Event", "Funding", "Opening", "TopUp", "Trade", "in_order"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """An isolated position opened during a run.

    Parameters
    ----------
    at_s : float
        Seconds from the start; the first step at or after it counts.
    account : str
        Name; must be new.
    size_base : float
        Signed size, long positive (inverse contracts: face in quote), not 0.
    margin_quote : float
        Margin posted (inverse contracts: coin), at least 0.
    entry_price : float or None
        Quote per base; None: the price of the step, before the sales of the step.

    Notes
    -----
    The order that opens the position moves nothing here: what traders want is part of the
    fundamental. Where it should, pass a :class:`Trade` beside the opening.
    """

    at_s: float
    account: str
    size_base: float
    margin_quote: float
    entry_price: float | None = None

    def __post_init__(self) -> None:
        _require_time(self)
        if not (math.isfinite(self.size_base) and self.size_base != 0):
            raise ParameterError.out_of_range(self, "size_base", "a finite size other than 0")
        if not (math.isfinite(self.margin_quote) and self.margin_quote >= 0):
            raise ParameterError.out_of_range(self, "margin_quote", "a finite number of at least 0")
        if self.entry_price is not None:
            require_positive(self, "entry_price")


@dataclass(frozen=True, kw_only=True, slots=True)
class TopUp:
    """Margin that an account adds to its position, or takes out of it.

    Parameters
    ----------
    at_s : float
        Seconds from the start.
    account : str
        Name of one position of the book, or of an earlier opening.
    margin_quote : float
        Added where positive, taken out where negative; quote (inverse contracts: coin).

    Notes
    -----
    What is already due stays due: the engine has taken it over. A top-up of an account with
    nothing left does nothing, and taking out more than is posted is refused; both are marked in
    ``Run.account_events()``.
    """

    at_s: float
    account: str
    margin_quote: float

    def __post_init__(self) -> None:
        _require_time(self)
        if not math.isfinite(self.margin_quote):
            raise ParameterError.out_of_range(self, "margin_quote", "a finite number")


@dataclass(frozen=True, kw_only=True, slots=True)
class Funding:
    """Funding that every open position pays out of its margin, or receives.

    Parameters
    ----------
    at_s : float
        Seconds from the start.
    rate : float
        Fraction of the position's value at the mark; where positive, longs pay and shorts receive.

    Notes
    -----
    What is already due does not pay. Longs and shorts of a book need not be equally large: the
    difference goes to, or comes from, counterparties outside it.
    """

    at_s: float
    rate: float

    def __post_init__(self) -> None:
        _require_time(self)
        if not -1.0 < self.rate < 1.0:
            raise ParameterError.out_of_range(self, "rate", "a fraction in (-1, 1)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trade:
    r"""Order of a named trader, executed at the book.

    Parameters
    ----------
    at_s : float
        Seconds from the start; the first step at or after it counts.
    trader : str
        Whose cash and position it is.
    quantity_base : float
        Bought where positive, sold where negative (inverse contracts: face in quote), not 0.
    fee_fraction : float
        The trader's fee over the filled value, in [0, 1).

    Notes
    -----
    It moves the price as a forced sale does: same impact, decay, depth and fill convention, and
    the engine looks after it. What the book cannot take is not filled. With ``fill="average"``
    and permanent impact a round trip in a quiet market earns exactly nothing, however it is split
    up; with ``fill="last"`` selling and buying back X costs :math:`\lambda X^2`. A trader has no
    margin and is not closed; what the fundamental does does not depend on trades.
    """

    at_s: float
    trader: str
    quantity_base: float
    fee_fraction: float = 0.0

    def __post_init__(self) -> None:
        _require_time(self)
        if not (math.isfinite(self.quantity_base) and self.quantity_base != 0):
            raise ParameterError.out_of_range(self, "quantity_base", "a finite size other than 0")
        if not 0.0 <= self.fee_fraction < 1.0:
            raise ParameterError.out_of_range(self, "fee_fraction", "[0, 1)")


AccountEvent = Opening | TopUp | Funding
Event = AccountEvent | Trade


def _require_time(event: Event) -> None:
    if not (math.isfinite(event.at_s) and event.at_s >= 0):
        raise ParameterError.out_of_range(event, "at_s", "a finite number of at least 0")


def in_order(
    events: Sequence[Event], step_s: float
) -> tuple[list[tuple[int, AccountEvent]], list[tuple[int, Trade]]]:
    """Events with the step at which each takes place, in order of step.

    At one step funding comes first, then top-ups, then openings, then trades; else the order given
    counts.

    Parameters
    ----------
    events : sequence of Opening, TopUp, Funding or Trade
    step_s : float
        Seconds.

    Returns
    -------
    tuple of two lists of (int, event)
        What happens to accounts, and trades.
    """
    ranks = {Funding: 0, TopUp: 1, Opening: 2}
    accounts: list[tuple[int, AccountEvent]] = []
    trades: list[tuple[int, Trade]] = []
    for event in events:
        if not isinstance(event, (Funding, TopUp, Opening, Trade)):
            raise ParameterError(
                f"events hold a {type(event).__name__}; expected Opening, TopUp, Funding or Trade. "
                f"Leave it out."
            )
        step = math.ceil(event.at_s / step_s - 1e-9)
        if isinstance(event, Trade):
            trades.append((step, event))
        else:
            accounts.append((step, event))
    accounts.sort(key=lambda pair: (pair[0], ranks[type(pair[1])]))
    return accounts, sorted(trades, key=lambda pair: pair[0])
