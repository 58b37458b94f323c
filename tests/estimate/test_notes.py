"""What a notebook tells its print block: files, models checked anew, sections left out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import polars as pl
import pytest

import cascadelab as cl
from cascadelab import synthetic
from cascadelab.errors import ParameterError, ReportError
from cascadelab.estimate import (
    EnvironmentNote,
    Evidence,
    NotDone,
    SampleNote,
    adl_study,
    default_block,
    model_gain,
    range_gain,
    studies,
)
from cascadelab.estimate.notes import (
    file_note,
    is_least,
    left_out,
    model_note,
    rule_notes,
    shipped_notes,
    synthetic_note,
    variants,
)
from cascadelab.margin import FlatRules

HUMP = cl.LogisticFlow(total_base=1000.0, midpoint=10.0, width=1.0)
LINE = cl.LinearImpact(slope_per_base=0.01)
REST = "no feedback is looked at here"


def evidence(**changes: object) -> Evidence:
    sample = SampleNote(rule="all", exclusions="none", events=("a",), times=NotDone(reason=REST))
    out = left_out(estimates=REST, placebos=REST, stability=REST, gains=REST, model=REST)
    parts = {
        "notebook": "n",
        "claim": "none registered",
        "data": (synthetic_note("draws", n_rows=1),),
        "sample": sample,
        "environment": EnvironmentNote(seed=None),
        **out,
    }
    return Evidence(**{**parts, **changes})


def test_a_solved_curve_and_a_solved_book_are_certified_without_the_solver():
    coordinate = cl.Coordinate(reference_price=100.0, scale="log")
    ledger = synthetic.draw_long_ledger(n_positions=2000, reference_price=100.0, seed=1)
    book = cl.ledger_flow(ledger, FlatRules(), coordinate)
    impact = cl.LinearImpact(slope_per_base=3.0 / float(ledger.size_base.sum()))
    for cascade in (cl.solve(HUMP, LINE, 6.9), cl.solve(book, impact, 0.06)):
        found, words = is_least(cascade)
        assert found
        assert "without the solver" in words


def test_a_higher_fixed_point_is_not_certified():
    low = cl.solve(HUMP, LINE, 6.5)
    far = cl.solve(HUMP, LINE, 7.0).move  # beyond the fold: on the far branch
    for _ in range(200):
        far = 6.5 + float(LINE.move(HUMP.quantity(far)))
    assert far > low.move + 5
    found, _ = is_least(dataclasses.replace(low, move=far))
    assert not found


def test_a_book_stopped_early_is_not_certified():
    coordinate = cl.Coordinate(reference_price=100.0, scale="price")
    book = cl.LedgerFlow([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], coordinate)
    cascade = cl.solve(book, cl.LinearImpact(slope_per_base=1.0), 1.0, max_rounds=1)
    assert cascade.status == "not_converged"
    assert not is_least(cascade)[0]


def test_the_model_section_holds_the_certificate_the_errors_and_the_critical_shock():
    cascade = cl.solve(HUMP, LINE, 6.5)
    note = model_note(
        cascade, forecast_error=0.02, no_feedback_error=NotDone(reason="no event"),
        critical_shock=6.81,
    )  # fmt: skip
    gain = model_gain(cascade, note="exact")
    block = default_block(evidence(model=note, gains=(gain,)))
    rows = dict(block.content["sections"][7]["rows"])
    assert rows["least fixed point certified"] is True
    assert rows["out-of-sample error"] == 0.02
    assert rows["the same with g = 0"] == "not done: no event"
    assert dict(block.content["sections"][6]["rows"])["critical shock of the fold, s_c"] == 6.81
    assert gain.value == cascade.secant_gain
    assert gain.amplification_interval[0] == pytest.approx(cascade.amplification)


def test_a_range_of_a_gain_must_hold_its_value_and_gives_no_probability_across_one():
    with pytest.raises(ParameterError, match="outside its range"):
        range_gain("venue", 0.7, (0.1, 0.6), note="over starts")
    across = range_gain("venue", 0.9, (0.5, 1.2), note="over starts")
    assert across.share_at_least_one != across.share_at_least_one
    assert across.amplification_interval == (2.0, float("inf"))


def test_sections_are_left_out_by_name_and_with_a_reason():
    with pytest.raises(ParameterError, match="Did you mean 'gains'"):
        left_out(gain="none")
    with pytest.raises(ReportError, match="without a reason"):
        left_out(gains=" ")
    stored = json.loads(default_block(evidence()).to_json())
    assert [REST in str(section) for section in stored["sections"]] == [
        *(False, True, True, True, True, True, True, True, False, False)
    ]


def test_notes_of_shipped_tables_hold_hash_rows_and_span(tmp_path: Path):
    (note,) = shipped_notes("episodes")
    assert note.n_rows == 64
    assert len(note.sha256) == 64
    assert note.first_at.startswith("1987-10-19")
    with pytest.raises(ParameterError, match="shipped table"):
        shipped_notes("episode")
    rules = rule_notes(["binance_usdm"])
    assert any("2024-08-01" in note.source for note in rules)
    with pytest.raises(ParameterError, match="venue"):
        rule_notes(["binance_usd"])
    path = tmp_path / "rows.csv"
    path.write_text("a\n1\n")
    own = file_note(path, source="ours", licence="MIT", span=("2020", "2021"), n_rows=1)
    assert default_block(evidence(data=(own,))).content["is_synthetic"] is False


def test_a_stability_table_is_made_of_columns():
    frame = pl.DataFrame({"name": ["a"], "value": [1], "least": [0], "most": [2]})
    table = variants("name", "value", frame, ends=("least", "most"))
    assert table.row(0) == ("a", 1.0, 0.0, 2.0)
    assert variants("name", "value", frame)["low"].to_list() == [None]


def test_unmatched_liquidations_do_not_move_with_deleveraging_in_either_half():
    timeline, pairs = adl_study.adl_timeline()
    table = adl_study.adl_halves(timeline)
    assert table["estimate"][0] == pytest.approx(pairs.unmatched_correlation)
    assert ((table["low"] < 0) & (table["high"] > 0)).all()


def test_the_slope_over_episodes_is_negative_without_any_scope():
    table = studies.leave_one_scope_out(studies.episode_cross_section())
    assert table["variant"][0] == "all"
    assert table.height > 3
    assert (table["estimate"] < 0).all()


def test_files_of_a_folder_are_noted_with_their_feed_rule(real_data: Path):
    notes = studies.real_notes(real_data, "liquidations/binance_forceorder_ws/*_liquidations.csv")
    assert len(notes) == 3
    assert all("1000 ms" in note.feed_rule and 0 < note.cap_share < 1 for note in notes)
    assert studies.real_notes("", "*") == ()
