"""S1 with an exposure read off positions: by hand, and on a real book of vaults."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate import ExposureTimes, exposure_shock, exposure_within
from cascadelab.estimate.warn import LookAheadError, WeakInstrumentWarning
from cascadelab.prediction import maker_vaults

HOUR = 3600
#: Debt times this over collateral is the price at which a vault of the pool is liquidated.
RATIO = 1.3


def test_exposure_counts_positions_within_reach_below_the_price_and_none_that_are_due():
    levels = [100.0, 99.0, 90.0, 89.9, np.nan, np.inf]
    found = exposure_within(levels, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0], [100.0], reach_fraction=0.1)
    assert found.tolist() == [6.0]  # 100 is due at 100, 90 is within reach, 89.9 is not


def test_exposure_scales_with_quantity_and_not_with_the_unit_of_price():
    rng = np.random.default_rng(0)
    levels, sizes, prices = rng.uniform(50, 100, 200), rng.exponential(size=200), [100.0, 80.0]
    plain = exposure_within(levels, sizes, prices, reach_fraction=0.2)
    scaled = exposure_within(
        7 * levels, 3 * sizes, 7 * np.asarray(prices), reach_fraction=0.2
    )  # fmt: skip
    np.testing.assert_allclose(scaled, 3 * plain)
    with pytest.raises(DataError, match="quantity negative"):
        exposure_within(levels, -sizes, prices, reach_fraction=0.2)
    with pytest.raises(ParameterError, match="reach_fraction"):
        exposure_within(levels, sizes, prices, reach_fraction=1.5)


def closes(folder: Path, name: str, step_s: int) -> dict[int, float]:
    """Close by the second at which its bar ends."""
    bars = json.loads((folder / "freqtrade" / "2021-05-19" / "binance" / name).read_text())
    return {int(bar[0] // 1000) + step_s: bar[4] for bar in bars}


@pytest.fixture(scope="module")
def vault_hours(real_data):
    """Two weeks of hours of May 2021: ETH and BTC returns, sales of ETH-B vaults, exposure."""
    eth = closes(real_data, "ETH_USDT-1m.json", 60)
    btc = closes(real_data, "BTC_USDT-5m.json", 300)
    start, n_hours = int(datetime(2021, 5, 16, tzinfo=UTC).timestamp()), 14 * 24
    edges = start + HOUR * np.arange(n_hours + 1)
    price = np.array([eth[time] for time in edges.tolist()])
    outside = np.array([btc[time] for time in edges.tolist()])
    folder = real_data / "positions" / "maker_eth_b"
    exposure, known_at = np.zeros(n_hours), np.zeros(n_hours, dtype=np.int64)
    for first in range(0, n_hours, 12):
        hours = slice(first, first + 12)
        known_at[hours] = edges[first] - 1
        book = maker_vaults(folder, datetime.fromtimestamp(edges[first] - 1, UTC))
        book = book.filter(pl.col("debt_quote") > 1)
        held = book["collateral_base"].to_numpy()
        levels = RATIO * book["debt_quote"].to_numpy() / held
        exposure[hours] = exposure_within(levels, held, price[:-1][hours], reach_fraction=0.1)
    calls = pl.read_csv(folder / "ethb_vault_liquidations_to_2022-04.csv", infer_schema_length=None)
    stamps = calls["BLOCK_TIMESTAMP"].str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_zone="UTC")
    hour = (stamps.dt.epoch("s").to_numpy() - start) // HOUR
    kept = (hour >= 0) & (hour < n_hours)
    amounts = calls["COLLATERAL_LIQUIDATED_AMOUNT"].cast(pl.Float64).to_numpy()[kept]
    sales = np.bincount(hour[kept], amounts, minlength=n_hours)
    return {
        "returns": np.diff(np.log(price)),
        "external": np.diff(np.log(outside)),
        "sales": sales,
        "exposure": exposure,
        "known_at": known_at,
        "opens_at": edges[:-1],
    }


def test_s1_on_real_vaults_says_that_the_book_is_too_small_to_tell(vault_hours):
    """The oracle is an hour late, so that the fall of one hour forces the sales of the next."""
    hours = vault_hours
    assert hours["sales"].sum() == 1357.0
    assert (hours["sales"] > 0).sum() == 8
    assert hours["exposure"].max() > 10_000
    with pytest.warns(WeakInstrumentWarning, match="Effective first-stage F"):
        found = exposure_shock(
            hours["returns"][1:],
            hours["sales"][1:],
            exposure=hours["exposure"][:-1] / 1_000,
            external_return=hours["external"][:-1],
            times=ExposureTimes(
                exposure_at=hours["known_at"][:-1], outcome_at=hours["opens_at"][1:]
            ),
            exclusion="The late oracle: the fall of the hour before is in every price already.",
        )
    assert found.fact("effective F") < 5
    assert 0.0 in found.set("Anderson-Rubin set")
    assert not np.isfinite(found.set("Anderson-Rubin set").intervals).all()


def test_a_book_known_after_the_hour_it_explains_is_refused(vault_hours):
    hours = vault_hours
    late = ExposureTimes(exposure_at=hours["known_at"] + 13 * HOUR, outcome_at=hours["opens_at"])
    with pytest.raises(LookAheadError, match="Lag the exposure"):
        exposure_shock(
            hours["returns"],
            hours["sales"],
            exposure=hours["exposure"],
            external_return=hours["external"],
            times=late,
            exclusion="none",
        )
