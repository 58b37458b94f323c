"""Books from open interest and loans, impact from tape and depth, no look-ahead."""

from __future__ import annotations

import csv
import re
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import cascadelab as cl
from cascadelab.books import exponential_entries, flow_from_mix, lending_flow
from cascadelab.charts import theme
from cascadelab.charts.render import svg
from cascadelab.errors import DataError, ParameterError, SchemaError
from cascadelab.estimate.checks import LookAheadError
from cascadelab.history import read
from cascadelab.history.binance import read_book_depth
from cascadelab.history.transforms import bars_from_trades
from cascadelab.prediction import (
    Known,
    Prediction,
    aave_loans,
    debt_known,
    due_and_seized,
    figure_before,
    impact_before,
    impact_from_bars,
    impact_from_figure,
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


def minutes(slope: float) -> pl.DataFrame:
    """Bars from 500 minutes before START on: `slope` log points per coin bought, and noise."""
    rng = np.random.default_rng(5)
    flow = rng.normal(0.0, 10.0, 600)
    log_price = np.cumsum(slope * flow + rng.normal(0.0, 5e-5, 600))
    opened = [START + timedelta(minutes=i - 500) for i in range(600)]
    return pl.DataFrame({"opened_at": opened, "close": 1e5 * np.exp(log_price), "flow_base": flow})


def after_start(bars: pl.DataFrame) -> pl.DataFrame:
    """The same bars with prices and flows of the episode turned upside down."""
    late = pl.col("opened_at") >= START
    return bars.with_columns(
        close=pl.when(late).then(1.0).otherwise("close"),
        flow_base=pl.when(late).then(-pl.col("flow_base")).otherwise("flow_base"),
    )


def test_impact_from_bars_is_the_slope_in_log_points_per_base_before_the_cascade():
    found = impact_from_bars(after_start(minutes(3e-5)), START, "made up")
    assert found.least.slope_per_base < 3e-5 < found.most.slope_per_base
    np.testing.assert_allclose(found.impact.slope_per_base, 3e-5, rtol=0.02)
    assert found.known.known_at == START - timedelta(microseconds=1)
    assert (found.known.source, found.known.value) == ("made up", found.impact.slope_per_base)
    with pytest.raises(DataError, match="expected a positive one"):
        impact_from_bars(minutes(-3e-5), START)


def test_bars_that_cannot_tell_are_refused():
    bars = minutes(3e-5)
    with pytest.raises(DataError, match="9 bars of 0:01:00 with a return"):
        impact_from_bars(bars, START - timedelta(minutes=490))
    unsigned = bars.with_columns(flow_base=pl.lit(None, dtype=pl.Float64))
    with pytest.raises(DataError, match="600 bars, 0 with a signed flow"):
        impact_from_bars(unsigned, START)
    two = bars.with_columns(symbol=pl.Series(["A", "B"] * 300))
    with pytest.raises(ParameterError, match="of several symbols"):
        impact_from_bars(two, START)


def test_tables_that_lack_a_column_are_named():
    bars = minutes(3e-5)
    with pytest.raises(SchemaError, match="bars: column 'flow_base' is missing"):
        impact_from_bars(bars.drop("flow_base"), START)
    broken = pl.when(pl.int_range(pl.len()) == 3).then(-1.0).otherwise("close")
    with pytest.raises(SchemaError, match=r"row 3, column 'close' is -1\.0"):
        impact_from_bars(bars.with_columns(close=broken), START)
    with pytest.raises(SchemaError, match="depth: column 'band_fraction' is missing"):
        impact_before(bars.rename({"opened_at": "observed_at"}), START, 1.0)
    with pytest.raises(ParameterError, match="The width of a bar is 'banana'"):
        bars_from_trades(
            pl.DataFrame(
                {"traded_at": [START], "price": 1.0, "size_base": 1.0, "quantity_base": 1.0}
            ),
            "banana",
        )


def test_a_known_number_is_finite_and_dated():
    with pytest.raises(ParameterError, match="The moment is '2025-10-09'; expected a datetime"):
        Known(name="price", value=1.0, known_at="2025-10-09")
    with pytest.raises(ParameterError, match=r"Known\.value is nan"):
        Known(name="price", value=np.nan, known_at=START)


def test_an_interval_that_reaches_zero_says_that_no_impact_is_possible():
    found = impact_from_bars(minutes(2e-7), START)
    assert found.least.slope_per_base == 0.0
    assert found.ends[0] == cl.LinearImpact(slope_per_base=0.0, scale="log")
    assert len(found.ends) == 3


def test_an_impact_in_log_price_is_refused_by_a_book_in_price():
    found = impact_from_bars(minutes(3e-5), START)
    flow = cl.LedgerFlow(np.array([1.0]), np.array([1.0]), cl.Coordinate(reference_price=100.0))
    with pytest.raises(ParameterError, match="'log' and the flow in 'price'"):
        cl.solve(flow, found.impact, 1.0)


def test_impact_from_a_tape_counts_coins_at_one_price(real_data):
    # Contracts of 10 USD: face over the first price, not over the price of each trade.
    path = real_data / "tardis/trades/binance-delivery_trades_2025-10-10_AVAXUSD_PERP.csv.gz"
    tape = read(path)
    found = impact_from_tape(tape, START)
    trades = tape.frame().filter(pl.col("traded_at") < START)
    face = pl.col("quantity_base") * pl.col("price")
    coins = trades.with_columns(quantity_base=face / trades["price"][0])
    by_hand = bars_from_trades(coins, "1m").with_columns(
        r=pl.col("close").log().diff(), gap=pl.col("opened_at").diff()
    )
    calm = by_hand.filter(pl.col("gap") == timedelta(minutes=1))
    slope = np.polyfit(calm["flow_base"].to_numpy(), calm["r"].to_numpy(), 1)[0]
    np.testing.assert_allclose(found.impact.slope_per_base, slope, rtol=1e-9)
    assert 0 < found.least.slope_per_base < slope < found.most.slope_per_base
    assert found.known.source == "binance-delivery AVAXUSD_PERP"
    depth = read(real_data / "binance/um/daily/bookDepth/BTCUSDT-bookDepth-2025-10-10.zip")
    with pytest.raises(ParameterError, match="of kind 'depth'; expected 'trades'"):
        impact_from_tape(depth, START)


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
    assert found.nearer == "the loop"
    further = predict(*loop(), [known], START, shock=4.0, observed_move=4.1)
    assert further.nearer == "g = 0"
    frame = found.scenarios([2.0, 4.0])
    np.testing.assert_allclose(frame["price"].to_numpy(), [96.0, 92.0], atol=0.05)
    assert frame["observed_price"].to_list() == [90.0, 90.0]
    assert "price at g = 0" in str(found)


def test_a_prediction_among_other_loops_has_an_interval():
    # Gains 0.25, 0.5 and 0.75 from s = 4: moves 5.33, 8 and 16.
    known = Known(name="price", value=100.0, known_at=START - timedelta(seconds=1))
    flow, impact = loop()
    alone = predict(flow, impact, [known], START, shock=4.0, observed_move=10.0)
    assert alone.interval == (alone.cascade.move, alone.cascade.move)
    assert "no other loop was given" in str(alone)
    slopes = [cl.LinearImpact(slope_per_base=slope) for slope in (0.025, 0.075)]
    found = alone.among([(flow, slope) for slope in slopes])
    np.testing.assert_allclose(found.interval, [16 / 3, 16.0], atol=0.1)
    assert found.is_within
    row = found.scenarios([4.0]).row(0, named=True)
    np.testing.assert_allclose(
        [row["price_least_move"], row["price"], row["price_most_move"]],
        [100 - 16 / 3, 92.0, 84.0],
        atol=0.1,
    )
    assert "its range, with 2 other loops" in str(found)
    lines = {line.split("  ")[0]: line for line in str(found).splitlines()}
    assert float(lines["forced quantity at g = 0 (base)"].split()[-1]) == 40.0  # 10 per unit
    elsewhere = cl.LedgerFlow(np.ones(1), np.ones(1), cl.Coordinate(reference_price=50.0))
    with pytest.raises(ParameterError, match="expected one coordinate"):
        alone.among([(elsewhere, impact)])


def test_the_example_of_the_docs_runs(root):
    text = (root / "docs" / "prediction.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, object] = {}
    exec(code, names)
    found = names["found"]
    assert isinstance(found, Prediction)
    assert found.is_within
    assert found.nearer == "the loop"


def test_a_prediction_draws_its_interval_and_where_it_was_assumed():
    known = Known(name="price", value=100.0, known_at=START - timedelta(seconds=1))
    flow, impact = loop()
    found = predict(flow, impact, [known], START, shock=4.0, observed_move=10.0)
    found = found.among([(flow, cl.LinearImpact(slope_per_base=0.06))])
    assert isinstance(found, Prediction)
    drawn = svg(theme.watermark(found.plot()).to_dict())
    assert all(word in drawn for word in ("assumed", "no feedback", "band", "SYNTHETIC DATA"))


def test_an_input_from_the_episode_itself_is_refused_by_name():
    late = Known(name="depth at the low", value=1.0, known_at=START)
    with pytest.raises(LookAheadError, match="depth at the low"):
        predict(*loop(), [late], START, shock=4.0, observed_move=10.0)


def test_depth_before_the_episode_passes_over_broken_snapshots(real_data):
    path = real_data / "binance/um/daily/bookDepth/BTCUSDT-bookDepth-2025-10-10.zip"
    depth = read_book_depth(path).frame()
    found = impact_before(depth, START, 116830.2)
    # The book is not cleaned from 15:30:42 on: snapshots that do not cross there are no better.
    assert found.known.known_at == datetime(2025, 10, 10, 15, 30, 6, tzinfo=UTC)
    sold = found.known.value / 116830.2
    np.testing.assert_allclose(found.impact.move(sold), -np.log(0.99), rtol=1e-12)
    assert found.least.slope_per_base < found.impact.slope_per_base <= found.most.slope_per_base
    again = impact_before(depth.filter(pl.col("observed_at") < START), START, 116830.2)
    assert again == found  # nothing later is looked at


def test_the_interval_of_depth_spans_the_hour_before():
    # Depths 100, 101, ..., 220 each half minute: 90 % of 120 values, the last is the deepest.
    at = [START - timedelta(seconds=30 * (121 - i)) for i in range(121)]
    depth = pl.DataFrame(
        {
            "observed_at": at,
            "band_fraction": -0.01,
            "depth_quote": [100.0 + i for i in range(121)],
            "is_frozen": False,
            "is_crossed": False,
        }
    )
    found = impact_before(depth, START, 10.0)
    widest = -np.log(0.99) * 10.0
    slopes = [i.slope_per_base for i in (found.least, found.impact, found.most)]
    np.testing.assert_allclose(slopes, widest / np.array([220.0, 220.0, 107.0]), rtol=1e-12)
    crossed = depth.with_columns(is_crossed=pl.col("observed_at") == at[60])
    assert impact_before(crossed, START, 10.0).known.value == 159.0
    with pytest.raises(DataError, match="nor after a crossed one"):
        impact_before(depth.with_columns(is_crossed=True), START, 10.0)


def test_one_published_depth_has_no_interval():
    depth = Known(name="bids", value=1e6, known_at=START - timedelta(minutes=1))
    found = impact_from_figure(depth, 0.01, 100.0)
    assert found.ends == (found.impact,)
    np.testing.assert_allclose(found.impact.slope_per_base, -np.log(0.99) * 1e-4, rtol=1e-12)


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
    left = before.filter(pl.Series(due)).join(after, on="account", how="left")
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
    bars = minutes(3e-5)
    expected = impact_from_bars(bars, START)
    late = START + timedelta(seconds=30)  # within the bar opened at START
    shaken = impact_from_bars(after_start(bars), late)
    assert shaken.impact == expected.impact
    assert shaken.known.known_at == START
    assert impact_from_bars(after_start(bars), late.replace(tzinfo=None)) == shaken


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


def test_what_a_mix_or_a_loan_cannot_be_is_named():
    coordinate = cl.Coordinate(reference_price=100.0)
    cases = [
        ([np.nan], mix((10.0, 1.0)), "open_interest_base of row 0 is nan"),
        ([1.0, -1.0], mix((10.0, 1.0)), "open_interest_base of row 1 is -1"),
        ([1.0], mix((10.0, 0.5)), "sum to 0.5; expected 1"),
        ([1.0], mix((10.0, 1.0)).rename({"share": "part"}), "column 'share' is missing"),
        ([1.0], mix((10.0, 0.5), (-5.0, 0.5)), "row 1, column 'leverage' is -5.0"),
    ]
    for interest, leverages, words in cases:
        with pytest.raises((ParameterError, SchemaError), match=words):
            flow_from_mix(interest, [100.0] * len(interest), leverages, 0.01, coordinate)
    with pytest.raises(ParameterError, match=r"have the shapes \[\(2,\), \(1,\), \(3,\)\]"):
        lending_flow([1.0, 2.0], [1.0], [0.8, 0.8, 0.8], coordinate)
    with pytest.raises(ParameterError, match=r"n_entries is 2\.5"):
        exponential_entries(price=1.0, mean_distance=0.1, n_entries=2.5)


def test_a_mix_needs_a_maintenance_fraction_and_prices_that_can_be():
    mix = pl.DataFrame({"leverage": [10.0], "share": [1.0]})
    coordinate = cl.Coordinate(reference_price=100.0)
    for price, maintenance in ((100.0, 1.5), (100.0, -0.2), (-100.0, 0.01)):
        with pytest.raises(ParameterError, match="positive finite prices"):
            flow_from_mix([1.0], [price], mix, maintenance, coordinate)


def vault_history(folder):
    """Three vaults in May 2021, by hand: one safe, one closed in two lots, one that repays."""
    head = "BLOCK_NUMBER,BLOCK_TIMESTAMP,VAULT_NUMBER"
    rows = {
        "deposits": (
            "URN_ADDRESS,ILK,DEPOSIT_AMOUNT_ADJ",
            "1,2021-05-01 00:00:00.000,{n},0x0,ETH-B,10",
            "123",
        ),
        "borrows": ("DAI_MINTED", "2,2021-05-01 01:00:00.000,{n},{n}0000", "123"),
        "withdrawals": (
            "URN_ADDRESS,ILK,WITHDRAWN_AMOUNT_ADJ",
            "3,2021-05-02 00:00:00.000,{n},0x0,ETH-B,-1",
            "1",
        ),
        "repayments": ("DAI_REPAYED", "4,2021-05-10 00:00:00.000,{n},20000", "3"),
    }
    for kind, (columns, row, vaults) in rows.items():
        lines = [f"{head},{columns}", *(row.format(n=n) for n in vaults)]
        (folder / f"own_{kind}.csv").write_text("\n".join(lines) + "\n")
    lots = [f"5,2021-05-19 1{hour}:00:00.000,2,4,8000" for hour in (2, 3)]
    columns = f"{head},COLLATERAL_LIQUIDATED_AMOUNT,DAI_REPAYED_AMOUNT"
    (folder / "own_liquidations.csv").write_text("\n".join([columns, *lots]) + "\n")
    return folder


def test_vaults_at_a_moment_by_hand(tmp_path):
    folder = vault_history(tmp_path)
    book = maker_vaults(folder, datetime(2021, 5, 5))
    assert book.rows() == [("1", 9.0, 10_000.0), ("2", 10.0, 20_000.0), ("3", 10.0, 30_000.0)]
    between = maker_vaults(folder, datetime(2021, 5, 19, 12, 0))  # the first lot counts
    assert between.rows() == [("1", 9.0, 10_000.0), ("2", 6.0, 12_000.0), ("3", 10.0, 10_000.0)]
    known = debt_known(book, datetime(2021, 5, 5), "own")
    assert (known.value, known.known_at) == (60_000.0, datetime(2021, 5, 5, tzinfo=UTC))
    assert "3 loans" in known.name


def test_what_was_due_on_a_book_beside_what_was_seized_by_hand(tmp_path):
    # At 2,600 and 130 %: debt 20,000 is due below 26,000 of collateral, met by vaults 2 and 3;
    # vault 3 repays on the 10th. Of 20 coins due on the 5th 8 are seized, of 10 on the 11th too.
    found = due_and_seized(
        vault_history(tmp_path),
        [datetime(2021, 5, 5), datetime(2021, 5, 11), datetime(2021, 5, 19, 12, 30)],
        datetime(2021, 5, 20),
        lowest_price=2600.0,
        liquidation_ratio=1.3,
    )
    assert found["n_due"].to_list() == [2, 1, 1]
    assert found["due_base"].to_list() == [20.0, 10.0, 6.0]
    assert found["seized_base"].to_list() == [8.0, 8.0, 4.0]
    assert found["n_seized"].to_list() == found["n_seized_due"].to_list() == [1, 1, 1]
    np.testing.assert_allclose(found["seized_over_due"], [0.4, 0.8, 2 / 3])
    with pytest.raises(ParameterError, match="is not before 2021-05-20"):
        due_and_seized(
            tmp_path,
            [datetime(2021, 5, 20)],
            datetime(2021, 5, 20),
            lowest_price=2600.0,
            liquidation_ratio=1.3,
        )
    with pytest.raises(ParameterError, match=r"Pass 1\.3 for 130 %"):
        due_and_seized(
            tmp_path, [], datetime(2021, 5, 20), lowest_price=2600.0, liquidation_ratio=0.3
        )


def test_a_damaged_vault_history_names_file_and_line(tmp_path):
    path = vault_history(tmp_path) / "own_borrows.csv"
    path.write_text(path.read_text().replace("20000", "many"))
    with pytest.raises(DataError, match=r"own_borrows\.csv, line 3"):
        maker_vaults(tmp_path, START)


def test_real_vaults_are_those_of_an_independent_sum(real_data):
    """Every event added up in plain Python."""
    folder, at = real_data / "positions/maker_eth_b", "2021-05-19 10:00"
    signs = {"deposits": (0, 1), "withdrawals": (0, -1), "borrows": (1, 1), "repayments": (1, -1)}
    held: dict[str, list[float]] = {}
    for path in folder.glob("ethb_*_to_2022-04.csv"):
        with path.open(encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                if row["BLOCK_TIMESTAMP"] > at:
                    continue
                own = held.setdefault(row["VAULT_NUMBER"], [0.0, 0.0])
                for kind, (place, sign) in signs.items():
                    if kind in path.name:
                        own[place] += sign * abs(float(list(row.values())[-1]))
                if "liquidations" in path.name:
                    own[0] -= float(row["COLLATERAL_LIQUIDATED_AMOUNT"])
                    own[1] -= float(row["DAI_REPAYED_AMOUNT"])
    book = maker_vaults(folder, datetime.fromisoformat(at))
    expected = {n: (c, max(d, 0.0)) for n, (c, d) in held.items() if c > 1e-8}
    assert set(book["account"]) == set(expected)
    for account, collateral, debt in book.rows():
        np.testing.assert_allclose([collateral, debt], expected[account], atol=1e-6)


def test_owners_of_real_vaults_acted_before_they_were_closed(real_data):
    """19 May 2021: the hourly low of 2,365 made 13 vaults due at noon, and 3 were seized."""
    found = due_and_seized(
        real_data / "positions/maker_eth_b",
        [datetime(2021, 5, 19, 0), datetime(2021, 5, 19, 12)],
        datetime(2021, 5, 20),
        lowest_price=2365.18,
        liquidation_ratio=1.3,
    )
    assert found["n_due"].to_list() == [19, 13]
    assert found["seized_base"].to_list() == [949.0, 942.0]
    assert found["n_seized"].to_list() == found["n_seized_due"].to_list() == [4, 3]
    assert (found["seized_over_due"] < 0.11).all()
