"""Every design that needs a predetermined regressor refuses one that looks ahead."""

from __future__ import annotations

import numpy as np
import pytest

from cascadelab.errors import DataError
from cascadelab.estimate import (
    ExposureTimes,
    cross_section,
    granular_iv,
    matched_flow,
    near_miss,
    slope_by_depth,
)
from cascadelab.estimate.warn import LookAheadError

N = 400
R, Q, X = np.random.default_rng(0).normal(size=(3, N))
FLOWS = np.random.default_rng(1).normal(size=(N, 3))
BARS = np.arange(N)
PATH = np.linspace(100.0, 80.0, N)
LEVELS = [95.0, 90.0, 40.0]


def s6(times):
    return near_miss(
        PATH, LEVELS, times=times, near_fraction=0.01, horizon=5, rng=np.random.default_rng(0)
    )


def s7(times):
    names, events = ("size",), BARS // 10
    return matched_flow(R, X > 0, Q, names=names, events=events, times=times)


DESIGNS = {
    "covariates": s7,
    "sizes": lambda times: granular_iv(
        R, Q, account_flows=FLOWS, sizes=[3.0, 2.0, 1.0], times=times, exclusion="given"
    ),
    "exposure": lambda times: cross_section(R, Q, coin=BARS // 10, time=BARS % 10, times=times),
    "depth": lambda times: slope_by_depth(R, Q, np.abs(X), times=times),
}


@pytest.mark.filterwarnings("ignore::cascadelab.estimate.warn.EstimateWarning")
@pytest.mark.parametrize("name", DESIGNS)
def test_a_regressor_stamped_at_or_after_its_outcome_is_refused(name):
    call = DESIGNS[name]
    call(ExposureTimes(exposure_at=BARS - 1, outcome_at=BARS))
    late = BARS - 1
    late[7] = 7
    with pytest.raises(LookAheadError, match=f"'{name}', row 7 is stamped 7, at or after"):
        call(ExposureTimes(exposure_at=late, outcome_at=BARS))
    with pytest.raises(DataError, match=f"{name} times have shape"):
        call(ExposureTimes(exposure_at=[0], outcome_at=[1]))
    with pytest.raises(DataError, match="Pass ExposureTimes"):
        call((BARS - 1, BARS))


def test_a_level_must_be_known_before_the_bar_that_approaches_it():
    approach = int((PATH <= 90.0 * 1.01).argmax())
    with pytest.raises(LookAheadError, match=f"'levels', row 1 is stamped {approach}"):
        s6(ExposureTimes(exposure_at=[0, approach, 0], outcome_at=BARS))
    # Known a bar before is soon enough, and a level that is never approached is not judged.
    with pytest.raises(DataError, match="near misses"):
        s6(ExposureTimes(exposure_at=[0, approach - 1, 10 * N], outcome_at=BARS))
    with pytest.raises(DataError, match="when each level was known"):
        s6(ExposureTimes(exposure_at=BARS, outcome_at=BARS))
