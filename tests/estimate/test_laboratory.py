"""The synthetic laboratory: acceptance numbers, leaks, and the designs graded on known loops."""

from __future__ import annotations

import numpy as np
import pytest

from cascadelab.errors import ParameterError
from cascadelab.estimate.laboratory import (
    Laboratory,
    accept,
    grade,
    laboratory_iv,
    laboratory_ols,
    simulate,
)
from cascadelab.rng import spawn


@pytest.fixture(scope="module")
def grades():
    return grade(laboratory_iv), grade(laboratory_ols)


def test_acceptance_of_200_draws_at_seed_5(grades):
    iv, plain = grades
    assert abs(iv.mean + 0.05) < 0.0008
    assert 0.90 <= iv.coverage <= 0.98
    assert plain.coverage < 0.10
    assert plain.mean == pytest.approx(-0.0557, abs=0.001)
    assert all(accept(iv, plain).values())


def test_a_leak_of_five_percent_breaks_the_coverage():
    leaky = grade(laboratory_iv, Laboratory(leak=0.05), n_draws=60)
    assert leaky.coverage < 0.80


def test_draws_repeat_and_do_not_depend_on_their_number():
    first = simulate(Laboratory(n_bars=50), spawn(5, 1)[0])
    again = simulate(Laboratory(n_bars=50), spawn(5, 7)[0])
    assert first.to_frame().equals(again.to_frame())


def test_the_loop_closes_in_every_bar():
    lab = Laboratory(noise_sd=1e-12)
    draw = simulate(lab, np.random.default_rng(0))
    falls = draw.forced_sales > 0
    drop = draw.forced_sales[falls] / draw.exposure[falls]
    np.testing.assert_allclose(-draw.returns[falls], drop, rtol=1e-9, atol=1e-9)
    assert (draw.exposure * lab.impact <= 0.95 + 1e-12).all()
    assert np.median(draw.exposure * lab.impact) == pytest.approx(0.4 * np.exp(-0.08), rel=0.1)


def test_settings_outside_their_range_are_refused():
    with pytest.raises(ParameterError, match=r"mean_gain is 1\.2"):
        Laboratory(mean_gain=1.2)
    with pytest.raises(ParameterError, match="degrees_of_freedom"):
        Laboratory(degrees_of_freedom=2.0)
