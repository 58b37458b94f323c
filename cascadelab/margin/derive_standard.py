"""Derive v2 standard manager: isolated option requirements or maximum loss, perps, base.

All margins are net values: negative means a requirement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascadelab.margin.black import intrinsic_value
from cascadelab.margin.derive_book import OptionBook

__all__ = ["StandardMargin", "StandardMarket", "StandardRules", "standard_margin"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StandardRules:
    """Parameters of the standard manager (test configuration of 2023).

    Parameters
    ----------
    perp_maintenance, perp_initial : float
        Over perpetual notional.
    base_fraction : float
        Share of the base's value that counts as margin.
    max_spot, min_spot, maintenance_spot : float
        Option charges over spot: initial at the money, initial floor, maintenance.
    put_mark_fraction : float
        Maintenance of a put is at least this share of its mark.
    put_initial_scale : float
        Initial of a put over its maintenance, at least.
    unpaired_initial, unpaired_maintenance : float
        Charge per net short call over the forward.
    confidence_threshold, confidence_charge : float
        Below this confidence, (1 - c) × charge × spot × size is deducted from initial margin.
    depeg_threshold, depeg_factor : float
        Below this stable price, shortfall × factor × spot × size is deducted.
    settlement_window_s : float
        Within this time of expiry the settlement average is the option's forward.
    """

    perp_maintenance: float = 0.05
    perp_initial: float = 0.065
    base_fraction: float = 0.10
    max_spot: float = 0.15
    min_spot: float = 0.10
    maintenance_spot: float = 0.075
    put_mark_fraction: float = 0.075
    put_initial_scale: float = 1.05
    unpaired_initial: float = 1.2
    unpaired_maintenance: float = 1.1
    confidence_threshold: float = 0.4
    confidence_charge: float = 0.4
    depeg_threshold: float = 0.98
    depeg_factor: float = 1.2
    settlement_window_s: float = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StandardMarket:
    """One underlying of an account: prices, perpetual, base and options.

    Parameters
    ----------
    spot_price, perp_price : float
        USD.
    spot_confidence, perp_confidence : float
        In [0, 1].
    perp_position, perp_entry_price : float
        Signed size; USD.
    unpaid_funding : float
        Funding owed per unit of a long perpetual since the last settlement, USD (positive:
        the long pays).
    base_position : float
    settlement_price : float
        Settlement average so far, blended with the forward, USD.
    books : sequence of OptionBook
        One per expiry.
    forwards, confidences : sequence of float
        Forward price and least feed confidence of each expiry, in the same order.
    """

    spot_price: float
    perp_price: float = 0.0
    spot_confidence: float = 1.0
    perp_confidence: float = 1.0
    perp_position: float = 0.0
    perp_entry_price: float = 0.0
    unpaid_funding: float = 0.0
    base_position: float = 0.0
    settlement_price: float = 0.0
    books: Sequence[OptionBook] = ()
    forwards: Sequence[float] = ()
    confidences: Sequence[float] = ()

    @property
    def unrealized_perp(self) -> float:
        """Perpetual profit at its mark minus unpaid funding, USD."""
        profit = self.perp_position * (self.perp_price - self.perp_entry_price)
        return profit - self.perp_position * self.unpaid_funding


@dataclass(frozen=True, kw_only=True, slots=True)
class StandardMargin:
    """Net margins, USD; negative is a requirement."""

    initial: float
    maintenance: float
    mark_to_market: float


def standard_margin(
    markets: Sequence[StandardMarket],
    cash: float,
    stable_price: float = 1.0,
    rules: StandardRules = StandardRules(),
) -> StandardMargin:
    """Net initial and maintenance margin of an account over its markets.

    Parameters
    ----------
    markets : sequence of StandardMarket
    cash : float
        USD, signed.
    stable_price : float
    rules : StandardRules

    Returns
    -------
    StandardMargin
    """
    parts = [_market_margin(market, stable_price, rules) for market in markets]
    return StandardMargin(
        initial=cash + sum(part.initial for part in parts),
        maintenance=cash + sum(part.maintenance for part in parts),
        mark_to_market=cash + sum(part.mark_to_market for part in parts),
    )


def _market_margin(
    market: StandardMarket, stable_price: float, rules: StandardRules
) -> StandardMargin:
    notional = abs(market.perp_position) * market.perp_price
    base = market.base_position * market.spot_price
    held = market.unrealized_perp
    initial = held - rules.perp_initial * notional + rules.base_fraction * base
    maintenance = held - rules.perp_maintenance * notional + rules.base_fraction * base
    value = held + base / stable_price
    for book, forward in zip(market.books, market.forwards, strict=True):
        in_window = book.seconds_to_expiry < rules.settlement_window_s
        price = market.settlement_price if in_window else forward
        one = _expiry_margin(book, price, market.spot_price, rules)
        initial += one.initial
        maintenance += one.maintenance
        value += one.mark_to_market
    initial -= _oracle_penalty(market, rules) + _depeg_penalty(market, stable_price, rules)
    return StandardMargin(initial=initial, maintenance=maintenance, mark_to_market=value)


def _expiry_margin(
    book: OptionBook, forward: float, spot: float, rules: StandardRules
) -> StandardMargin:
    """Smaller of the isolated requirements and the maximum loss, per expiry."""
    isolated = _isolated(book, forward, spot, rules)
    worst = _worst_payoff(book)
    shorts = max(-float(book.amount[book.is_call].sum()), 0.0)
    charge = shorts * forward
    return StandardMargin(
        initial=max(isolated[0], worst - rules.unpaired_initial * charge),
        maintenance=max(isolated[1], worst - rules.unpaired_maintenance * charge),
        mark_to_market=book.value(forward),
    )


def _isolated(
    book: OptionBook, forward: float, spot: float, rules: StandardRules
) -> tuple[float, float]:
    short = np.maximum(-book.amount, 0.0)
    mark = book.unit_value(forward)
    out = np.maximum(np.where(book.is_call, book.strike - spot, spot - book.strike), 0.0)
    rate = np.maximum(rules.max_spot - out / spot, rules.min_spot)
    base = rules.maintenance_spot * spot
    put = np.maximum(base, rules.put_mark_fraction * mark)
    maintenance = mark + np.where(book.is_call, base, put)
    initial = mark + rate * spot
    initial = np.where(
        book.is_call, initial, np.maximum(initial, rules.put_initial_scale * maintenance)
    )
    return -float(short @ initial), -float(short @ maintenance)


def _worst_payoff(book: OptionBook) -> float:
    prices = np.concatenate([[0.0], book.strike])
    payoff = intrinsic_value(prices[:, None], book.strike, book.is_call) @ book.amount
    return min(float(payoff.min()), 0.0)


def _short_options(book: OptionBook) -> float:
    return float(np.maximum(-book.amount, 0.0).sum())


def _oracle_penalty(market: StandardMarket, rules: StandardRules) -> float:
    """Initial margin only: low-confidence feeds charge perpetuals, base and short options."""
    least = min(market.spot_confidence, market.perp_confidence)
    sizes = [
        (least, abs(market.perp_position)),
        (market.spot_confidence, market.base_position),
    ]
    for book, confidence in zip(market.books, market.confidences, strict=True):
        sizes.append((min(market.spot_confidence, confidence), _short_options(book)))
    scale = rules.confidence_charge * market.spot_price
    return sum((1.0 - c) * scale * size for c, size in sizes if c < rules.confidence_threshold)


def _depeg_penalty(market: StandardMarket, stable_price: float, rules: StandardRules) -> float:
    shortfall = max(rules.depeg_threshold - stable_price, 0.0)
    size = abs(market.perp_position) + sum(_short_options(book) for book in market.books)
    return shortfall * rules.depeg_factor * market.spot_price * size
