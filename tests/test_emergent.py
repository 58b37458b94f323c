"""Laws that emerge from the loop and are written down nowhere in it: sizes, rounds, warnings."""

import numpy as np
import pytest

import cascadelab as cl
from cascadelab.avalanche import BorelAvalanche, FiniteAvalanche, slow_drive_counts
from cascadelab.criticality import folds, jumps
from cascadelab.sweep import solve_shocks

FLOW = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
IMPACT = cl.LinearImpact(slope_per_base=0.01)
(FOLD,) = folds(FLOW, IMPACT, upper=30)


def drawn_book(n_positions, rng):
    share = rng.random(n_positions)
    thresholds = 10 + np.log(share / (1 - share))
    sizes = np.full(n_positions, 1000 / n_positions)
    return cl.LedgerFlow(thresholds, sizes, cl.Coordinate(reference_price=100.0))


@pytest.mark.parametrize("beyond", [1e-4, 1e-5, 1e-6, 1e-7])
def test_just_beyond_a_fold_the_rounds_queue_at_the_bottleneck(beyond):
    # y_{k+1} - y_k = eps + F'' (y - y_c)^2 / 2 takes pi / sqrt(eps F'' / 2) rounds to pass.
    cascade = cl.solve(FLOW, IMPACT, FOLD.shock + beyond)
    assert cascade.path.is_complete
    expected = np.pi / np.sqrt(beyond * FOLD.curvature / 2)
    np.testing.assert_allclose(cascade.n_rounds, expected, rtol=0.02)


def test_rounds_that_are_not_all_listed_are_never_given_as_their_number():
    cascade = cl.solve(FLOW, IMPACT, FOLD.shock + 1e-8)  # about 50,480 rounds
    np.testing.assert_allclose(cascade.move, FOLD.landing, rtol=1e-6)
    assert not cascade.path.is_complete
    assert cascade.to_dict()["n_rounds"] is None
    assert "rounds listed" in str(cascade)
    assert "short of the fixed point" in str(cascade)
    longer = cl.solve(FLOW, IMPACT, FOLD.shock + 1e-8, max_rounds=60_000)
    assert longer.path.is_complete
    np.testing.assert_allclose(longer.n_rounds, 50_480, rtol=0.002)


def test_amplification_warns_of_the_fold_with_an_inverse_square_root():
    for distance in (1e-4, 1e-6):
        cascade = cl.solve(FLOW, IMPACT, FOLD.shock - distance)
        warning = 1 / np.sqrt(2 * FOLD.curvature * distance)
        np.testing.assert_allclose(cascade.marginal_amplification, warning, rtol=0.01)


def test_the_critical_shock_of_finite_books_scatters_and_is_late():
    # Fluctuations are those of the number due at y_c: sd = lambda N_base sqrt(u (1 - u) / N).
    # The mean lies above the fold of the curve by the maximum of a random walk less a parabola:
    # E max(sigma W(t) - F'' t^2 / 2) with sigma^2 = lambda q, 0.79065 = E max(W(t) - t^2).
    rng, n_positions = np.random.default_rng(5), 2000
    found, due = [], []
    for _ in range(300):
        book = drawn_book(n_positions, rng)
        steps = jumps(book, IMPACT)
        found.append(steps["shock"][int(steps["n_closed"].arg_max())])
        due.append(float(book.quantity(FOLD.move)) - float(FLOW.quantity(FOLD.move)))
    late = np.array(found) - FOLD.shock
    share = float(FLOW.quantity(FOLD.move)) / 1000
    spread = 0.01 * 1000 * np.sqrt(share * (1 - share) / n_positions)
    np.testing.assert_allclose(late.std(), spread, rtol=0.1)
    walk = 0.01 * 1000 / n_positions
    shift = 0.79065 * walk ** (2 / 3) * (FOLD.curvature / 2) ** (-1 / 3)
    # What was due more or less than on average is taken out: it only adds noise to the mean.
    np.testing.assert_allclose((late + 0.01 * np.array(due)).mean(), shift, rtol=0.1)


def test_slow_drive_up_to_the_fold_has_the_exponent_five_halves():
    sizes = np.array([300, 1000, 3000])
    counts = slow_drive_counts(sizes, FLOW, IMPACT, size_base=1e-3, upper=FOLD.move)
    slopes = np.diff(np.log(counts)) / np.diff(np.log(sizes))
    np.testing.assert_allclose(slopes, -2.5, atol=0.01)


def test_at_the_critical_point_the_exponent_is_three_halves():
    law = BorelAvalanche(gain=1.0).probability([1e4, 1e6])
    np.testing.assert_allclose(np.log(law[1] / law[0]) / np.log(100), -1.5, atol=1e-5)


def test_coarse_shocks_have_the_exponent_three():
    # Equal steps of the shock up to the fold: the share of steps that close at least x falls
    # as x^-2, because what a step closes grows as 1 / sqrt(distance to the fold).
    shocks = FOLD.shock - 1e-6 * np.arange(1600)[::-1]
    closed = np.diff(solve_shocks(FLOW, IMPACT, shocks)["quantity_base"].to_numpy())
    n_larger = [int((closed >= least).sum()) for least in (0.002, 0.004, 0.008)]
    slopes = np.diff(np.log(n_larger)) / np.log(2)
    np.testing.assert_allclose(slopes, -2.0, atol=0.1)


@pytest.mark.parametrize("gain", [0.3, 0.9, 1.0])
def test_the_chance_that_all_go_keeps_its_digits_however_small(gain):
    # (N + 1)^(N - 1) (g/N)^N; one less all others would be rounding.
    n = 100
    expected = np.exp(99 * np.log(101.0) + 100 * np.log(gain / n))
    found = FiniteAvalanche(n_positions=n, gain=gain)
    np.testing.assert_allclose(found.all_probability, expected, rtol=1e-11)
    np.testing.assert_allclose(found.law.sum(), 1.0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("excess", [-1e-3, -1e-5, -1e-9, 1e-9, 1e-5, 1e-3])
def test_the_cutoff_grows_as_two_over_the_square_of_the_distance_from_one(excess):
    # 1 / (e^2/2 - e^3/3 + ...) = 2/e^2 (1 + 2e/3 + ...)
    cutoff = BorelAvalanche(gain=1.0 + excess).cutoff
    np.testing.assert_allclose(cutoff * excess**2 / 2, 1 + 2 * excess / 3, rtol=1e-6)
