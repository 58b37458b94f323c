"""Gain: intervals by end-points, infinity allowed, no mean of A; facts and the print block."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascadelab.errors import DataError, ParameterError, ReportError, SchemaError
from cascadelab.estimate import gain as gain_module
from cascadelab.estimate.block import (
    DataNote,
    EnvironmentNote,
    Evidence,
    ModelNote,
    NotDone,
    SampleNote,
    default_block,
)
from cascadelab.estimate.discontinuity import engine_clock
from cascadelab.estimate.facts import fact_table, load_facts
from cascadelab.estimate.gain import (
    amplification,
    amplification_quantiles,
    consistency,
    gain_estimate,
    gain_from_draws,
    gain_from_hawkes,
    gain_from_response,
    secant_gain,
)
from cascadelab.estimate.hawkes import fit_exponential, simulate_hawkes
from cascadelab.estimate.identify import ExposureTimes, IdentifiedEstimate, exposure_shock
from cascadelab.estimate.laboratory import Laboratory, simulate
from cascadelab.estimate.placebo import pre_trend_test
from cascadelab.estimate.result import FitResult
from cascadelab.estimate.warn import LookAheadError


def test_the_worked_interval_of_the_specification():
    gain = gain_estimate((0.05, 0.0075), 16.0)
    assert gain.value == pytest.approx(0.8)
    assert gain.std_error == pytest.approx(0.12)
    assert (gain.low, gain.high) == pytest.approx((0.565, 1.035), abs=5e-4)
    assert gain.share_at_least_one == pytest.approx(0.048, abs=5e-4)
    a_low, a_high = gain.amplification_interval
    assert a_low == pytest.approx(2.30, abs=0.005)
    assert math.isinf(a_high)
    assert "infinite" in str(gain)
    assert gain.safety_margin < 0


def test_nothing_in_the_module_offers_a_mean_of_the_amplification():
    assert not [name for name in gain_module.__all__ if "mean" in name]


def test_errors_of_impact_and_density_add_on_the_log_scale():
    gain = gain_estimate((0.05, 0.005), 10.0, density_std_error=2.0)
    assert gain.std_error / gain.value == pytest.approx(math.hypot(0.1, 0.2))


@given(st.floats(-2, 0.99), st.floats(0.001, 1.0))
def test_amplification_interval_is_ordered_and_infinite_from_one_on(low, width):
    draws = np.linspace(low, low + width, 50)
    gain = gain_from_draws(low + width / 2, draws)
    a_low, a_high = gain.amplification_interval
    assert a_low <= a_high
    assert math.isinf(a_high) == (gain.high >= 1.0)


def test_gain_covers_the_truth_in_the_laboratory():
    hits, n = 0, 60
    for seed in range(n):
        draw = simulate(Laboratory(n_bars=2000), np.random.default_rng(seed))
        from cascadelab.estimate.laboratory import laboratory_iv

        fit = laboratory_iv(draw)
        slope = (-fit.value("forced sales"), fit.error("forced sales"))
        gain = gain_estimate(slope, float(np.median(draw.exposure)))
        truth = 0.05 * float(np.median(draw.exposure))
        hits += gain.low < truth < gain.high
    assert hits / n > 0.85


def identified(unit, design="S4 size discontinuity", term="jump"):
    fit = FitResult(
        model="m",
        terms=(term,),
        estimate=np.array([-0.065]),
        cov=np.eye(1) * 1e-4,
        n_obs=100,
        cov_type="none",
        units=(unit,),
    )
    return IdentifiedEstimate(design=design, term=term, fit=fit, assumption="given")


@pytest.mark.parametrize(
    "unit",
    ["fraction", "log points", "fraction per unit of exposure", "base sold per fraction", ""],
)
def test_what_is_no_impact_gives_no_gain(unit):
    with pytest.raises(DataError, match=r"S4 size discontinuity: 'jump' .* is no impact"):
        gain_estimate(identified(unit), 8.0)


@pytest.mark.parametrize(
    "unit", ["fraction per base sold", "bps per contract", "bps per million USD at a fixed price"]
)
def test_a_price_move_per_quantity_gives_a_gain(unit):
    assert gain_estimate(identified(unit), 8.0).value == pytest.approx(0.52)


def test_the_slope_of_s2_is_an_impact():
    rng = np.random.default_rng(0)
    sales = rng.exponential(size=400)
    found = engine_clock(
        rng.normal(size=400) - 0.5 * sales, sales, bar_s=1.0, engine_interval_s=1.0
    )
    assert found.unit == "fraction per base sold"
    assert gain_estimate(found, 1.0).value == pytest.approx(-found.estimate)


def test_an_infinite_fall_has_no_secant_gain():
    with pytest.raises(ParameterError, match="all finite"):
        secant_gain(math.inf, 1.0)
    with pytest.raises(ParameterError, match="exogenous drop"):
        secant_gain(math.nan, 1.0)


def test_wrong_signs_are_refused():
    with pytest.raises(DataError, match=r"Impact -0\.05"):
        gain_estimate((-0.05, 0.01), 8.0)
    with pytest.raises(ParameterError, match="exogenous drop"):
        secant_gain(1.0, 2.0)
    with pytest.raises(DataError, match="same sign"):
        gain_from_response((1.0, 0.1), (-1.0, 0.1))


def test_secant_gain_of_the_2017_crash_and_its_range():
    gain = secant_gain(317.71, 93.33, exogenous_range=(80.0, 120.0))
    assert gain.value == pytest.approx(0.706, abs=5e-4)
    assert amplification(gain.value) == pytest.approx(3.404, abs=5e-4)
    assert gain.low == pytest.approx(1 - 120 / 317.71)


def test_quantiles_of_a_are_infinite_where_the_gain_reaches_one():
    table = amplification_quantiles(np.linspace(0.0, 1.5, 101), [0.1, 0.5, 0.9])
    assert table["amplification"].is_infinite().to_list() == [False, False, True]


def test_consistency_shows_all_estimators_on_one_axis():
    times = simulate_hawkes(0.3, 0.6, 1.0, duration_s=2000, rng=np.random.default_rng(0))
    hawkes = gain_from_hawkes(fit_exponential(times, 2000, resolution_s=1e-3))
    figure = consistency(
        [
            gain_estimate((0.05, 0.004), 12.0),
            secant_gain(1.0, 0.4, exogenous_range=(0.3, 0.5)),
            hawkes,
            gain_from_response((2.5, 0.2), (1.0, 0.05)),
        ]
    )
    assert figure.do_overlap
    assert figure.to_frame().height == 4
    assert "g" in figure.plot().to_dict()["layer"][1]["encoding"]["x"]["title"]
    with pytest.raises(DataError, match="at least two"):
        consistency([hawkes])


def test_every_fact_is_there_with_source_and_version():
    facts = load_facts()
    assert facts["id"].unique().sort().to_list() == sorted(f"F{i}" for i in range(1, 27))
    versions = facts.filter((pl.col("id") == "F11") & pl.col("quantity").str.contains("excess"))
    assert versions["version"].to_list() == ["v1", "v2", "v3", "v3"]
    row = facts.filter(pl.col("quantity") == "amplification A").row(0, named=True)
    assert (row["id"], row["value"], row["status"]) == ("F15", 3.404, "D")
    conflict = facts.filter(pl.col("id") == "F5").group_by("source", maintain_order=True)
    assert conflict.len()["len"].to_list() == [4, 3]  # two papers, each row from one of them
    with pytest.raises(ParameterError, match="Unknown fact 'F27'"):
        load_facts(["F27"])


def test_facts_join_own_estimates_and_grey_the_unverified():
    own = pl.DataFrame(
        {
            "id": ["F1"],
            "quantity": ["exponent delta, mean over stocks"],
            "own_value": [0.51],
            "own_low": [0.47],
            "own_high": [0.55],
        }
    )
    table = fact_table(own, ids=["F1", "F4", "F26"])
    assert table.frame["agrees"].to_list()[0] is True
    page = table.to_html()
    assert page.count('class="unverified"') == 2
    assert "unverified" in str(table)
    bad = own.with_columns(quantity=pl.lit("nonsense"))
    with pytest.raises(SchemaError, match="matches no fact"):
        fact_table(bad)


@pytest.fixture(scope="module")
def estimate():
    draw = simulate(Laboratory(), np.random.default_rng(5))
    n = draw.returns.size
    times = ExposureTimes(exposure_at=np.arange(n), outcome_at=np.arange(n) + 1)
    result = exposure_shock(
        draw.returns,
        draw.forced_sales,
        exposure=draw.exposure,
        external_return=draw.external_return,
        times=times,
        exclusion="synthetic: enters through sales only",
    )
    placebo = pre_trend_test(draw.returns, draw.instrument, controls=draw.controls)
    return result, placebo, times


def evidence(estimate, **changes):
    result, placebo, times = estimate
    note = DataNote(
        source="laboratory",
        sha256="0" * 64,
        licence="MIT",
        first_at="",
        last_at="",
        n_rows=4000,
        is_synthetic=True,
    )
    parts = {
        "notebook": "identification",
        "claim": "2SLS covers -0.05; refuted if it does not",
        "data": (note,),
        "sample": SampleNote(rule="all bars", exclusions="none", events=("lab",), times=times),
        "estimates": (result,),
        "placebos": (placebo,),
        "stability": pl.DataFrame(
            {"variant": ["base"], "estimate": [-0.05], "low": [-0.06], "high": [-0.04]}
        ),
        "gains": (gain_estimate(result, 8.0),),
        "model": ModelNote(
            solver_status="subcritical",
            n_rounds=7,
            residual=0.0,
            is_least=True,
            forecast_error=0.1,
            no_feedback_error=0.3,
        ),
        "environment": EnvironmentNote(seed=5, parameters={"n_bars": 4000}, run_time_s=1.5),
    }
    return Evidence(**{**parts, **changes})


def test_block_prints_ten_sections_and_stores_the_same_bytes(tmp_path, estimate):
    path = tmp_path / "block.json"
    block = default_block(evidence(estimate), path)
    first = path.read_bytes()
    slower = EnvironmentNote(seed=5, parameters={"n_bars": 4000}, run_time_s=99.0)
    default_block(evidence(estimate, environment=slower), path)
    assert path.read_bytes() == first
    stored = json.loads(first)
    assert len(stored["sections"]) == 10
    assert stored["environment"]["seed"] == 5
    assert "statsmodels" in stored["environment"]["packages"]
    text = str(block)
    for words in ("SYNTHETIC DATA", "OLS", "Anderson-Rubin", "case study", "Holm", "no mean of A"):
        assert words in text
    assert "<table" in block._repr_mimebundle_()["text/html"]


def test_block_fails_without_exclusion_claim_or_reason(estimate):
    from dataclasses import replace

    bare = replace(estimate[0], exclusion="  ")
    with pytest.raises(ReportError, match="exclusion text is empty"):
        evidence(estimate, estimates=(bare,))
    with pytest.raises(ReportError, match="claim is empty"):
        evidence(estimate, claim="")
    with pytest.raises(ReportError, match="without a reason"):
        NotDone(reason=" ")
    with pytest.raises(ReportError, match="stability table lacks"):
        evidence(estimate, stability=pl.DataFrame({"variant": ["a"]}))


def test_block_asserts_times_and_prints_what_was_left_out(estimate):
    late = ExposureTimes(exposure_at=[2], outcome_at=[2])
    with pytest.raises(LookAheadError):
        evidence(
            estimate,
            sample=SampleNote(rule="all", exclusions="none", events=("a",), times=late),
        )
    block = default_block(evidence(estimate, model=NotDone(reason="no ledger for this event")))
    assert "no ledger for this event" in str(block)


def test_results_plot_themselves():
    from cascadelab.estimate import fit_iv, hasbrouck_var, moving_block_ols, quantile_regression

    rng = np.random.default_rng(0)
    z, v = rng.normal(size=(2, 400))
    d = z + v
    y = d + v + rng.normal(size=400)
    times = simulate_hawkes(0.3, 0.5, 1.0, duration_s=500, rng=rng)
    results = [
        fit_iv(y, d, z),
        hasbrouck_var(y, d, rng=rng, n_lags=1, n_horizons=5, n_draws=20),
        moving_block_ols(y, d, names=["d"], rng=rng, n_draws=50),
        quantile_regression(y, d, names=["d"], quantiles=[0.25, 0.5]),
        fit_exponential(times, 500, resolution_s=1e-3),
        gain_estimate((0.05, 0.004), 12.0),
    ]
    for result in results:
        assert result.plot().to_dict()["title"]
        assert r"\toprule" in result.to_latex()
        assert "<table" in result.to_html()
        assert "#figure" in result.to_typst()
