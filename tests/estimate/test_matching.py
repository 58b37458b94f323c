"""S6 and S7: intervals that hold their level where selection would break them."""

from __future__ import annotations

import numpy as np
import pytest

from cascadelab.errors import DataError
from cascadelab.estimate import ExposureTimes, matched_flow, near_miss


@pytest.mark.parametrize(("share_forced", "n_matches"), [(0.7, 1), (0.7, 3), (0.25, 1)])
def test_matching_holds_its_size_where_matches_serve_more_than_once(share_forced, n_matches):
    rng, rejected = np.random.default_rng(1), 0
    for _ in range(150):
        x = rng.normal(size=300)
        forced = rng.random(300) < share_forced
        fit = matched_flow(
            x + rng.normal(size=300),
            forced,
            x,
            names=("x",),
            events=np.arange(300),
            times=ExposureTimes(exposure_at=np.arange(300) - 1, outcome_at=np.arange(300)),
            n_matches=n_matches,
        )
        low, high = fit.interval()
        rejected += not low <= 0 <= high
    assert rejected / 150 < 0.13


def test_near_misses_of_a_random_walk_have_an_interval_that_holds_zero():
    rng, inside, n_walks = np.random.default_rng(31), 0, 0
    while n_walks < 40:
        price = 100 * np.exp(0.002 * np.cumsum(rng.normal(size=4000)))
        levels = rng.uniform(price.min(), 100.0, 25)
        try:
            found = near_miss(
                price,
                levels,
                times=ExposureTimes(exposure_at=np.full(25, -1), outcome_at=np.arange(4000)),
                near_fraction=0.005,
                horizon=30,
                rng=rng,
                n_placebo=99,
            )
        except DataError:  # a walk with no near miss, or none below its start
            continue
        n_walks += 1
        low, high = found.interval()
        inside += low <= 0 <= high
        assert found.estimate == pytest.approx(
            found.fact("hits minus near misses as observed") - found.fact("mean over random levels")
        )
    assert inside / n_walks > 0.8
