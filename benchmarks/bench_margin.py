"""Margin rules on a million accounts, against the flat-rate formula and a full sort."""

from __future__ import annotations

import numpy as np

from benchmarks.timing import Ratio, compare
from cascadelab import margin
from cascadelab.ledger import Ledger
from cascadelab.margin import adl, linear

N_ACCOUNTS = 1_000_000
N_ROUNDS = 7


def synthetic_ledger(n_accounts: int, seed: int = 20251010) -> Ledger:
    """Isolated book: 60 % longs, leverage 2 to 20, lognormal notionals."""
    rng = np.random.default_rng(seed)
    entry = 60_000 * np.exp(-0.04 * rng.standard_exponential(n_accounts))
    notional = np.exp(8.5 + 1.4 * rng.standard_normal(n_accounts))
    side = np.where(rng.random(n_accounts) < 0.6, 1.0, -1.0)
    leverage = 2 + 18 * rng.beta(1.3, 4.0, n_accounts)
    return Ledger.from_arrays(
        entry_price=entry, size_base=side * notional / entry, leverage=leverage
    )


def tiered_prices(ledger: Ledger) -> Ratio:
    """Liquidation prices under twelve tiers with caps, in passes of the flat formula."""
    rules = margin.venue("binance_usdm", symbol="BTCUSDT", date="2024-08-01")
    entry, size, posted = ledger.entry_price, ledger.size_base, ledger.margin_quote
    ratio = compare(
        lambda: rules.liquidation_price(ledger),
        lambda: linear.liquidation_price(entry, size, posted, 0.005),
        n_rounds=N_ROUNDS,
    )
    return Ratio(
        job="margin: liquidation prices of 1e6 isolated accounts, Binance tiers and caps",
        baseline="one NumPy evaluation of the flat-rate formula",
        ratio=ratio,
        floor=0.1,
        n_rounds=N_ROUNDS,
        note=f"{1 / ratio:.1f} passes of the formula; at most 10 wanted",
    )


def deleveraging(ledger: Ledger) -> Ratio:
    """Closing 0.1 % of open interest against the highest ranks."""
    quantity = np.abs(ledger.size_base)
    score = np.random.default_rng(1).random(N_ACCOUNTS)
    wanted = float(quantity.sum()) * 1e-3
    return Ratio(
        job="margin: deleverage 0.1 % of the open interest of 1e6 accounts",
        baseline="stable argsort of all scores",
        ratio=compare(
            lambda: adl.fill_by_score(score, quantity, wanted),
            lambda: np.argsort(-score, kind="stable"),
            n_rounds=N_ROUNDS,
        ),
        floor=4.0,
        n_rounds=N_ROUNDS,
    )


def ratios() -> list[Ratio]:
    """All ratios of this file."""
    ledger = synthetic_ledger(N_ACCOUNTS)
    return [tiered_prices(ledger), deleveraging(ledger)]


if __name__ == "__main__":
    for row in ratios():
        print(f"{row.ratio:.3g} (aimed at {row.floor:g})  {row.job}  {row.note}")
