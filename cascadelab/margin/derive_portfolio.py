"""Derive v2 portfolio manager (PMRM): 21 scenarios, basis contingency, confidence penalties.

All margins are net values: negative means a requirement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascadelab.margin.derive_book import Expiry, OptionBook

__all__ = ["PortfolioAccount", "PortfolioMargin", "PortfolioRules", "portfolio_margin"]

_DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PortfolioRules:
    """Parameters of the portfolio manager (test configuration of 2023).

    Parameters
    ----------
    spot_shocks : tuple of float
        Factors on spot; each is combined with volatility up, unchanged and down.
    volatility_up, volatility_down : float
        Ranges of the volatility factors.
    short_power, long_power : float
        Exponents of (30 d / t) up to and beyond 30 days.
    basis_shocks : tuple of float
        Spot factors of the basis contingency.
    basis_add, basis_multiply : float
        Contingency = loss × (add + multiply × T).
    discount, rate_multiply, rate_add : float
        A positive shocked value counts discount × exp(-T (multiply × rate + add)).
    linear_charge, option_charge : float
        Static charges on perpetuals and base, and on unpaired short options, over spot.
    initial_factor : float
        Initial over maintenance scenario loss.
    peg_threshold, peg_factor : float
        Below this stable price the initial factor grows by factor × shortfall.
    confidence_threshold, confidence_charge : float
        Below this confidence, (1 - c) × charge × spot × size is deducted from initial margin.
    """

    spot_shocks: tuple[float, ...] = (1.15, 1.10, 1.05, 1.0, 0.95, 0.90, 0.85)
    volatility_up: float = 0.45
    volatility_down: float = 0.30
    short_power: float = 0.30
    long_power: float = 0.13
    basis_shocks: tuple[float, float] = (1.05, 0.95)
    basis_add: float = 0.25
    basis_multiply: float = 0.01
    discount: float = 0.95
    rate_multiply: float = 4.0
    rate_add: float = 0.05
    linear_charge: float = 0.02
    option_charge: float = 0.01
    initial_factor: float = 1.3
    peg_threshold: float = 0.98
    peg_factor: float = 2.0
    confidence_threshold: float = 0.6
    confidence_charge: float = 0.5

    def volatility_factors(self, seconds_to_expiry: float) -> tuple[float, float, float]:
        """Up, unchanged and down factor of an expiry: 1 + 0.45 g, 1, max(0, 1 - 0.30 g)."""
        power = self.short_power if seconds_to_expiry <= 30 * _DAY_S else self.long_power
        scale = (30 * _DAY_S / max(seconds_to_expiry, _DAY_S)) ** power
        return 1.0 + self.volatility_up * scale, 1.0, max(0.0, 1.0 - self.volatility_down * scale)

    def static_discount(self, years: float, rate: float) -> float:
        """Factor on a positive shocked expiry value; a negative rate counts as 0."""
        exponent = -years * (self.rate_multiply * max(rate, 0.0) + self.rate_add)
        return self.discount * float(np.exp(exponent))


@dataclass(frozen=True, kw_only=True, slots=True)
class PortfolioAccount:
    """Account and prices as the portfolio manager sees them.

    Parameters
    ----------
    spot_price, stable_price, perp_price : float
        USD.
    spot_confidence, perp_confidence : float
        In [0, 1].
    cash : float
        USD, signed.
    perp_position, base_position : float
        Signed perpetual size; base held as collateral.
    unrealized_perp, unrealized_funding : float
        Unrealised perpetual profit and funding receivable (negative: owed), USD.
    books : sequence of OptionBook
        One per expiry.
    expiries : sequence of Expiry
        In the same order.
    """

    spot_price: float
    stable_price: float = 1.0
    perp_price: float = 0.0
    spot_confidence: float = 1.0
    perp_confidence: float = 1.0
    cash: float = 0.0
    perp_position: float = 0.0
    base_position: float = 0.0
    unrealized_perp: float = 0.0
    unrealized_funding: float = 0.0
    books: Sequence[OptionBook] = ()
    expiries: Sequence[Expiry] = ()

    @property
    def confidence(self) -> float:
        """Least confidence of spot and, where a perpetual is held, of its price."""
        if self.perp_position == 0:
            return self.spot_confidence
        return min(self.spot_confidence, self.perp_confidence)

    @property
    def base_value(self) -> float:
        """Value of the base in stable-coin terms."""
        return self.base_position * self.spot_price / self.stable_price


@dataclass(frozen=True, kw_only=True, slots=True)
class PortfolioMargin:
    """Net margins and their parts, USD; negative margins are requirements.

    Parameters
    ----------
    initial, maintenance, mark_to_market : float
    worst_scenario : float
        Least change in value over scenarios and the basis contingency, before static charges.
    static_charge : float
        Static contingency deducted from it.
    confidence_penalty : float
        Deducted from the initial margin only.
    """

    initial: float
    maintenance: float
    mark_to_market: float
    worst_scenario: float
    static_charge: float
    confidence_penalty: float


def portfolio_margin(
    account: PortfolioAccount,
    rules: PortfolioRules = PortfolioRules(),
) -> PortfolioMargin:
    """Net initial and maintenance margin of an account.

    Parameters
    ----------
    account : PortfolioAccount
    rules : PortfolioRules

    Returns
    -------
    PortfolioMargin
    """
    worst = min(_basis_contingency(account, rules), *_scenario_changes(account, rules))
    static = _static_charge(account, rules)
    span = worst - static
    options = sum(
        book.value(expiry.forward)
        for book, expiry in zip(account.books, account.expiries, strict=True)
    )
    held = account.base_value + account.unrealized_perp + account.unrealized_funding
    value = options + held + account.cash
    shortfall = max(rules.peg_threshold - account.stable_price, 0.0)
    factor = rules.initial_factor + rules.peg_factor * shortfall
    penalty = _confidence_penalty(account, rules)
    return PortfolioMargin(
        initial=span * factor - penalty + value,
        maintenance=span + value,
        mark_to_market=value,
        worst_scenario=worst,
        static_charge=static,
        confidence_penalty=penalty,
    )


def _scenario_changes(account: PortfolioAccount, rules: PortfolioRules) -> list[float]:
    changes = []
    for shock in rules.spot_shocks:
        linear = account.perp_position * account.perp_price * (shock - 1.0)
        linear += account.base_value * (shock - 1.0)
        for which in range(3):
            change = linear
            for book, expiry in zip(account.books, account.expiries, strict=True):
                change += _expiry_change(book, expiry, shock, which, rules)
            changes.append(change)
    return changes


def _expiry_change(
    book: OptionBook, expiry: Expiry, shock: float, which: int, rules: PortfolioRules
) -> float:
    factor = rules.volatility_factors(book.seconds_to_expiry)[which]
    shocked = book.value(expiry.shocked(shock), factor)
    if shocked > 0:
        shocked *= rules.static_discount(book.years, expiry.rate)
    return shocked - book.value(expiry.forward)


def _basis_contingency(account: PortfolioAccount, rules: PortfolioRules) -> float:
    total = 0.0
    for book, expiry in zip(account.books, account.expiries, strict=True):
        now = book.value(expiry.forward)
        changes = [book.value(expiry.shocked(shock)) - now for shock in rules.basis_shocks]
        total += min(*changes, 0.0) * (rules.basis_add + rules.basis_multiply * book.years)
    return total


def _static_charge(account: PortfolioAccount, rules: PortfolioRules) -> float:
    linear = abs(account.perp_position) + account.base_position
    unpaired = sum(unpaired_shorts(book) for book in account.books)
    return account.spot_price * (rules.linear_charge * linear + rules.option_charge * unpaired)


def unpaired_shorts(book: OptionBook) -> float:
    """Short options left after calls and puts of one strike offset each other."""
    strikes = np.unique(book.strike)
    net = np.array([book.amount[book.strike == strike].sum() for strike in strikes])
    return float(np.maximum(-net, 0.0).sum())


def _confidence_penalty(account: PortfolioAccount, rules: PortfolioRules) -> float:
    sizes = [(account.confidence, abs(account.perp_position) + account.base_position)]
    for book, expiry in zip(account.books, account.expiries, strict=True):
        least = min(account.confidence, expiry.confidence)
        sizes.append((least, float(np.abs(book.amount).sum())))
    scale = rules.confidence_charge * account.spot_price
    return sum(
        (1.0 - confidence) * scale * size
        for confidence, size in sizes
        if confidence < rules.confidence_threshold
    )
