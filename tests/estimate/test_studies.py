"""The studies behind the notebooks: shipped files, real files, and what they may claim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from cascadelab.charts.estimate import binned_chart, branching_chart, grades_chart, scatter_chart
from cascadelab.errors import DataError
from cascadelab.estimate import Laboratory, adl_study, force_orders, load_facts, simulate, studies
from cascadelab.estimate.hawkes import detect_clock


def test_adl_counts_of_the_catalogue_are_an_identity_of_pairs():
    frame, pairs = adl_study.adl_timeline()
    assert pairs.n_adl_bins == 100
    assert pairs.n_equal_bins == 83
    assert pairs.correlation == pytest.approx(0.946, abs=5e-4)
    assert pairs.unmatched_correlation == pytest.approx(0.015, abs=5e-4)
    assert pairs.unmatched.sum() == 28_654
    assert frame["liquidations"].sum() == 63_637
    assert frame["adl"].sum() == 34_983
    assert pairs.to_frame().height == frame.height


def test_first_active_seconds_lie_on_a_grid_of_6_4_seconds():
    frame, _ = adl_study.adl_timeline()
    first = frame["second"].to_numpy()[:10].astype(float)
    np.testing.assert_allclose(first, np.floor(np.arange(10) * 6.4), atol=1.0)
    assert detect_clock(first, 64.0, resolution_s=1.0).period_s == pytest.approx(6.4, rel=0.03)


def test_the_catalogue_does_not_support_the_claim_and_says_how_much_of_it_is_used():
    study = studies.episode_cross_section()
    assert 0.2 < study.share_used < 0.6
    assert not study.test.is_rejected(0.05)
    assert study.test.distribution == "exact"
    assert "64 episodes" in study.fit.sample


def test_laboratory_study_has_placebos_that_pass_and_stable_estimates():
    draw = simulate(Laboratory(), np.random.default_rng(5))
    estimate = studies.laboratory_exposure_shock(draw)
    low, high = estimate.interval(0.99)
    assert low < -0.05 < high
    placebos = studies.laboratory_placebos(draw, np.random.default_rng(1))
    assert not any(test.is_rejected(0.001) for test in placebos)
    variants = studies.lag_and_sample_variants(draw)
    assert variants.height == 4
    assert (variants["low"] < variants["high"]).all()
    grades = studies.laboratory_grades(Laboratory(n_bars=1000), n_draws=10, seed=1)
    assert grades["mean"][0] < grades["mean"][1]
    charts = [
        grades_chart(grades, truth=-0.05),
        scatter_chart(variants, x=("low", "low [1]"), y=("high", "high [1]"), title="t"),
        binned_chart(
            pl.DataFrame({"size": [1.0], "impact": [1.0], "low": [0.5], "high": [2.0]}), title="t"
        ),
        branching_chart(
            pl.DataFrame(
                {"stream": ["a"], "unguarded": [0.9], "guarded": [0.1], "low": [0.0], "high": [0.2]}
            )
        ),
    ]
    assert all(chart.to_dict()["title"] for chart in charts)


def test_a_folder_without_the_files_of_the_day_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"Holds 0 files .*ETH_USDT-1m.json.*Correct data_dir"):
        studies.aave_minutes(tmp_path, coin="ETH")
    minutes = tmp_path / "freqtrade" / "2021-05-19" / "binance" / "ETH_USDT-1m.json"
    minutes.parent.mkdir(parents=True)
    start_ms = 1_621_382_400_000
    minutes.write_text(str([[start_ms + 60_000 * i, 1.0, 1.0, 1.0, 1.0, 1.0] for i in range(3)]))
    with pytest.raises(DataError, match=r"Holds 0 files liquidations/aave_v2"):
        studies.aave_minutes(tmp_path, coin="ETH")


def test_aave_minutes_of_the_crash_day_add_up(real_data: Path):
    frame = studies.aave_minutes(real_data, coin="ETH")
    assert frame.height == 1440
    assert frame["forced_sales_base"].sum() == pytest.approx(29_608.88, abs=0.01)
    plain, shifted = studies.forced_sales_designs(frame, stress_hours=(12, 14), seed=0)
    assert plain.n_obs == 1440
    low, high = shifted.interval()
    assert low < 0 < high


def test_the_recorded_feed_is_capped(real_data: Path):
    cap = studies.force_order_cap(real_data)
    assert cap.n_records == 1837
    assert cap.smallest_gap_s == pytest.approx(0.941, abs=1e-6)
    times, duration = studies.force_order_times(real_data)
    assert times[0] == 0
    assert (np.diff(times) >= 0).all()
    assert duration > times[-1]


def test_a_folder_without_recordings_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="no recordings"):
        studies.force_order_cap(tmp_path)


def test_the_real_day_shows_ols_beside_the_shifted_variance(real_data: Path):
    designs = studies.real_designs(real_data, seed=0)
    assert [design.design.split(", ")[-1] for design in designs] == [
        "ETH 2021-05-19",
        "LINK 2021-05-19",
    ]
    frame = pl.concat([design.to_frame() for design in designs])
    assert frame["design"].to_list()[::2] == ["OLS", "OLS"]


def test_published_counts_and_tables_of_deleveraging_are_those_of_the_catalogue(real_data: Path):
    shipped, _ = adl_study.adl_timeline()
    published, _ = adl_study.adl_timeline(real_data)
    assert_frame_equal(published, shipped)
    coins = adl_study.adl_by_coin(real_data, n_coins=3)
    assert coins["coin"].to_list() == ["BTC", "ETH", "SOL", "159 others", "all"]
    assert coins["share"][:4].sum() == pytest.approx(1.0)
    facts = load_facts(["F12"])
    known = dict(zip(facts["quantity"], facts["value"], strict=True))
    assert coins["n_events"][-1] == known["ADL fills"] == published["adl"].sum()
    assert coins["notional_usd"][-1] == pytest.approx(known["ADL notional"], rel=1e-4)
    notes = adl_study.adl_notes(real_data)
    assert [note.source for note in notes][:2] == ["cascade_timing_results.json", "adl_by_coin.csv"]


def test_a_folder_without_the_tables_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cascade_timing_results.json: There is no such file"):
        adl_study.adl_timeline(tmp_path)


def test_designs_whose_assumption_the_laboratory_breaks_miss_the_truth():
    draw = simulate(Laboratory(), np.random.default_rng(5))
    first, order, shifted = studies.laboratory_designs(draw, seed=5)
    low, high = first.interval()
    assert low < -0.05 < high
    assert order.interval()[1] < -0.05  # sales answer within the bar: too steep
    assert shifted.interval()[0] > 0.05  # impact, positive; slopes are not constant


def test_a_recorded_feed_gives_a_slope_between_its_capture_bounds(real_data: Path):
    minutes = force_orders.recorded_minutes(real_data, symbol="ETHUSDT")
    gaps = minutes["opened_at"].diff().drop_nulls().dt.total_minutes()
    assert gaps.min() == 1
    fit = force_orders.recorded_slope(real_data, symbol="ETHUSDT")
    assert fit.value("listed forced sales") < 0  # a sale goes with a fall
    bound = force_orders.recorded_bound(real_data, symbol="ETHUSDT")
    low, high = fit.interval("listed forced sales")
    assert bound.low == pytest.approx(low)
    assert bound.high == pytest.approx(high * 333 / 2100)
    with pytest.raises(DataError, match="No order of 'NOSUCH'"):
        force_orders.recorded_minutes(real_data, symbol="NOSUCH")
