"""Books from open interest and loans, impact from tape and depth, no look-ahead."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import cascadelab as cl
from cascadelab.books import exponential_entries, flow_from_mix, lending_flow
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import LookAheadError
from cascadelab.history.binance import read_book_depth
from cascadelab.prediction import (
    Known,
    aave_loans,
    figure_before,
    impact_before,
    impact_from_tape,
    maker_vaults,
    predict,
)

EPISODE = "2025-10-10_crypto_wide"
START = datetime(2025, 10, 10, 20, 50, tzinfo=UTC)
PRICE = cl.Coordinate(reference_price=100.0)


def mix(*pairs: tuple[float, float]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema=["leverage", "share"], orient="row")


def test_open_interest_by_entry_and_leverage_becomes_thresholds():
    # Entry 100, leverage 10, m = 1 %: liquidated at 90.909; leverage 5: at 80.808.
    flow = flow_from_mix([10.0], [100.0], mix((10.0, 0.6), (5.0, 0.4)), 0.01, PRICE)
    np.testing.assert_allclose(100 - flow.thresholds, [90.90909091, 80.80808081], rtol=1e-9)
    np.testing.assert_allclose(flow.sizes_base, [6.0, 4.0], rtol=1e-12)


def test_positions_that_would_be_gone_are_left_out_and_the_open_interest_kept():
    # Entry 110 at leverage 20 would have been closed at 105.56, above the price of 100.
    flow = flow_from_mix([10.0], [110.0], mix((20.0, 0.5), (2.0, 0.5)), 0.01, PRICE)
    assert flow.sizes_base.tolist() == [10.0]
    with pytest.raises(ParameterError, match="liquidated before"):
        flow_from_mix([10.0], [110.0], mix((20.0, 1.0)), 0.01, PRICE)


def test_shorts_of_a_mix_are_closed_by_a_rise():
    coordinate = cl.Coordinate(reference_price=100.0, side="short")
    flow = flow_from_mix([1.0], [100.0], mix((10.0, 1.0)), 0.01, coordinate)
    np.testing.assert_allclose(100 + flow.thresholds, [108.91089109], rtol=1e-9)


def test_entries_have_the_mean_distance_asked_for():
    prices, weights = exponential_entries(price=50.0, mean_distance=0.04, n_entries=4000)
    np.testing.assert_allclose(-np.log(prices / 50.0) @ weights, 0.04, rtol=1e-3)
    assert (prices < 50.0).all()


def test_loans_are_liquidated_when_health_is_one():
    # Debt 80 on 1 coin at LT 0.8: liquidated at 100, half repaid with 5 % bonus: 0.42 coins.
    coordinate = cl.Coordinate(reference_price=120.0)
    flow = lending_flow(
        [1.0, 1.0], [80.0, 0.0], 0.8, coordinate, close_fraction=0.5, bonus_fraction=0.05
    )
    np.testing.assert_allclose(flow.thresholds[0], 20.0)
    assert np.isnan(flow.thresholds[1])
    np.testing.assert_allclose(flow.sizes_base, [0.42, 0.0])
    rise = cl.Coordinate(reference_price=120.0, side="short")
    with pytest.raises(ParameterError, match="as its price falls"):
        lending_flow([1.0], [80.0], 0.8, rise)
    with pytest.raises(ParameterError, match="Loan 1 has the collateral -1"):
        lending_flow([1.0, -1.0], [1.0, 1.0], 0.8, coordinate)


def tape(slope_bps: float) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    flow = rng.normal(0.0, 1e6, 600)
    start = START - timedelta(minutes=500)
    return pl.DataFrame(
        {
            "opened_at": [start + timedelta(minutes=i) for i in range(600)],
            "return_bps": slope_bps * flow + rng.normal(0.0, 0.5, 600),
            "flow": flow,
        }
    )


def test_impact_from_a_tape_is_the_slope_in_log_points_per_base_before_the_cascade():
    # 3e-6 bps per USD at 100,000 USD per coin: 3e-6 * 1e-4 * 1e5 log points per coin.
    calm = tape(3e-6)
    shaken = calm.with_columns(
        return_bps=pl.when(pl.col("opened_at") >= START).then(1e4).otherwise(pl.col("return_bps"))
    )
    impact = impact_from_tape(shaken, START, 1e5)
    np.testing.assert_allclose(impact.slope_per_base, 3e-5, rtol=0.05)
    with pytest.raises(DataError, match="expected a positive one"):
        impact_from_tape(tape(-3e-6), START, 1e5)


def test_figures_of_the_catalogue_are_taken_from_before_the_episode():
    price = figure_before(EPISODE, "BTC price close (Binance", START)
    assert price.value == 116830.2
    assert price.known_at < START
    depth = figure_before(EPISODE, "bids within 1% (re-measured", START)
    assert (depth.value, depth.known_at) == (
        168563779.0,
        datetime(2025, 10, 10, 20, 45, 1, tzinfo=UTC),
    )
    with pytest.raises(DataError, match="No figure of 'nothing'"):
        figure_before(EPISODE, "nothing", START)


def loop() -> tuple[cl.LedgerFlow, cl.LinearImpact]:
    thresholds = (np.arange(1000) + 0.5) / 25.0
    return cl.LedgerFlow(thresholds, np.full(1000, 0.4), PRICE), cl.LinearImpact(
        slope_per_base=0.05
    )


def test_a_prediction_stands_beside_the_outcome_and_beside_no_feedback():
    # Band of density 10 on [0, 40], slope 0.05: gain 1/2, s = 4 goes to 8; 10 was seen.
    known = Known(name="price", value=100.0, known_at=START - timedelta(seconds=1))
    found = predict(*loop(), [known], START, shock=4.0, observed_move=10.0)
    np.testing.assert_allclose(found.cascade.move, 8.0, atol=0.05)
    np.testing.assert_allclose([found.error, found.error_without_feedback], [-2.0, -6.0], atol=0.05)
    np.testing.assert_allclose(found.implied_shock, 5.0, atol=0.05)
    frame = found.scenarios([2.0, 4.0])
    np.testing.assert_allclose(frame["price"].to_numpy(), [96.0, 92.0], atol=0.05)
    assert frame["observed_price"].to_list() == [90.0, 90.0]
    assert "price at g = 0" in str(found)


def test_an_input_from_the_episode_itself_is_refused_by_name():
    late = Known(name="depth at the low", value=1.0, known_at=START)
    with pytest.raises(LookAheadError, match="depth at the low"):
        predict(*loop(), [late], START, shock=4.0, observed_move=10.0)


def test_depth_before_the_episode_passes_over_broken_snapshots(real_data):
    path = real_data / "binance/um/daily/bookDepth/BTCUSDT-bookDepth-2025-10-10.zip"
    depth = read_book_depth(path).frame()
    impact, known = impact_before(depth, START, 116830.2)
    broken = depth.filter(pl.col("is_crossed") | pl.col("is_frozen"))["observed_at"]
    assert known.known_at < START - timedelta(hours=4)  # the file is broken from then on
    assert known.known_at not in broken.to_list()
    np.testing.assert_allclose(impact.move(known.value / 116830.2), -np.log(0.99), rtol=1e-12)


def test_maker_vaults_before_a_fall_and_what_it_would_have_closed(real_data):
    folder = real_data / "positions/maker_eth_b"
    before = maker_vaults(folder, datetime(2021, 5, 18, tzinfo=UTC))
    after = maker_vaults(folder, datetime(2021, 5, 24, tzinfo=UTC))
    flow = lending_flow(
        before["collateral_base"].to_numpy(),
        before["debt_quote"].to_numpy(),
        1 / 1.3,
        cl.Coordinate(reference_price=3580.0),
    )
    assert before["collateral_base"].min() > 1e-6  # not what rounding leaves of emptied vaults
    due = flow.thresholds <= 3580.0 - 1900.0
    assert before.height > 50
    assert due.any()
    # What the fall made due is by and large gone or smaller a few days later.
    left = before.filter(pl.Series(due)).join(after, on="vault", how="left")
    assert left["debt_quote_right"].fill_null(0.0).sum() < left["debt_quote"].sum()


def test_aave_borrowers_have_the_health_the_file_says(real_data):
    path = real_data / "positions/aave_steth_2023-06/steth_aave.csv"
    loans = aave_loans(path)
    assert loans.height > 500
    allowed = loans["liquidation_threshold"] * loans["collateral_base"]
    health = (allowed / loans["debt_quote"]).to_numpy()
    np.testing.assert_allclose(health[0], 3.53260903550868, rtol=1e-3)
    flow = lending_flow(
        loans["collateral_base"].to_numpy(),
        loans["debt_quote"].to_numpy(),
        loans["liquidation_threshold"].to_numpy(),
        cl.Coordinate(reference_price=1.0),
        close_fraction=0.5,
        bonus_fraction=0.05,
    )
    np.testing.assert_allclose(1 - flow.thresholds, 1 / health, rtol=1e-9, atol=1e-15)


def test_a_folder_without_events_is_named(tmp_path):
    with pytest.raises(DataError, match=r"0 files match \*deposits\*\.csv"):
        maker_vaults(tmp_path, START)


def test_a_bar_that_reaches_into_the_episode_is_not_used():
    calm = tape(3e-6)
    late = START + timedelta(seconds=30)  # within the bar opened at START
    shaken = calm.with_columns(
        return_bps=pl.when(pl.col("opened_at") >= START).then(1e4).otherwise(pl.col("return_bps"))
    )
    expected = impact_from_tape(calm, START, 1e5)
    assert impact_from_tape(shaken, late, 1e5) == expected
    assert impact_from_tape(shaken, late.replace(tzinfo=None), 1e5) == expected


def test_a_figure_of_a_minute_is_not_known_when_the_minute_starts():
    # "liquidations in the minute" 21:15Z, 3.21 bn: told in the catalogue without an end.
    peak = datetime(2025, 10, 10, 21, 15, tzinfo=UTC)
    with pytest.raises(DataError, match="No figure"):
        figure_before(EPISODE, "liquidations in the minute", peak + timedelta(seconds=59))
    after = figure_before(EPISODE, "liquidations in the minute", peak + timedelta(minutes=2))
    assert (after.value, after.known_at) == (3.21e9, peak + timedelta(minutes=1))
    with pytest.raises(DataError, match="No figure"):  # "after 21:00" says no end
        figure_before(EPISODE, "BTC price after 21:00", peak)


def test_a_stamp_is_never_earlier_than_what_it_stamps():
    depth = figure_before(EPISODE, "bids within 1% (re-measured", START)
    later = depth.known_at + timedelta(microseconds=500)
    assert figure_before(EPISODE, "bids within 1% (re-measured", later).known_at == depth.known_at
    naive = START.replace(tzinfo=None)
    assert figure_before(EPISODE, "bids within 1% (re-measured", naive) == depth


def test_a_moment_without_a_zone_is_utc_wherever_the_machine_stands(real_data, monkeypatch):
    folder = real_data / "positions/maker_eth_b"
    at = datetime(2021, 5, 19, 12, 0)
    expected = maker_vaults(folder, at.replace(tzinfo=UTC))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert maker_vaults(folder, at).equals(expected)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_mix_needs_a_maintenance_fraction_and_prices_that_can_be():
    mix = pl.DataFrame({"leverage": [10.0], "share": [1.0]})
    coordinate = cl.Coordinate(reference_price=100.0)
    for price, maintenance in ((100.0, 1.5), (100.0, -0.2), (-100.0, 0.01)):
        with pytest.raises(ParameterError, match="positive finite prices"):
            flow_from_mix([1.0], [price], mix, maintenance, coordinate)
