"""S7: errors of matched differences where few other trades serve many times."""

from __future__ import annotations

import numpy as np
import pytest

from cascadelab.estimate import matched_flow


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
            n_matches=n_matches,
        )
        low, high = fit.interval()
        rejected += not low <= 0 <= high
    assert rejected / 150 < 0.13
