"""Feed traps: caps inflate slopes, pairs correlate by identity, on simulated and real records."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate import Robust, kyle_slope
from cascadelab.estimate.feeds import (
    bar_length_check,
    capture_bound,
    capture_ratio,
    feed_cap,
    match_pairs,
)


def capped_minutes(rng, n_minutes=1500):
    """True and listed flow per minute when only one record per second is shown."""
    rate = rng.gamma(0.6, 3.0, n_minutes)
    true, listed = np.zeros(n_minutes), np.zeros(n_minutes)
    for minute, mean in enumerate(rate):
        per_second = rng.poisson(mean, 60)
        sizes = [rng.exponential(size=count) for count in per_second]
        true[minute] = sum(size.sum() for size in sizes)
        listed[minute] = sum(size[-1] for size in sizes if size.size)
    return true, listed


def test_a_capped_feed_inflates_the_slope_by_more_than_one_over_its_capture():
    rng = np.random.default_rng(0)
    true, listed = capped_minutes(rng)
    r = -1.0 * true + 5.0 * rng.normal(size=true.size)
    fit = kyle_slope(r, listed, errors=Robust())
    capture = listed.sum() / true.sum()
    assert fit.value("signed flow") < -1.0 / capture
    worst = float((listed / np.maximum(true, 1e-9))[true > 60].min())
    bound = capture_bound(fit, "signed flow", capture_low=worst)
    assert bound.low < -1.0 < bound.high
    assert "busiest bars" in str(bound)


def test_feed_cap_counts_windows_per_symbol():
    cap = feed_cap([0.1, 1.2, 1.3, 9.9], ["a", "a", "b", "a"], rule="one per second")
    assert cap.n_windows_at_cap == 4
    assert cap.share_at_cap == pytest.approx(4 / 20)
    assert cap.smallest_gap_s == pytest.approx(1.1)
    assert "one per second" in str(cap)


def test_capture_is_measured_against_falls_in_open_interest():
    assert capture_ratio([1.0, 5.0, 2.0], [10.0, 8.0, 9.0, 4.0]) == pytest.approx(3.0 / 7.0)
    with pytest.raises(DataError, match="never fell"):
        capture_ratio([1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="2 times the fall"):
        capture_ratio([2.0, 0.0], [10.0, 9.0, 9.5])
    with pytest.raises(DataError, match="'listed liquidations', row 1 is -3"):
        capture_ratio([1.0, -3.0], [10.0, 8.0, 7.0])
    with pytest.raises(ParameterError, match="capture_low is 0"):
        capture_bound(
            kyle_slope(np.arange(50.0) ** 2, np.arange(50.0)), "signed flow", capture_low=0
        )


def test_bars_longer_than_the_engine_interval_fail():
    assert bar_length_check(bar_s=6.4, engine_interval_s=6.4).is_passed
    check = bar_length_check(bar_s=60.0, engine_interval_s=6.4)
    assert not check.is_passed
    assert "-0.112" in str(check)


def test_pairs_of_the_october_replay_are_the_published_counts(real_data):
    path = real_data / "liquidations/hyperliquid_2025-10-10/cascade_timing_results.json"
    timeline = json.loads(path.read_text())["timeline"]
    pairs = match_pairs(
        [row["liquidations"] for row in timeline], [row["adls"] for row in timeline]
    )
    assert pairs.n_adl_bins == 100
    assert pairs.n_equal_bins == 83
    assert pairs.correlation == pytest.approx(0.946, abs=0.001)
    assert pairs.unmatched_correlation == pytest.approx(0.015, abs=0.001)
    assert pairs.unmatched.sum() == 28_654
    assert pairs.unmatched_share == pytest.approx(0.45, abs=0.005)


def test_negative_counts_are_refused():
    with pytest.raises(DataError, match="negative"):
        match_pairs([1, -1], [0, 0])
