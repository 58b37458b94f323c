"""Anatomy of episodes, venues beside each other, panels of returns and flow, their charts."""

from __future__ import annotations

import gzip
import math
from datetime import datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest

from cascadelab.charts import catalogue as catalogue_charts
from cascadelab.charts import episode as episode_charts
from cascadelab.charts import impact as impact_charts
from cascadelab.charts import render
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.panel import shipped_panel, slopes_by_series, slopes_frame, tape_panel
from cascadelab.history import catalogue
from cascadelab.history.anatomy import anatomy
from cascadelab.history.dislocation import dislocation, dislocations, with_coin_and_market
from cascadelab.history.transforms import bars_from_trades, returns_and_flow
from cascadelab.units import utc_time

OCTOBER = "2025-10-10_crypto_wide"
START = utc_time("2025-10-10T20:50")


def minutes(symbol: str, lows: list[float], venue: str = "v") -> pl.DataFrame:
    times = [START + timedelta(minutes=i - 1) for i in range(len(lows))]
    return pl.DataFrame(
        {"minute_at": times, "venue": venue, "symbol": symbol, "low": lows, "close": lows}
    )


def test_the_shipped_anatomy_holds_price_depth_forced_closing_and_events():
    found = anatomy(OCTOBER)
    assert found.prices["value"].min() == 101_877.69
    assert found.depth.filter(pl.col("series").str.contains("1%"))["value"].min() == 41_622_314
    assert not found.depth["series"].str.contains("corrupted").any()
    assert found.forced_by_second().filter(pl.col("kind") == "liquidation")["count"].sum() == 63_637
    assert (
        found.forced_by_minute().filter(pl.col("kind") == "deleveraging")["count"].sum() == 34_983
    )
    assert found.events.filter(pl.col("event").str.contains("tariff")).height >= 2
    assert found.n_figures == found.to_frame().height + found.events.height
    assert found.relative_prices()["change"].min() == pytest.approx(
        101_877.69 / 116_805 - 1, abs=2e-4
    )


@pytest.mark.parametrize("episode_id", catalogue.episodes()["episode_id"].to_list())
def test_every_episode_has_an_anatomy_even_if_little_is_known(episode_id):
    found = anatomy(episode_id)
    assert found.started_at < found.ended_at
    assert found.n_figures >= 0
    assert episode_id in str(found)


def test_an_unknown_episode_names_the_nearest():
    with pytest.raises(ParameterError, match="Did you mean '2025-10-10_crypto_wide'"):
        anatomy("2025-10-10_crypto_wid")


def test_a_folder_without_files_of_that_day_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="There is no such folder"):
        anatomy(OCTOBER, tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"No file of 2025-10-10 .*names must carry the day"):
        anatomy(OCTOBER, tmp_path)


TAPE = """exchange,symbol,timestamp,local_timestamp,id,side,price,amount
binance-delivery,AVAXUSD_PERP,1760128200000000,1760128200000001,1,sell,25.0,10
binance-delivery,AVAXUSD_PERP,1760128230000000,1760128230000001,2,buy,20.0,4
binance-delivery,AVAXUSD_PERP,1760128260000000,1760128260000001,3,sell,10.0,2
"""


def test_files_of_the_day_are_read_by_content_and_others_are_named(tmp_path):
    name = "perp_2025-10-10.csv.gz"
    (tmp_path / name).write_bytes(gzip.compress(TAPE.encode()))
    (tmp_path / "notes_2025-10-10.csv").write_text("who,what\nme,nothing\n")
    found = anatomy(OCTOBER, tmp_path)
    assert found.prices["source"].unique().to_list() == [name]
    assert found.prices.filter(pl.col("series").str.contains("low"))["value"].to_list() == [20, 10]
    assert [quality.source for quality in found.qualities] == [name]
    assert "Not read: notes_2025-10-10.csv" in str(found)


def test_a_damaged_file_of_the_day_stops_the_read_and_is_named(tmp_path):
    whole = gzip.compress(TAPE.encode() * 50)
    (tmp_path / "perp_2025-10-10.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"perp_2025-10-10\.csv\.gz"):
        anatomy(OCTOBER, tmp_path)


def test_bars_of_trades_by_hand():
    # 10 contracts of 10 USD sold at 25 (4 coins), 4 bought at 20 (2 coins), 2 sold at 10 (2 coins).
    trades = pl.DataFrame(
        {
            "traded_at": [START, START + timedelta(seconds=30), START + timedelta(seconds=60)],
            "price": [25.0, 20.0, 10.0],
            "size_base": [4.0, 2.0, 2.0],
            "quantity_base": [-4.0, 2.0, -2.0],
        }
    )
    bars = bars_from_trades(trades, "1m")
    assert bars.drop("opened_at").row(0) == (25.0, 25.0, 20.0, 20.0, 6.0, 2.0, 4.0, -2.0, 2)
    assert bars["flow_base"].to_list() == [-2.0, -2.0]


def test_a_gap_breaks_the_chain_of_returns():
    times = [START + timedelta(minutes=m) for m in (0, 1, 3, 4)]
    bars = pl.DataFrame(
        {"series": "a", "opened_at": times, "close": [100.0, 101.0, 50.0, 51.0], "flow": 1.0}
    )
    frame = returns_and_flow(bars, START + timedelta(minutes=2), timedelta(minutes=1))
    expected = [1e4 * math.log(1.01), 1e4 * math.log(1.02)]
    np.testing.assert_allclose(frame["return_bps"].to_numpy(), expected, rtol=1e-12)
    assert frame["regime"].to_list() == ["calm", "cascade"]


def test_local_share_is_one_less_the_ratio_of_log_falls():
    # The venue falls 100 -> 25 (ln 4), the reference 100 -> 50 (ln 2): half of it is local, A = 2.
    found = dislocation(minutes("P", [100.0, 60.0, 25.0]), minutes("S", [100.0, 50.0, 70.0]), START)
    assert found.local_share == pytest.approx(0.5, rel=1e-12)
    assert found.amplification == pytest.approx(2.0, rel=1e-12)
    assert found.to_dict()["fall_fraction"] == 0.75


def test_a_series_that_did_not_fall_cannot_be_compared():
    with pytest.raises(ParameterError, match="v S did not fall"):
        dislocation(minutes("P", [100.0, 50.0]), minutes("S", [100.0, 101.0]), START)
    with pytest.raises(ParameterError, match="has no minute before"):
        dislocation(
            minutes("P", [100.0, 50.0]), minutes("S", [1.0, 0.5]), START - timedelta(hours=1)
        )


def test_shipped_perpetuals_fell_where_the_spot_venue_did_not():
    frame = dislocations([START]).filter(pl.col("low_of") == "trades")
    assert frame["coin"].to_list() == ["ATOM", "AVAX"]
    assert frame["price_low"].to_list() == [1.055, 6.02]
    np.testing.assert_allclose(frame["local_share"].to_numpy(), [0.9237, 0.6986], atol=5e-5)


def test_the_shipped_panel_values_flow_at_a_fixed_price():
    panel = shipped_panel(START)
    assert panel.frame.height == 4 * 119
    raw = catalogue.minutes("AVAXUSD_PERP").sort("minute_at").row(1, named=True)
    own = panel.frame.filter(pl.col("series").str.contains("AVAXUSD")).sort("opened_at")
    assert own["flow"][0] == pytest.approx((raw["bought"] - raw["sold"]) * 10 / 1e6, rel=1e-12)


def test_slopes_equal_statsmodels_own_and_are_holm_adjusted():
    import statsmodels.api as sm

    panel = shipped_panel(START)
    fits = slopes_by_series(panel)
    frame = slopes_frame(fits)
    rows = panel.frame.filter(pl.col("series").str.contains("AVAX-USD"))
    inside = (rows["regime"] == "cascade").to_numpy().astype(float)
    flow = rows["flow"].to_numpy()
    design = np.column_stack([np.ones_like(flow), inside, flow * (1 - inside), flow * inside])
    own = sm.OLS(rows["return_bps"].to_numpy(), design).fit(cov_type="HAC", cov_kwds={"maxlags": 4})
    of_avax = frame.filter(pl.col("symbol").str.contains("AVAX-USD"))
    np.testing.assert_allclose(of_avax["estimate"].to_numpy(), own.params[2:], rtol=1e-9)
    np.testing.assert_allclose(of_avax["std_error"].to_numpy(), own.bse[2:], rtol=1e-9)
    raw = frame.filter(pl.col("regime") == "calm")["p_equal_slopes"].to_numpy()
    assert frame["p_holm"].min() == pytest.approx(min(1.0, 4 * raw.min()), rel=1e-12)


def test_a_tape_gives_a_panel_of_the_same_shape(real_data):
    panel = tape_panel(real_data, START, hours_before=1, hours_after=1, bar="1m")
    assert "binance-delivery AVAXUSD_PERP" in panel.frame["series"].unique().to_list()
    tape = panel.frame.filter(pl.col("series") == "binance-delivery AVAXUSD_PERP")
    shipped = shipped_panel(START).frame.filter(pl.col("series").str.contains("AVAXUSD_PERP"))
    both = tape.join(shipped, on="opened_at", suffix="_shipped")
    assert both.height > 75
    np.testing.assert_allclose(both["flow"].to_numpy(), both["flow_shipped"].to_numpy(), atol=1e-9)


def test_a_tape_panel_refuses_an_unknown_bar_and_a_folder_without_tapes(tmp_path):
    with pytest.raises(ParameterError, match="Unknown bar '2m'"):
        tape_panel(tmp_path, START, hours_before=1, hours_after=1, bar="2m")
    with pytest.raises(DataError, match="No tape of 2025-10-10"):
        tape_panel(tmp_path, START, hours_before=1, hours_after=1, bar="1m")


def test_times_without_a_zone_are_utc_and_others_are_converted():
    assert utc_time("2025-10-10T20:50") == START
    assert utc_time("2025-10-10T22:50+02:00") == START
    assert START.tzinfo is not None
    assert datetime(2025, 10, 10, 20, 50, tzinfo=timezone(timedelta(0))) == START
    with pytest.raises(ParameterError, match="'10 October' is no time"):
        utc_time("10 October")


def charts() -> dict[str, object]:
    found = anatomy(OCTOBER)
    panel = shipped_panel(START)
    conflicts = catalogue.conflicts().filter(pl.col("spread").is_not_null()).head(12)
    return {
        "timeline": episode_charts.timeline(found),
        "bursts": episode_charts.bursts(found.forced_by_second()),
        "venues": episode_charts.minute_prices(with_coin_and_market(catalogue.minutes())),
        "sizes": catalogue_charts.sizes(catalogue.episodes()),
        "conflicts": catalogue_charts.conflict_ranges(conflicts),
        "scatter": impact_charts.return_against_flow(
            panel.frame.rename({"series": "symbol"}), flow_title="signed flow (million USD)"
        ),
        "slopes": impact_charts.slopes(
            slopes_frame(slopes_by_series(panel)), slope_title="slope (bps per million USD)"
        ),
    }


@pytest.mark.parametrize("name", charts())
def test_a_chart_names_its_axes_with_units_and_renders(name):
    spec = render.specification(charts()[name])
    text = render.canonical_json(spec)
    titles = [node["title"] for node in _nodes(spec) if isinstance(node.get("title"), str)]
    assert any("(" in title for title in titles), titles
    assert "<svg" in render.svg(spec)
    assert text == render.canonical_json(render.specification(charts()[name]))


def _nodes(value: object):
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def test_a_long_panel_is_thinned_for_drawing_only():
    panel = shipped_panel(START)
    assert panel.drawn().height == panel.frame.height
    assert panel.drawn(100).height == math.ceil(panel.frame.height / 5)
