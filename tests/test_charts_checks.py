"""Charts of single findings: the verdict is in the title, the limit in sight, nothing is empty."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from cascadelab.charts import checks, dynamics, episode, estimate, render, theme
from cascadelab.estimate.covariance import Robust
from cascadelab.estimate.feeds import BarLengthCheck, CaptureBound, FeedCap, match_pairs
from cascadelab.estimate.hawkes.clock import ClockTest
from cascadelab.estimate.hawkes.multivariate import MultivariateHawkes
from cascadelab.estimate.hypothesis import HypothesisTest, invalid_test
from cascadelab.estimate.invariance import InvarianceBenchmark
from cascadelab.estimate.iv_several import SeveralRegressors, fit_iv_several
from cascadelab.estimate.laboratory import Grade
from cascadelab.estimate.record import Record
from cascadelab.estimate.sets import ConfidenceSet
from cascadelab.estimate.traps import WardlawCheck, wardlaw_check
from cascadelab.estimate.weak import EffectiveF

INF = math.inf


def wald(statistic: float = 7.0) -> HypothesisTest:
    return HypothesisTest.of("Wald", statistic, "slopes are equal", "chi2", (1.0,))


def hawkes(error: float = 0.05) -> MultivariateHawkes:
    errors = np.array([[0.04, error], [0.02, 0.03]])
    return MultivariateHawkes(
        names=("long liquidations", "falls"),
        baseline=np.array([0.1, 0.2]),
        branching=np.array([[0.6, 0.1], [0.0, 0.3]]),
        branching_error=errors,
        decay=np.array([1.0, 2.0]),
        log_likelihood=-10.0,
        n_events=500,
        duration_s=3600.0,
    )


def feed(gap_s: float = 1.02) -> FeedCap:
    return FeedCap(
        rule="one per symbol and second",
        n_records=12_345,
        n_windows_at_cap=9_000,
        share_at_cap=0.07,
        busiest_minute_share=0.95,
        smallest_gap_s=gap_s,
    )


def bound(low: float = 0.9, high: float = 1.9) -> CaptureBound:
    return CaptureBound(
        term="flow",
        listed_slope=3.7,
        low=low,
        high=high,
        capture_low=0.25,
        capture_high=0.5,
        level=0.95,
    )


def clock(p_value: float = 0.0, is_clock: bool = True) -> ClockTest:
    return ClockTest(
        period_s=6.4,
        concentration=0.93,
        prominence=410.0,
        p_value=p_value,
        tied_share=0.42,
        is_clock=is_clock,
    )


def wardlaw(test: HypothesisTest) -> WardlawCheck:
    return WardlawCheck(slope=0.8, test=test, r_squared=0.1, n_obs=100)


def confidence(*intervals: tuple[float, float]) -> ConfidenceSet:
    return ConfidenceSet(name="Anderson-Rubin", level=0.95, intervals=intervals)


#: Name of the case, the result, words that must stand in its picture.
CASES: list[tuple[str, Any, tuple[str, ...]]] = [
    ("test", wald(), ("null rejected", "5 % critical value 3.841", "slopes are equal", "7")),
    ("test kept", wald(0.4), ("null not rejected", "3.841")),
    (
        "normal",
        HypothesisTest.of("z", -2.5, "slope is 0", "normal"),
        ("null rejected", "2.5", "5 % critical value 1.96"),
    ),
    (
        "F",
        HypothesisTest.of("F", 3.0, "all are 0", "F", (2.0, 50.0)),
        ("5 % critical value 3.183", "F(2, 50)"),
    ),
    (
        "permutation",
        HypothesisTest(
            name="P", statistic=2.0, null="no effect", distribution="permutation", p_value=0.02
        ),
        ("null rejected", "p-value", "size 0.05"),
    ),
    ("invalid", invalid_test("J", "instruments hold", "one instrument"), ("one instrument",)),
    (
        "no p",
        HypothesisTest(name="T", statistic=1.0, null="nothing"),
        ("no verdict", "no p-value"),
    ),
    ("huge", wald(INF), ("infinite", "3.841")),
    ("bounded", confidence((-0.3, 1.2)), ("bounded", "-0.3 to 1.2")),
    ("point", confidence((2.0, 2.0)), ("2 to 2",)),
    ("disjoint", confidence((-INF, -1.0), (2.0, INF)), ("no lower end", "no upper end")),
    ("half-line", confidence((1_000.0, INF)), ("1,000 to no upper end",)),
    ("empty", confidence(), ("Empty: no value",)),
    ("whole", confidence((-INF, INF)), ("exclude no value",)),
    ("NaN set", confidence((math.nan, 1.0)), ("not a number",)),
    (
        "weak",
        EffectiveF(statistic=4.0, critical_value=23.1, worst_bias=0.1, n_instruments=1),
        ("are weak", "23.1", "1 instrument"),
    ),
    (
        "strong",
        EffectiveF(statistic=2_300.0, critical_value=23.1, worst_bias=0.1, n_instruments=3),
        ("strong enough", "2,300", "23.1"),
    ),
    (
        "F NaN",
        EffectiveF(statistic=math.nan, critical_value=23.1, worst_bias=0.1, n_instruments=3),
        ("no verdict",),
    ),
    ("hawkes", hawkes(), ("spectral radius 0.6", "± 0.05", "falls", "children per event")),
    ("hawkes at a bound", hawkes(math.nan), ("no error",)),
    ("clock", clock(), ("clock found", "6.4 s", "0.93", "0.35", "25")),
    ("no clock", clock(0.4, False), ("no clock", "0.001")),
    ("wardlaw", wardlaw(HypothesisTest.of("W", 9.0, "n", "normal")), ("contains the return",)),
    ("wardlaw passed", wardlaw(HypothesisTest.of("W", 0.0, "n", "normal")), ("no return",)),
    ("wardlaw invalid", wardlaw(invalid_test("W", "n", "no variance")), ("no variance",)),
    ("capture", bound(), ("listed flow", "true flow", "0.9 to 1.9", "3.7", "25% to 50%")),
    ("capture without end", bound(-INF), ("no lower end",)),
    ("capture NaN", bound(math.nan), ("not available",)),
    ("feed", feed(), ("95%", "0.07", "always at the cap", "1.02 s")),
    ("feed of singles", feed(INF), ("no key has two records",)),
    ("pairs", match_pairs([5, 3, 0, 4], [5, 1, 0, 0]), ("50%", "matched with ADL", "bin [number]")),
    ("pairs, all matched", match_pairs([5, 3], [5, 3]), ("0% of liquidations",)),
    ("bars", BarLengthCheck(bar_s=60.0, engine_interval_s=3.0), ("too long", "20", "at most 1")),
    (
        "invariance",
        InvarianceBenchmark(impact=-0.02, share_of_volume=0.1, observed=-0.08),
        ("4 times the prediction", "predicted 0.02", "unverified"),
    ),
    (
        "invariance without outcome",
        InvarianceBenchmark(impact=0.02, share_of_volume=0.1),
        ("no observation",),
    ),
    (
        "grade",
        Grade(
            name="OLS",
            truth=-0.05,
            mean=-0.056,
            median=-0.056,
            sd=0.002,
            mean_std_error=0.002,
            coverage=0.11,
            level=0.95,
            n_draws=100,
            seed=1,
        ),
        ("11% of draws", "truth -0.05", "-0.06 to -0.052"),
    ),
    ("short bars", BarLengthCheck(bar_s=1.0, engine_interval_s=3.0), ("short enough",)),
]


@pytest.fixture(autouse=True)
def altair_as_found() -> Any:
    import altair as alt

    before = alt.theme.active, alt.renderers.active, alt.data_transformers.active
    yield
    alt.theme.enable(before[0])
    alt.renderers.enable(before[1])
    alt.data_transformers.enable(before[2])


def words_of(chart: Any) -> str:
    """Everything that is written in the picture."""
    picture = render.svg(render.specification(chart))
    return "\n".join(re.findall(r">([^<>]+)<", picture)).replace("\xa0", " ")


def test_every_estimation_result_has_a_chart() -> None:
    def kinds(kind: type) -> list[type]:
        return [found for child in kind.__subclasses__() for found in (child, *kinds(child))]

    own = [kind for kind in kinds(Record) if kind.__module__.startswith("cascadelab.estimate")]
    assert len(own) > 20
    # The fact table is a table of other results.
    assert {kind.__name__ for kind in own if not hasattr(kind, "plot")} == {"FactTable"}


@pytest.mark.parametrize(("result", "words"), [case[1:] for case in CASES], ids=lambda _: "")
def test_the_finding_and_its_limit_are_written_in_the_chart(
    result: Any, words: tuple[str, ...]
) -> None:
    written = words_of(result.plot())
    missing = [word for word in words if word not in written]
    assert not missing, written


def test_every_chart_of_a_finding_takes_the_watermark() -> None:
    for _, result, _ in CASES[::4]:
        assert theme.WATERMARK in words_of(theme.watermark(result.plot()))


def test_an_end_at_infinity_is_an_arrow_and_a_finite_end_is_a_tick() -> None:
    spec = render.specification(confidence((-INF, -1.0), (2.0, 5.0)).plot())
    rows = spec["datasets"]
    shapes = {
        layer["mark"]["shape"]: len(rows[layer["data"]["name"]])
        for layer in spec["layer"]
        if layer["mark"].get("shape")
    }
    assert shapes == {"triangle-left": 1, "triangle-right": 0}


def test_a_set_far_from_zero_is_not_squeezed_by_it() -> None:
    spec = render.specification(confidence((1_000.0, 1_001.0)).plot())
    domains = re.findall(r'"domain": ?\[([^\]]+)\]', render.canonical_json(spec))
    low, high = (float(end) for end in domains[0].split(","))
    assert 999 < low < 1_000
    assert 1_001 < high < 1_002


def test_counts_over_many_bins_are_summed_and_none_is_lost() -> None:
    rng = np.random.default_rng(1)
    liquidations, adl = rng.poisson(2.0, 100_003), rng.poisson(1.0, 100_003)
    chart = match_pairs(liquidations, adl).plot()
    (rows,) = render.specification(chart)["datasets"].values()
    assert len(rows) <= 500
    assert sum(row["value"] for row in rows) == liquidations.sum()
    assert "in one bar" in words_of(chart)


def test_a_wardlaw_trap_on_data_is_named() -> None:
    before = np.full(50, 100.0)
    returns = np.sin(np.arange(50.0)) / 100
    trap = wardlaw_check(returns, np.ones(50), before * (1 + returns), price_before=before)
    assert "contains the return" in words_of(trap.plot())


def test_words_break_into_lines() -> None:
    written = words_of(checks.words_chart("Title", "one word after another " * 12))
    assert max(len(line) for line in written.splitlines()) <= 70


def test_a_limit_of_an_infinite_value_keeps_the_axis_finite() -> None:
    row = {"measure": "m [1]", "value": INF, "limit": 2.0, "limit_name": "at most"}
    spec = render.specification(checks.limit_chart(pl.DataFrame([row]), title="t"))
    assert '"domain":[0,2.6]' in render.canonical_json(spec).replace(" ", "")


def coefficients(unit_of_third: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "term": ["a", "b", "c"],
            "unit": ["fraction", "fraction", unit_of_third],
            "estimate": [0.5, 0.6, 1e6],
            "low": [0.3, -INF, math.nan],
            "high": [0.7, INF, math.nan],
        }
    )


def test_terms_of_different_units_do_not_share_an_axis() -> None:
    one = render.specification(estimate.coefficient_chart(coefficients("fraction"), title="t"))
    two = render.specification(estimate.coefficient_chart(coefficients("USD"), title="t"))
    assert "vconcat" not in one
    assert len(two["vconcat"]) == 2
    written = words_of(estimate.coefficient_chart(coefficients("USD"), title="t"))
    assert "estimate with 95 % interval [USD]" in written


def test_a_coefficient_without_an_interval_says_so() -> None:
    written = words_of(estimate.coefficient_chart(coefficients("USD"), title="t"))
    assert "1,000,000 (interval not available)" in written
    assert "0.6 (no lower end to no upper end)" in written


def test_the_line_of_gain_one_is_drawn_however_far_the_estimates_are() -> None:
    gains = pl.DataFrame({"kind": ["model"], "gain": [0.01], "low": [0.009], "high": [0.011]})
    spec = render.specification(estimate.consistency_chart(gains))
    assert {"reference": 1.0} in [row for rows in spec["datasets"].values() for row in rows]
    assert '"domain":[-' in render.canonical_json(spec).replace(" ", "")


def test_ols_stands_beside_2sls_for_several_regressors() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(size=(400, 3))
    x = z @ np.array([[1.0, 0.2], [0.3, 1.0], [0.5, -0.5]]) + rng.normal(size=(400, 2))
    y = x @ np.array([1.0, -2.0]) + rng.normal(size=400)
    columns = SeveralRegressors(endogenous=x, instruments=z, names=("longs", "shorts"))
    written = words_of(fit_iv_several(y, columns, errors=Robust()).plot())
    assert written.count("(2SLS)") == written.count("(OLS)") == 2


def test_both_fits_stand_in_the_legend_of_branching() -> None:
    row = {"stream": "s", "unguarded": 0.7, "guarded": 0.2, "low": 0.1, "high": 0.3}
    written = words_of(estimate.branching_chart(pl.DataFrame([row])))
    assert "unguarded" in written.splitlines()
    assert "guarded" in written.splitlines()


def test_counts_with_zeros_are_drawn_on_decades() -> None:
    counts = pl.DataFrame({"a": [0, 3, 12_000], "b": [5, 0, 11_000]})
    chart = estimate.counts_scatter(counts, x=("a", "a [count]"), y=("b", "b [count]"), title="t")
    assert {"0", "1", "10", "100", "1,000", "10,000"} <= set(words_of(chart).splitlines())


def test_a_stage_of_the_waterfall_without_cash_says_nothing() -> None:
    stages = pl.DataFrame({"stage": ["book", "fund", "adl"], "cash_quote": [9.0, -1_234.0, 0.0]})
    written = words_of(dynamics.waterfall_chart(stages, quote="USD")).splitlines()
    assert "nothing" in written
    assert "-1,234" in written
    assert "book" not in written


def test_events_close_in_time_share_one_label() -> None:
    start = datetime(2025, 10, 10, 20, 0, tzinfo=UTC)
    minutes = [10, 10, 11, 40, 44, 100]
    events = pl.DataFrame(
        {
            "started_at": [start + timedelta(minutes=minute) for minute in minutes],
            "number": [1, 2, 3, 4, 5, 6],
        }
    )
    labels = episode._event_labels(events, start, start + timedelta(minutes=120))
    assert labels["label"].to_list() == ["1-3", "4", "5", "6"]
    assert labels["level"].to_list() == [0.0, 0.0, 1.0, 0.0]


def test_the_watermark_has_a_pale_edge_and_a_dark_body() -> None:
    picture = render.svg(render.specification(theme.watermark(hawkes().plot())))
    (mark,) = re.findall(r"<text[^>]*>SYNTHETIC DATA<", picture)
    assert 'stroke="#FFFFFF"' in mark
    assert f'fill="{theme.colour("synthetic")}"' in mark
    size = float(re.findall(r"font-size=.?(\d+\.?\d*)", mark.replace("&quot;", ""))[0])
    assert size >= 13


def test_a_band_that_is_not_finite_is_told_in_words() -> None:
    frame = pl.DataFrame(
        {
            "horizon": [0, 1, 2],
            "estimate": [1.0, 2.0, 3.0],
            "low": [0.0, math.nan, -INF],
            "high": [2.0, math.nan, INF],
        }
    )
    written = words_of(estimate.response_chart(frame, title="t", unit="1"))
    assert "2 of 3 without a finite interval" in written
    row = {"stream": "s", "unguarded": 0.7, "guarded": 0.2, "low": math.nan, "high": 0.3}
    written = words_of(estimate.branching_chart(pl.DataFrame([row])))
    assert "1 of 1 without a finite interval" in written


def test_a_cell_of_a_matrix_that_is_not_available_says_so() -> None:
    cells = [("a", "a", 0.5, 0.1), ("b", "a", math.nan, math.nan)]
    frame = pl.DataFrame(cells, schema=["source", "target", "value", "error"], orient="row")
    chart = checks.matrix_chart(frame, axes=("from", "to"), unit="1", title="t")
    assert "not available" in words_of(chart)
