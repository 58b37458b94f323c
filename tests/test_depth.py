"""Depth and the loop: amplification, phase diagram, what must be assumed; tables, loop charts."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

import cascadelab as cl
from cascadelab import depth, synthetic
from cascadelab.charts import loop, render, theme
from cascadelab.errors import ParameterError
from cascadelab.margin import FlatRules
from cascadelab.sweep import loop_curve
from cascadelab.tables import table

LOG = cl.Coordinate(reference_price=100.0, scale="log")


@pytest.fixture(scope="module")
def flow() -> cl.LedgerFlow:
    ledger = synthetic.draw_long_ledger(n_positions=2_000, reference_price=100.0, seed=7)
    return cl.ledger_flow(ledger, FlatRules(), LOG).prepare()


def test_deeper_books_amplify_less(flow):
    frame = depth.amplification_by_depth(flow, 0.08, [1e6, 1e7, 1e8, 1e9], 0.01)
    assert (np.diff(frame["amplification"].to_numpy()) < 0).all()
    assert frame["depth_quote"].to_list() == [1e6, 1e7, 1e8, 1e9]


def test_each_cell_of_the_phase_diagram_is_the_cascade_at_its_middle(flow):
    cells, line = depth.phase_by_depth(flow, [1e6, 4e6, 1.6e7], [0.0, 0.1, 0.2], 0.01)
    assert cells.height == 4
    cell = cells.row(0, named=True)
    impact = cl.LinearImpact(slope_per_base=-np.log(0.99) * 100.0 / 2e6)
    assert cell["secant_gain"] == cl.solve(flow, impact, 0.05).secant_gain
    assert set(line.columns) == {"x", "y"}


def test_open_interest_needed_is_in_proportion_to_depth_and_falls_with_the_shock(flow):
    frames = [
        depth.needed_open_interest(flow, [0.08, 0.10, 0.12], 0.14, quote, 0.01)
        for quote in (5e7, 1e8)
    ]
    thin, deep = (frame["open_interest_base"].to_numpy() for frame in frames)
    np.testing.assert_allclose(deep / thin, 2.0, rtol=1e-6)
    assert (np.diff(thin) < 0).all()
    fall = -np.expm1(-0.14)
    for row in frames[0].iter_rows(named=True):
        assert row["stops_at_fraction"] < fall <= row["lands_at_fraction"] * (1 + 1e-12)
        assert row["is_met"] == (abs(row["lands_at_fraction"] - fall) < 1e-9)


def test_a_shock_below_all_thresholds_has_no_answer(flow):
    frame = depth.needed_open_interest(flow, [1e-6, 0.1], 0.14, 5e7, 0.01)
    assert frame["open_interest_base"].is_null().to_list() == [True, False]


def test_a_synthetic_book_is_the_same_for_the_same_seed_only():
    first, again, other = (
        synthetic.draw_long_ledger(n_positions=50, reference_price=10.0, seed=seed).entry_price
        for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).all()
    assert (first <= 10.0).all()
    with pytest.raises(ParameterError, match="n_positions is 0"):
        synthetic.draw_long_ledger(n_positions=0, reference_price=10.0, seed=1)


def test_a_table_writes_times_in_utc_and_renames_columns():
    frame = pl.DataFrame({"at": [datetime(2025, 10, 10, 20, 50, tzinfo=UTC)], "x": [0.123456]})
    text = str(table(frame, "T", columns={"x": "share", "at": "time"}, notes=["Note."]))
    assert text.splitlines()[2].split() == ["share", "time"]
    assert "0.1235" in text
    assert "2025-10-10 20:50:00" in text
    assert text.endswith("Note.")


def test_charts_of_the_loop_render_and_synthetic_ones_say_so(flow):
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=1e-7), 0.08)
    curve = loop_curve(flow, cascade.impact, 0.08, 0.3)
    ended = depth.amplification_by_depth(flow, 0.08, [1e6, 1e7, 1e8], 0.01)
    marks = pl.DataFrame({"x": [1e7], "label": ["20:50"]})
    cells, line = depth.phase_by_depth(flow, [1e6, 4e6, 1.6e7], [0.0, 0.1, 0.2], 0.01)
    charts = [
        loop.forced_flow(curve, move_unit="log points", quantity_unit="BTC"),
        cascade.plot(),
        loop.amplification(
            ended.rename({"depth_quote": "x"}), marks, x_title="depth (USD)", shock_label="8 %"
        ),
        loop.phase_diagram(cells, line, x_title="depth (USD)", y_title="shock (log points)"),
    ]
    for chart in charts:
        drawn = render.svg(render.specification(theme.watermark(chart)))
        assert "SYNTHETIC DATA" in drawn


def test_a_phase_diagram_without_cells_is_refused(flow):
    for depths in ([1e6], [1e6, -1.0]):
        with pytest.raises(ParameterError, match="expected two or more of each, and positive"):
            depth.phase_by_depth(flow, depths, [0.0, 0.1], 0.01)


def test_labels_of_equal_depths_stand_on_lines_of_their_own():
    curve = pl.DataFrame({"x": [1.0, 2.0], "secant_gain": [0.5, 0.2], "amplification": [2.0, 1.2]})
    marks = pl.DataFrame({"x": [1.5, 1.5], "label": ["later", "calibrated to"]})
    drawn = render.svg(
        render.specification(loop.amplification(curve, marks, x_title="x", shock_label="s"))
    )
    places = [
        re.search(rf"translate\(([-\d.,]+)\)[^>]*>{word}<", drawn)[1] for word in marks["label"]
    ]
    assert len(set(places)) == 2


def test_the_cobweb_reaches_every_resting_point():
    # y = 6.5 + 10 / (1 + e^(10 - y)): rests at 6.954 (where it stops), 8.781, 16.485.
    flow = cl.LogisticFlow(total_base=1000.0, midpoint=10.0, width=1.0)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=0.01), 6.5)
    drawn = cascade.plot(move_unit="percent").to_dict()
    rows = [row for rows in drawn["datasets"].values() for row in rows if "kind" in row]
    np.testing.assert_allclose([row["move"] for row in rows], [6.954, 8.781, 16.485], atol=0.001)
    assert [row["kind"] for row in rows] == ["where it stops"] + 2 * ["further resting point"]
    assert drawn["layer"][0]["encoding"]["x"]["scale"]["domain"][1] > 16.5


def test_the_cobweb_of_a_book_keeps_few_of_many_resting_points():
    # Thresholds half a step below where their own sale carries: every step has a resting point.
    flow = cl.LedgerFlow(np.arange(2000) + 0.5, np.ones(2000), cl.Coordinate(reference_price=1e4))
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=1.0), 0.25)
    drawn = cascade.plot().to_dict()
    rows = [row for rows in drawn["datasets"].values() for row in rows if "kind" in row]
    assert 1 < len(rows) <= 401
    assert rows[0]["move"] == cascade.move


def test_the_staircase_of_the_cobweb_goes_up_to_the_curve_and_across_to_the_diagonal():
    steps = loop._staircase(np.array([2.0, 3.0, 3.5]))
    assert list(zip(steps["move"], steps["image"], strict=True)) == [
        (2.0, 0.0),
        (2.0, 3.0),
        (3.0, 3.0),
        (3.0, 3.5),
        (3.5, 3.5),
    ]
