"""2SLS with several endogenous regressors: equal to linearmodels, honest when one is weak."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate import (
    Clustered,
    Hac,
    Robust,
    SeveralRegressors,
    fit_iv,
    fit_iv_several,
)
from cascadelab.estimate.warn import CollinearError, WeakInstrumentWarning

FIRST = np.array([[1.0, 0.3], [0.2, 1.0], [0.5, 0.5]])
TRUTH = (1.0, -2.0)


def sample(seed=0, n=800, first=FIRST):
    rng = np.random.default_rng(seed)
    z, v, x = rng.normal(size=(n, 3)), rng.normal(size=(n, 2)), rng.normal(size=n)
    d = z @ first + v + x[:, None]
    y = d @ np.array(TRUTH) + v[:, 0] - v[:, 1] + x + rng.normal(size=n)
    return y, SeveralRegressors(endogenous=d, instruments=z, controls=x, names=("longs", "shorts"))


@pytest.mark.parametrize("kind", ["robust", "clustered", "kernel"])
def test_point_and_errors_equal_linearmodels(kind):
    linearmodels = pytest.importorskip("linearmodels.iv")
    y, columns = sample()
    base = np.column_stack([np.ones(y.size), columns.controls])
    groups = np.arange(y.size) // 10
    theirs = linearmodels.IV2SLS(y, base, columns.endogenous, columns.instruments)
    errors, options = {
        "robust": (Robust(), {"debiased": True}),
        "clustered": (Clustered(groups=groups), {"clusters": groups, "debiased": True}),
        "kernel": (Hac(n_lags=6), {"kernel": "bartlett", "bandwidth": 6}),
    }[kind]
    expected = theirs.fit(cov_type=kind, **options)
    found = fit_iv_several(y, columns, errors=errors)
    np.testing.assert_allclose(found.fit.estimate, expected.params, rtol=1e-9)
    np.testing.assert_allclose(found.fit.std_error, expected.std_errors, rtol=2e-3)


def test_conditional_f_is_that_of_sanderson_and_windmeijer_where_errors_are_equal():
    y, columns = sample(n=20_000)
    found = fit_iv_several(y, columns, errors=Robust())
    base = np.column_stack([np.ones(y.size), columns.controls])
    every = np.column_stack([base, columns.instruments])

    def project(on, values):
        return on @ np.linalg.lstsq(on, values, rcond=None)[0]

    for position in range(2):
        own, other = columns.endogenous[:, position], columns.endogenous[:, [1 - position]]
        fitted = np.column_stack([base, project(every, other)])
        weights = np.linalg.lstsq(fitted, own, rcond=None)[0]
        left = own - np.column_stack([base, other]) @ weights
        explained = project(every, left) - project(base, left)
        noise = left - project(every, left)
        expected = (explained @ explained / 2) / (noise @ noise / (y.size - 5))
        assert found.conditional_f[position] == pytest.approx(expected, rel=0.05)


def test_one_regressor_gives_the_slope_of_the_plain_function():
    y, columns = sample()
    one = SeveralRegressors(
        endogenous=columns.endogenous[:, 0], instruments=columns.instruments, names=("d",)
    )
    found = fit_iv_several(y, one, errors=Robust())
    plain = fit_iv(y, columns.endogenous[:, 0], columns.instruments, errors=Robust())
    np.testing.assert_allclose(found.fit.estimate, plain.fit.estimate, rtol=1e-9)
    np.testing.assert_allclose(found.fit.cov, plain.fit.cov, rtol=1e-9)
    first = found.first_stages[0]
    slopes, block = first.estimate[1:], first.cov[1:, 1:]
    assert found.conditional_f[0] == pytest.approx(
        slopes @ np.linalg.solve(block, slopes) / 3, rel=0.01
    )
    joint, single = found.tests[1], plain.tests[1]
    assert joint.statistic == pytest.approx(single.statistic, rel=0.02)
    assert joint.df == single.df


def test_intervals_hold_the_truth_and_ols_does_not():
    hits, ols_hits = 0, 0
    for seed in range(60):
        found = fit_iv_several(*sample(seed, n=500), errors=Robust())
        low, high = found.fit.interval("shorts")
        hits += low < -2.0 < high
        low, high = found.ols.interval("shorts")
        ols_hits += low < -2.0 < high
    assert hits >= 52
    assert ols_hits <= 10


def test_instruments_that_move_both_regressors_alike_are_called_weak_for_each():
    along = np.outer([1.0, 0.5, 0.8], [1.0, 0.7])
    y, columns = sample(first=along)
    with pytest.warns(WeakInstrumentWarning, match=r"longs .*shorts"):
        found = fit_iv_several(y, columns, errors=Robust())
    assert max(found.conditional_f) < 10
    assert found.cragg_donald < 10
    z = columns.instruments
    assert abs(np.corrcoef(z[:, 0], columns.endogenous[:, 0])[0, 1]) > 0.4


def test_wrong_columns_are_refused_by_name():
    y, columns = sample()
    d, z = columns.endogenous, columns.instruments
    with pytest.raises(ParameterError, match="1 instruments for 2 endogenous"):
        fit_iv_several(y, SeveralRegressors(endogenous=d, instruments=z[:, 0]))
    twice = np.column_stack([z[:, 0], z[:, 0], z[:, 1]])
    with pytest.raises(CollinearError, match="instrument 2"):
        fit_iv_several(y, SeveralRegressors(endogenous=d, instruments=twice))
    with pytest.raises(DataError, match="Use fit_iv_several"):
        fit_iv(y, d, z)


def test_the_result_says_what_it_leaves_out_and_survives_json():
    y, columns = sample()
    found = fit_iv_several(y, columns)
    text = str(found)
    for words in ("one endogenous regressor only", "Cragg-Donald", "Anderson-Rubin, joint"):
        assert words in text
    assert json.loads(json.dumps(found.to_dict()))["conditional_f"][0] > 10
    assert found.to_frame()["equation"].to_list() == ["OLS", "OLS", "2SLS", "2SLS"]
    assert r"\toprule" in found.to_latex()
