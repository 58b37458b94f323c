"""Where forced quantity is sold: order books, pools and auctions behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cascadelab.dynamics.decay import Decay, Permanent, signed_move
from cascadelab.dynamics.filling import jumps_of, mean_between
from cascadelab.errors import BookExhausted, ParameterError, require_positive
from cascadelab.impact import ConstantProductImpact, Impact
from cascadelab.margin.auctions import auction_price
from cascadelab.units import FloatArray, Scale

__all__ = ["BookVenue", "DutchAuction", "PoolVenue", "Venue", "route_sale"]


class Venue(Protocol):
    """A place of execution: price now, what a sale does to it, how it recovers."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    @property
    def price(self) -> float:
        """Marginal price for the next unit sold, quote per base."""
        ...

    def quantity_to(self, price: float) -> float:
        """Base units that can be sold before the marginal price is `price`; 0 if it is below."""
        ...

    def sell(self, quantity_base: float) -> float:
        """Sell; returns the quote received."""
        ...

    def advance(self, step_s: float, fundamental_price: float) -> None:
        """Let some seconds pass: impact fades, arbitrage follows the fundamental."""
        ...


@dataclass(kw_only=True)
class BookVenue:
    r"""Order book with an impact function that fades.

    Parameters
    ----------
    name : str
    impact : Impact
        I(Q) in the price or log scale.
    fundamental_price : float
        Price without sales, quote per base.
    decay : Decay
    scale : {"price", "log"}
    """

    name: str
    impact: Impact
    fundamental_price: float
    decay: Decay = field(default_factory=Permanent)
    scale: Scale = "price"
    _weights: FloatArray = field(init=False, repr=False)
    _rates: FloatArray = field(init=False, repr=False)
    _modes: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_positive(self, "fundamental_price")
        self._weights, self._rates = self.decay.modes()
        self._modes = np.zeros_like(self._weights)

    @property
    def state_base(self) -> float:
        """Quantity whose impact is left, base units."""
        return float(self._modes.sum())

    def _along(self, states: FloatArray) -> FloatArray:
        drop = signed_move(self.impact, states)
        if self.scale == "log":
            return np.asarray(self.fundamental_price * np.exp(-drop))
        return np.asarray(self.fundamental_price - drop)

    @property
    def price(self) -> float:
        """Marginal price, quote per base."""
        return float(self._along(np.array([self.state_base]))[0])

    def quantity_to(self, price: float) -> float:
        """Base units that bring the price down to `price`."""
        if price >= self.price:
            return 0.0
        if self.scale == "log":
            drop = float(np.log(self.fundamental_price / price)) if price > 0 else np.inf
        else:
            drop = self.fundamental_price - price
        most = min(float(self.impact.inverse(drop)), self.impact.capacity_base)
        return max(most - self.state_base, 0.0)

    def sell(self, quantity_base: float) -> float:
        """Sell along the book; returns the quote received."""
        _require_quantity(quantity_base)
        start = self.state_base
        if start + quantity_base > self.impact.capacity_base * (1 + 1e-12):
            raise BookExhausted(quantity_base, self.impact.capacity_base - start)
        if quantity_base == 0:
            return 0.0
        breaks = jumps_of(self.impact)
        average = mean_between(self._along, start, start + quantity_base, breaks)
        self._modes = self._modes + quantity_base * self._weights
        return quantity_base * average

    def advance(self, step_s: float, fundamental_price: float) -> None:
        """Impact fades; the fundamental moves."""
        self._modes = self._modes * np.exp(-self._rates * step_s)
        self.fundamental_price = fundamental_price


@dataclass(kw_only=True)
class PoolVenue:
    r"""Constant-product pool that arbitrage pulls towards the fundamental.

    Parameters
    ----------
    name : str
    pool : ConstantProductImpact
        Reserves, price and fee before any sale.
    arbitrage_per_s : float
        Rate at which the log gap to the fundamental closes; 0: never, infinite: within a step.

    Notes
    -----
    Between sales the reserves move along the curve :math:`xy=k` without fees, so a pool at a
    lower price holds more base.
    """

    name: str
    pool: ConstantProductImpact
    arbitrage_per_s: float = float("inf")

    def __post_init__(self) -> None:
        if not self.arbitrage_per_s >= 0:
            raise ParameterError.out_of_range(self, "arbitrage_per_s", "a number of at least 0")
        if self.pool.side != "long":
            raise ParameterError.out_of_range(self.pool, "side", "'long': a venue takes sales")

    @property
    def price(self) -> float:
        """Marginal price of the pool; a seller receives it less the fee."""
        return self.pool.pool_price

    def quantity_to(self, price: float) -> float:
        """Base units that bring the marginal price down to `price`."""
        if price >= self.price:
            return 0.0
        ratio = price / self.price
        drop = self.price - price if self.pool.scale == "price" else -np.log(ratio)
        return float(self.pool.inverse(drop))

    def sell(self, quantity_base: float) -> float:
        """Sell into the pool; returns the quote received after the fee."""
        received = float(self.pool.proceeds(quantity_base))
        base = self.pool.reserve_base + quantity_base
        quote = self.pool.reserve_base * self.pool.pool_price - received
        self.pool = _pool(self.pool, base, quote / base)
        return received

    def advance(self, step_s: float, fundamental_price: float) -> None:
        """Arbitrage closes the gap."""
        left = float(np.exp(-self.arbitrage_per_s * step_s)) if self.arbitrage_per_s else 1.0
        gap = float(np.log(self.price / fundamental_price))
        self.pool = self.pool.after_shock(fundamental_price * float(np.exp(gap * left)))


def _pool(old: ConstantProductImpact, base: float, price: float) -> ConstantProductImpact:
    return ConstantProductImpact(
        reserve_base=base, pool_price=price, fee_fraction=old.fee_fraction, scale=old.scale
    )


@dataclass(kw_only=True)
class DutchAuction:
    """Falling-price auctions: bidders take a lot once it is cheap enough for them.

    Lots wait until the auction price is at most the market price less the bidders' margin, up
    to a budget per second. Sales do not move the market at once: bidders hold what they win.

    Parameters
    ----------
    name : str
    market_price : float
        What bidders can resell at, quote per base.
    start_factor : float
        Starting price over the market price when the lot is put up.
    curve : str
        ``"linear"``, ``"exponential"`` or ``"stairstep"``
        (:func:`cascadelab.margin.auctions.auction_price`).
    duration_s, cut, step_s : float
        Of the curve.
    bidder_margin : float
        Discount bidders ask for, fraction in [0, 1).
    budget_quote_per_s : float
        What bidders can pay per second.
    """

    name: str
    market_price: float
    start_factor: float = 1.2
    curve: str = "stairstep"
    duration_s: float = float("nan")
    cut: float = 0.99
    step_s: float = 90.0
    bidder_margin: float = 0.02
    budget_quote_per_s: float = float("inf")
    clock_s: float = field(default=0.0, init=False)
    waiting: list[tuple[float, float, float]] = field(default_factory=list, init=False)
    sold_base: float = field(default=0.0, init=False)
    received_quote: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        require_positive(self, "market_price", "start_factor")
        if not self.budget_quote_per_s > 0:
            raise ParameterError.out_of_range(self, "budget_quote_per_s", "a positive number")
        if not 0 <= self.bidder_margin < 1:
            raise ParameterError.out_of_range(self, "bidder_margin", "[0, 1)")

    @property
    def price(self) -> float:
        """Price at which bidders take a lot now."""
        return self.market_price * (1.0 - self.bidder_margin)

    @property
    def waiting_base(self) -> float:
        """Base units in running auctions."""
        return float(sum(lot[1] for lot in self.waiting))

    def put_up(self, quantity_base: float) -> None:
        """Start an auction of a lot."""
        _require_quantity(quantity_base)
        self.waiting.append((self.clock_s, quantity_base, self.start_factor * self.market_price))

    def advance(self, step_s: float, fundamental_price: float) -> float:
        """Let some seconds pass; returns the quote received for lots taken meanwhile."""
        self.clock_s += step_s
        self.market_price = fundamental_price
        budget = self.budget_quote_per_s * step_s
        left: list[tuple[float, float, float]] = []
        received = 0.0
        for started, quantity, top in self.waiting:
            asked = float(
                auction_price(
                    self.curve,
                    top,
                    self.clock_s - started,
                    duration_s=self.duration_s,
                    cut=self.cut,
                    step_s=self.step_s,
                )
            )
            taken = 0.0
            if asked <= self.price and budget > 0:
                taken = quantity if asked == 0 else min(quantity, budget / asked)
            received += taken * asked
            budget -= taken * asked
            self.sold_base += taken
            if taken < quantity:
                left.append((started, quantity - taken, top))
        self.waiting = left
        self.received_quote += received
        return received


def _require_quantity(quantity_base: float) -> None:
    if not (np.isfinite(quantity_base) and quantity_base >= 0):
        raise ParameterError(
            f"quantity_base is {quantity_base!r}; expected a finite number of at least 0. Pass one."
        )


def route_sale(venues: Sequence[Venue], quantity_base: float) -> FloatArray:
    r"""Split a sale so that all venues used end at one marginal price; does not sell.

    Parameters
    ----------
    venues : sequence of Venue
    quantity_base : float
        At least 0.

    Returns
    -------
    ndarray of shape (n_venues,)
        Quantities that add up to `quantity_base`; nothing to a venue whose price is already
        below the common end price.

    Raises
    ------
    BookExhausted
        If the venues together cannot take the quantity at a positive price.

    Notes
    -----
    The split that receives most where impact is permanent: marginal prices are equal
    (water-filling), found by bisection on the end price.
    """
    _require_quantity(quantity_base)
    if not venues:
        raise ParameterError("venues is empty; expected at least one place to sell. Pass one.")

    def taken(price: float) -> FloatArray:
        return np.array([venue.quantity_to(price) for venue in venues])

    high = max(venue.price for venue in venues)
    low = 1e-12 * high
    most = float(taken(low).sum())
    if most < quantity_base:
        raise BookExhausted(quantity_base, most)
    for _ in range(200):
        middle = 0.5 * (low + high)
        if float(taken(middle).sum()) > quantity_base:
            low = middle
        else:
            high = middle
    parts = taken(high)
    # What bisection leaves over goes where the price is highest at the margin.
    parts[int(np.argmax([v.quantity_to(low) for v in venues]))] += quantity_base - parts.sum()
    return parts
