"""S1 to S9: each design recovers its truth where plain OLS does not, and says what kills it."""

from __future__ import annotations

import json
import pickle
import warnings

import numpy as np
import pytest

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate import Hac, Robust
from cascadelab.estimate.coin_panel import cross_section, within
from cascadelab.estimate.discontinuity import bunching_test, engine_clock, size_discontinuity
from cascadelab.estimate.events import matched_flow, near_miss, off_book_placebo
from cascadelab.estimate.identify import (
    ExposureTimes,
    exposure_shock,
    granular_instrument,
    granular_iv,
    naive_gain,
)
from cascadelab.estimate.laboratory import Laboratory, laboratory_iv, simulate
from cascadelab.estimate.placebo import opposite_side_test, pre_trend_test, shuffled_blocks_test
from cascadelab.estimate.rigobon import _shift_test, rigobon, rigobon_roots
from cascadelab.estimate.warn import (
    ConstantRegressorError,
    FewClustersWarning,
    LookAheadError,
    NaiveGainError,
)


def before(n_rows):
    """Exposures one bar before their outcomes."""
    return ExposureTimes(exposure_at=np.arange(n_rows) - 1, outcome_at=np.arange(n_rows))


def known_from_the_start(levels, path):
    return ExposureTimes(exposure_at=np.full(len(levels), -1), outcome_at=np.arange(len(path)))


@pytest.fixture(scope="module")
def draw():
    return simulate(Laboratory(), np.random.default_rng(5))


def shock(draw, **changes):
    n = draw.returns.size
    options = {
        "exposure": draw.exposure,
        "external_return": draw.external_return,
        "times": ExposureTimes(exposure_at=np.arange(n), outcome_at=np.arange(n) + 1),
        "exclusion": "synthetic: the interaction enters through sales only",
    }
    return exposure_shock(draw.returns, draw.forced_sales, **{**options, **changes})


def test_s1_equals_the_laboratory_iv_and_carries_ols_beside_it(draw):
    result = shock(draw)
    reference = laboratory_iv(draw)
    assert result.estimate == pytest.approx(reference.value("forced sales"), rel=1e-9)
    low, high = result.interval()
    assert low < -0.05 < high
    assert result.comparison.value("forced sales") < result.estimate
    assert result.to_frame()["design"].to_list()[0] == "OLS"
    assert -0.05 in result.set("Anderson-Rubin set")
    for words in ("exclusion", "what would kill it", "Hausman", "effective F"):
        assert words in str(result)


def test_s1_refuses_exposures_that_look_ahead(draw):
    n = draw.returns.size
    times = ExposureTimes(exposure_at=np.arange(n), outcome_at=np.arange(n))
    with pytest.raises(LookAheadError, match="row 0"):
        shock(draw, times=times)


def test_identified_estimates_pickle_compare_and_export(draw):
    result = shock(draw)
    assert pickle.loads(pickle.dumps(result)) == result
    assert result == shock(draw)
    assert json.loads(json.dumps(result.to_dict()))["design"].startswith("S1")
    assert "forced sales" in result.to_latex()
    assert result.plot().to_dict()["title"].startswith("forced sales")


def test_naive_gain_raises_and_names_the_r_squared(draw):
    rho = np.corrcoef(draw.returns, draw.forced_sales)[0, 1]
    with pytest.raises(NaiveGainError, match=f"{rho**2:.4f}"):
        naive_gain(draw.returns, draw.forced_sales)


def test_biased_slopes_of_section_two_are_the_stated_ones():
    rng = np.random.default_rng(0)
    n, lam, kap = 400_000, 0.8, 0.5
    u, v, z = rng.normal(size=(3, n))
    r = (u - lam * (z + v)) / (1 - lam * kap)
    q = z + v - kap * r
    ols_slope = np.cov(r, q)[0, 1] / q.var()
    assert ols_slope == pytest.approx(-0.9333, abs=0.005)
    assert np.cov(r, z)[0, 1] / np.cov(q, z)[0, 1] == pytest.approx(-0.8, abs=0.01)
    assert np.cov(r, z)[0, 1] / z.var() == pytest.approx(-4 / 3, abs=0.01)
    naive = ols_slope * np.cov(r, q)[0, 1] / r.var()
    assert naive == pytest.approx(0.8597, abs=0.005)
    with pytest.raises(NaiveGainError, match=r"\(0\.8[56]"):
        naive_gain(r, q)


def loop(n, lam, kap, sd_sales, rng):
    u, v = rng.normal(size=n), sd_sales * rng.normal(size=n)
    r = (u - lam * v) / (1 - lam * kap)
    return r, v - kap * r


def test_s3_returns_the_stable_root_and_prints_the_other():
    rng = np.random.default_rng(1)
    calm, stress = loop(4000, 0.8, 0.5, 1.0, rng), loop(4000, 0.8, 0.5, 3.0, rng)
    r, q = (np.concatenate([a, b]) for a, b in zip(calm, stress, strict=True))
    regime = np.arange(8000) >= 4000
    result = rigobon(r, q, regime=regime, rng=np.random.default_rng(2), n_draws=200)
    low, high = result.interval(0.99)
    assert low < 0.8 < high
    assert result.std_error < 0.05
    assert result.fit.value("response") == pytest.approx(0.5, abs=0.1)
    assert result.fact("other root: impact") == pytest.approx(2.0, abs=0.4)
    assert result.test("variance shift").is_rejected(0.001)
    assert result.comparison.value("impact") > 0.85


@pytest.mark.parametrize(("lam", "kap"), [(0.8, 0.5), (0.05, 8.0), (2.0, 0.1), (0.5, -0.6)])
def test_rigobon_solves_exact_covariances_to_both_roots(lam, kap):
    def cov(su, sv):
        mix = np.array([[1.0, -lam], [-kap, 1.0]]) / (1 - lam * kap)
        return mix @ np.diag([su, sv]) @ mix.T

    roots = rigobon_roots(cov(1.0, 2.0), cov(1.5, 9.0))
    np.testing.assert_allclose([roots.impact, roots.response], [lam, kap], rtol=1e-8)
    np.testing.assert_allclose([roots.other_impact, roots.other_response], [1 / kap, 1 / lam])
    assert roots.gain == pytest.approx(lam * kap)
    with pytest.raises(DataError, match="proportional"):
        rigobon_roots(cov(1.0, 2.0), 3 * cov(1.0, 2.0))


def test_the_variance_shift_test_rejects_no_shift_as_often_as_stated():
    rejected, n_draws = 0, 300
    for seed in range(n_draws):
        rng = np.random.default_rng([seed, 1])
        u, v = rng.normal(size=(2, 200))
        pair = np.vstack([u - 0.5 * v, v - 0.4 * (u - 0.5 * v)])
        test = _shift_test(pair, [np.arange(100), np.arange(100, 200)])
        rejected += test.is_rejected(0.05)
    assert rejected / n_draws < 0.08


def test_rigobon_refuses_matrices_that_are_no_covariances():
    with pytest.raises(DataError, match=r"stress covariance .* is not positive definite"):
        rigobon_roots([[1.0, 0.5], [0.5, 1.0]], [[1.0, 2.0], [2.0, 1.0]])


def engine_path(n, lam, rho, rng):
    """Sales answer the return of the step before."""
    r, q, noise = np.zeros(n), np.zeros(n), rng.normal(size=n)
    extra = np.abs(rng.normal(size=n))
    for t in range(1, n):
        q[t] = rho * max(-r[t - 1], 0.0) + extra[t]
        r[t] = noise[t] - lam * q[t]
    return r, q


def test_s2_recovers_the_slope_at_the_engine_clock_and_refuses_coarser_bars():
    r, q = engine_path(20_000, 0.05, 8.0, np.random.default_rng(3))
    result = engine_clock(r, q, bar_s=1.0, engine_interval_s=1.0)
    low, high = result.interval(0.99)
    assert low < -0.05 < high
    pairs = [series.reshape(-1, 5).sum(axis=1) for series in (r, q)]
    coarse = engine_clock(*pairs, bar_s=5.0, engine_interval_s=5.0)
    assert coarse.estimate < -0.08
    with pytest.raises(ParameterError, match="checks every 1 s"):
        engine_clock(*pairs, bar_s=5.0, engine_interval_s=1.0)


def test_s4_finds_the_jump_and_bunching():
    rng = np.random.default_rng(4)
    size = rng.uniform(20_000, 180_000, 4000)
    y = 1e-8 * size - 0.002 * (size >= 100_000) + 0.002 * rng.normal(size=4000)
    result = size_discontinuity(y, size, cut_usd=100_000, bandwidth_usd=40_000)
    low, high = result.interval(0.99)
    assert low < -0.002 < high < 0
    assert not result.test("bunching").is_rejected(0.01)
    moved = np.where((size > 100_000) & (size < 112_000), 99_500 - rng.uniform(0, 3000, 4000), size)
    assert bunching_test(moved, cut_usd=100_000).is_rejected(0.001)
    half = np.where(rng.random(4000) < 0.5, moved, size)
    found = bunching_test(half, cut_usd=100_000)
    assert found.is_rejected(0.001)
    assert found.statistic < 0


def test_bunching_test_holds_its_size():
    rng = np.random.default_rng(5)
    rejected = [
        bunching_test(rng.normal(size=2000), cut_usd=0.2).is_rejected(0.05) for _ in range(200)
    ]
    assert np.mean(rejected) < 0.12


def test_s5_separates_orders_from_closings_that_sent_none():
    rng = np.random.default_rng(6)
    book, off = rng.exponential(size=(2, 4000))
    y = -0.05 * book + rng.normal(size=4000) * 0.1
    result = off_book_placebo(y, book, off)
    assert not result.test("off-book slope").is_rejected(0.001)
    low, high = result.interval(0.99)
    assert low < -0.05 < high
    mixed = off_book_placebo(y - 0.05 * off, book, off)
    assert mixed.test("off-book slope").is_rejected(0.001)
    slopes = result.fit.value("book sales") - result.fit.value("off-book sales")
    assert result.estimate == pytest.approx(slopes)


def test_s6_finds_levels_that_accelerate_and_not_random_ones():
    rng = np.random.default_rng(7)
    levels = np.arange(60.0, 99.0, 1.0)
    price, path = 100.0, []
    for _ in range(6000):
        price = min(max(price + 0.12 * rng.normal() + 0.0006 * (85 - price), 55.0), 110.0)
        path.append(price)
    path = np.array(path)
    kicked = path.copy()
    for level in levels:
        hit = np.flatnonzero(path <= level)
        if hit.size:
            window = slice(hit[0], min(hit[0] + 60, path.size))
            kicked[window] *= 0.97
    found = near_miss(
        kicked,
        levels,
        times=known_from_the_start(levels, kicked),
        near_fraction=0.002,
        horizon=20,
        rng=np.random.default_rng(1),
        n_placebo=199,
    )
    assert found.fact("hits minus near misses as observed") < 0
    assert found.fact("hits") > 5
    assert 0 < found.test("random levels").p_value <= 1
    with pytest.raises(DataError, match="hits and"):
        near_miss(
            np.linspace(100, 99, 50),
            [50.0],
            times=known_from_the_start([50.0], range(50)),
            near_fraction=0.01,
            horizon=5,
            rng=rng,
        )


def test_s7_matching_removes_what_selection_adds():
    rng = np.random.default_rng(8)
    n = 6000
    x = rng.normal(size=(n, 2))
    forced = rng.random(n) < 1 / (1 + np.exp(2 - 1.5 * x[:, 0]))
    responses = np.column_stack([-0.5 * forced - x[:, 0], -0.2 * forced - x[:, 0]])
    responses = responses + 0.1 * rng.normal(size=(n, 2))
    events = rng.integers(0, 60, n)
    options = {"names": ("size", "vol"), "times": before(n)}
    result = matched_flow(responses, forced, x, events=events, **options)
    np.testing.assert_allclose(result.fit.estimate, [-0.5, -0.2], atol=0.06)
    raw = responses[forced].mean(axis=0) - responses[~forced].mean(axis=0)
    assert (raw < np.array([-0.5, -0.2]) - 0.5).all()
    assert "->" in result.fact("imbalance in size, before -> after matching (sd)")
    with pytest.warns(FewClustersWarning):
        matched_flow(responses, forced, x, events=events % 5, **options)


def test_s8_granular_instrument_and_its_estimate():
    rng = np.random.default_rng(9)
    sizes = 1.0 / np.arange(1, 31)
    n = 3000
    common, own = rng.normal(size=(n, 1)), rng.normal(size=(n, 30))
    flows = common + own
    share = sizes / sizes.sum()
    sales = flows @ share
    news = rng.normal(size=n) - common[:, 0]
    r = -0.5 * sales + news
    result = granular_iv(
        r, sales, account_flows=flows, sizes=sizes, times=before(n), exclusion="own shocks"
    )
    low, high = result.interval(0.99)
    assert low < -0.5 < high
    assert result.comparison.value("forced sales") < -0.8
    assert result.fact("excess Herfindahl") == pytest.approx(np.sqrt((share**2).sum() - 1 / 30))
    shifted = granular_instrument(flows + 7.0 * rng.normal(size=(n, 1)), sizes)
    np.testing.assert_allclose(shifted, granular_instrument(flows, sizes), atol=1e-9)
    with pytest.raises(DataError, match="size is not positive"):
        granular_instrument(flows, np.zeros(30))


def panel(rng, n_coins=40, n_times=50):
    coin, time = np.repeat(np.arange(n_coins), n_times), np.tile(np.arange(n_times), n_coins)
    effect = rng.normal(size=n_coins)[coin] * 2 + rng.normal(size=n_times)[time]
    x = rng.normal(size=coin.size) + effect
    return -0.3 * x + 2.0 * effect + rng.normal(size=coin.size), x, coin, time


def test_s9_within_estimate_removes_coin_and_time_effects():
    y, x, coin, time = panel(np.random.default_rng(12))
    result = cross_section(y, x, coin=coin, time=time, times=before(y.size))
    low, high = result.interval(0.99)
    assert low < -0.3 < high
    assert result.comparison.value("exposure") > 0.3
    dummies = np.column_stack([coin == c for c in range(40)] + [time == t for t in range(1, 50)])
    full = np.linalg.lstsq(np.column_stack([x, dummies]), y, rcond=None)[0]
    assert result.estimate == pytest.approx(full[0], rel=1e-9)
    keep = np.random.default_rng(0).random(y.size) < 0.6
    parts = (y[keep], x[keep], coin[keep], time[keep])
    unbalanced = cross_section(
        parts[0], parts[1], coin=parts[2], time=parts[3], times=before(keep.sum())
    )
    full = np.linalg.lstsq(np.column_stack([x, dummies])[keep], y[keep], rcond=None)[0]
    assert unbalanced.estimate == pytest.approx(full[0], rel=1e-7)


def test_s9_warns_on_few_coins_and_refuses_exposure_that_only_varies_over_time():
    y, x, coin, time = panel(np.random.default_rng(11), n_coins=8)
    with pytest.warns(FewClustersWarning, match="8 clusters"):
        cross_section(y, x, coin=coin, time=time, times=before(y.size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewClustersWarning)
        with pytest.raises(ConstantRegressorError, match="within coin and time"):
            cross_section(y, time.astype(float), coin=coin, time=time, times=before(y.size))
    assert np.abs(within(x[:, None], [coin, time])).max() > 0


def test_placebos_pass_on_clean_data_and_catch_a_pre_trend(draw):
    clean = pre_trend_test(draw.returns, draw.instrument, controls=draw.controls)
    assert not clean.is_rejected(0.001)
    moved = np.concatenate([[0.0, 0.0], draw.returns[:-2]])
    caught = pre_trend_test(draw.returns, draw.instrument - moved, controls=draw.controls)
    assert caught.is_rejected(0.001)
    rng = np.random.default_rng(1)
    options = {"block": 50, "rng": rng, "n_draws": 199, "controls": draw.controls}
    assert shuffled_blocks_test(draw.returns, draw.instrument, **options).p_value < 0.02
    noise = np.random.default_rng(2).normal(size=draw.returns.size)
    assert shuffled_blocks_test(noise, draw.instrument, **options).p_value > 0.02
    assert not opposite_side_test(noise**2, draw.instrument, errors=Robust()).is_rejected(0.001)


def test_error_kind_is_named_in_words(draw):
    assert "Bartlett kernel, 12 lags (chosen)" in shock(draw, errors=Hac(n_lags=12)).error_kind


@pytest.mark.slow
def test_s6_random_levels_reject_as_often_as_stated_where_levels_mean_nothing():
    p_values = []
    for seed in range(260):
        rng = np.random.default_rng(seed)
        path = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, 4000)))
        if path.min() > 94.0:
            continue  # levels must be reached
        levels = np.sort(rng.uniform(path.min(), 99.5, 40))
        try:
            found = near_miss(
                path,
                levels,
                times=known_from_the_start(levels, path),
                near_fraction=0.005,
                horizon=6,
                rng=rng,
                n_placebo=99,
            )
        except DataError:
            continue  # only hits, or only misses: nothing to compare
        p_values.append(found.test("random levels").p_value)
    tried = np.array(p_values)
    assert tried.size > 100
    assert np.mean(tried < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / tried.size)
    assert 0.35 < np.mean(tried < 0.5) < 0.65


def near_miss_p_value(rng, kick):
    """p of random levels on a path of 0.2 % a bar that falls by `kick` on reaching a true level."""
    gaps = rng.uniform(0.0075, 0.0225, 40)
    logs = -np.cumsum(gaps)
    steps = rng.normal(-1.2 * gaps.sum() / 3000, 0.002, 3000)
    path, log, reached = np.empty(3000), 0.0, 0
    for bar, step in enumerate(steps):
        log += step
        if reached < logs.size and log <= logs[reached]:
            log, reached = log - kick, reached + 1
        path[bar] = log
    options = {"near_fraction": 0.003, "horizon": 6, "rng": rng, "n_placebo": 99}
    options["times"] = known_from_the_start(logs, path)
    found = near_miss(100 * np.exp(path), 100 * np.exp(logs), **options)
    return found.test("random levels").p_value


def rejected_share(kick, n_draws):
    draws = [near_miss_p_value(np.random.default_rng([seed, 3]), kick) for seed in range(n_draws)]
    return np.mean(np.array(draws) < 0.05)


def test_s6_sees_levels_that_push_prices_and_more_often_the_harder_they_push():
    assert rejected_share(0.0, 25) <= 0.16
    assert rejected_share(0.008, 25) >= 0.5


@pytest.mark.slow
def test_s6_power_rises_with_the_push_of_a_level():
    shares = [rejected_share(kick, 200) for kick in (0.0, 0.002, 0.004, 0.008)]
    assert shares[0] < 0.1
    assert (np.diff(shares) > 0).all()
    assert 0.3 < shares[2] < 0.65
    assert shares[3] > 0.7
