"""Speed of margin rules, in ratios to a baseline measured in the same run.

Run ``python -m benchmarks.bench_margin``; numbers are medians of interleaved rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cascadelab import margin
from cascadelab.ledger import Ledger
from cascadelab.margin import adl, linear

N_ACCOUNTS = 1_000_000


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


def interleaved(jobs: list[Callable[[], object]], n_rounds: int = 7) -> list[float]:
    """Median seconds of each job, the jobs taking turns."""
    times: list[list[float]] = [[] for _ in jobs]
    for job in jobs:
        job()
    for _ in range(n_rounds):
        for job, found in zip(jobs, times, strict=True):
            start = time.perf_counter()
            job()
            found.append(time.perf_counter() - start)
    return [float(np.median(found)) for found in times]


def ratios() -> list[dict[str, Any]]:
    """One row per job: job, baseline, ratio (seconds over the baseline's) and the floor asked.

    The floor is the greatest ratio allowed.
    """
    ledger = synthetic_ledger(N_ACCOUNTS)
    rules = margin.venue("binance_usdm", symbol="BTCUSDT", date="2024-08-01")
    entry, size, posted = ledger.entry_price, ledger.size_base, ledger.margin_quote
    rng = np.random.default_rng(1)
    score, quantity = rng.random(N_ACCOUNTS), np.abs(size)
    wanted = float(quantity.sum()) * 1e-3
    flat, tiered, ranked, sort = interleaved(
        [
            lambda: linear.liquidation_price(entry, size, posted, 0.005),
            lambda: rules.liquidation_price(ledger),
            lambda: adl.fill_by_score(score, quantity, wanted),
            lambda: np.argsort(-score, kind="stable"),
        ]
    )
    return [
        {
            "job": "liquidation prices of 1e6 isolated accounts, Binance tiers and leverage caps",
            "baseline": "one NumPy evaluation of the flat-rate formula on the same rows",
            "ratio": tiered / flat,
            "floor": 10.0,
        },
        {
            "job": "deleverage 0.1 % of open interest over 1e6 ranked accounts",
            "baseline": "full stable argsort of the scores",
            "ratio": ranked / sort,
            "floor": 1.0,
        },
    ]


if __name__ == "__main__":
    for row in ratios():
        print(f"{row['ratio']:6.2f}x (at most {row['floor']:g}x)  {row['job']}  / {row['baseline']}")
