"""Laws of discrete avalanches, deficits, reverse stress, partial closes."""

from __future__ import annotations

import numpy as np
import pytest

import cascadelab as cl
from cascadelab.avalanche import (
    BorelAvalanche,
    FiniteAvalanche,
    simulate_avalanches,
    slow_drive_counts,
)
from cascadelab.criticality import jumps
from cascadelab.deficits import (
    StaleCheck,
    bad_debt,
    deficits,
    largest_survived_shock,
    reverse_stress,
)
from cascadelab.errors import ParameterError
from cascadelab.margin import FlatRules
from cascadelab.partial import PartialClose, partial_flow, partial_fraction
from cascadelab.rng import generator

PRICE = cl.Coordinate(reference_price=100.0)


def linear(slope: float) -> cl.LinearImpact:
    return cl.LinearImpact(slope_per_base=slope)


@pytest.mark.parametrize("gain", [0.3, 0.9, 1.4])
def test_the_simulator_reproduces_the_exact_law_of_finite_books(gain):
    n_runs = 40_000
    drawn = simulate_avalanches(n_positions=12, gain=gain, n_runs=n_runs, rng=generator(4))
    counts = np.bincount(drawn["n_closed"].to_numpy(), minlength=14)[1:]
    law = FiniteAvalanche(n_positions=12, gain=gain).law
    np.testing.assert_allclose(law.sum(), 1.0, rtol=1e-12)
    expected = n_runs * law
    assert not counts[expected == 0].any()
    kept = expected > 5
    # Chi-square of at most 12 degrees of freedom; its 99.9 % point is 32.9.
    assert ((counts - expected)[kept] ** 2 / expected[kept]).sum() < 32.9


def test_two_positions_by_hand():
    # One other threshold u in [0, 1], a = 0.3: it goes iff u <= 0.3.
    np.testing.assert_allclose(FiniteAvalanche(n_positions=1, gain=0.3).law, [0.7, 0.3])
    # Two others, a = g/2 = 0.25: P(1) = 0.75^2, P(2) = (1/2) 2 (0.5)(0.5), P(3) the rest.
    np.testing.assert_allclose(
        FiniteAvalanche(n_positions=2, gain=0.5).law, [0.5625, 0.25, 0.1875], rtol=1e-12
    )
    assert FiniteAvalanche(n_positions=2, gain=0.5).all_probability == pytest.approx(0.1875)


def test_a_large_finite_book_has_the_borel_law_and_its_survival():
    sizes = np.arange(1, 12)
    finite = FiniteAvalanche(n_positions=200_000, gain=0.6).probability(sizes)
    np.testing.assert_allclose(finite, BorelAvalanche(gain=0.6).probability(sizes), rtol=1e-3)
    above = FiniteAvalanche(n_positions=20_000, gain=1.5)
    largest = above.law[10_000:].sum()
    np.testing.assert_allclose(largest, BorelAvalanche(gain=1.5).infinite_probability, rtol=1e-3)


def test_borel_draws_have_the_mean_the_law_and_the_survival_of_the_law():
    drawn = BorelAvalanche(gain=0.7).draw(60_000, generator(1))
    np.testing.assert_allclose(drawn.mean(), 1 / 0.3, rtol=0.03)
    np.testing.assert_allclose((drawn == 1).mean(), np.exp(-0.7), atol=0.008)
    endless = np.isinf(BorelAvalanche(gain=2.0).draw(4000, generator(2))).mean()
    np.testing.assert_allclose(endless, 0.796812, atol=0.025)


def test_random_sizes_have_the_mean_of_the_branching_process():
    drawn = simulate_avalanches(
        n_positions=2000,
        gain=0.5,
        n_runs=6000,
        rng=generator(3),
        relative_sizes=lambda rng, shape: rng.standard_exponential(shape),
    )
    expected = BorelAvalanche(gain=0.5).mean_total_base(1.0)
    np.testing.assert_allclose(drawn["closed_size"].mean(), expected, rtol=0.05)


def test_slow_drive_counts_add_up_to_the_positions_swept_and_match_a_drawn_book():
    n_positions = 40_000
    size = 100.0 / n_positions
    flow = cl.GaussianFlow(total_base=100.0, mean=10.0, standard_deviation=1.0)
    impact = linear(0.6 / (100.0 / np.sqrt(2 * np.pi)))  # peak gain 0.6
    sizes = np.arange(1, 400)
    counts = slow_drive_counts(sizes, flow, impact, size, 20.0)
    np.testing.assert_allclose((sizes * counts).sum(), n_positions, rtol=1e-9)
    thresholds = generator(5).normal(10.0, 1.0, n_positions)
    book = cl.LedgerFlow(thresholds, np.full(n_positions, size), PRICE)
    drawn = np.bincount(jumps(book, impact)["n_closed"].to_numpy())
    assert (np.abs(drawn[1:5] - counts[:4]) < 4 * np.sqrt(counts[:4])).all()


def test_slow_drive_past_the_fold_is_refused():
    flow = cl.GaussianFlow(total_base=100.0, mean=10.0, standard_deviation=1.0)
    with pytest.raises(ParameterError, match="loop gain passes 1"):
        slow_drive_counts([1], flow, linear(0.1), 1.0, 20.0)


def test_bad_debt_of_an_even_band_is_half_density_times_square():
    flow = cl.UniformFlow(density_base=10.0, width=1e3)
    move = cl.solve(flow, linear(0.06), 3.0).move
    np.testing.assert_allclose(move, 7.5, rtol=1e-12)
    np.testing.assert_allclose(bad_debt(flow, move, 2.0), 151.25, rtol=1e-10)
    assert bad_debt(flow, 1.0, 2.0) == 0.0


def test_reverse_stress_of_an_even_band():
    flow = cl.UniformFlow(density_base=10.0, width=1e3)
    shock = reverse_stress(flow, linear(0.06), fund_quote=500.0, buffer=2.0, upper=50.0)
    np.testing.assert_allclose(shock, 4.8, rtol=1e-8)


def test_reverse_stress_at_a_fold_is_the_critical_shock():
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    shock = reverse_stress(flow, linear(0.01), fund_quote=500.0, buffer=2.0, upper=20.0)
    np.testing.assert_allclose(shock, 6.809546277, rtol=0, atol=1e-7)


def test_a_shock_that_is_always_or_never_survived():
    flow = cl.UniformFlow(density_base=10.0, width=1e3)
    assert largest_survived_shock(flow, linear(0.06), lambda _: True, 5.0) == 5.0
    assert np.isnan(largest_survived_shock(flow, linear(0.06), lambda _: False, 5.0))


def test_deficits_of_fills_by_hand_under_three_fill_prices():
    # Thresholds 1, 2, 5 of size 1, slope 0.5, s = 1: marks 1, 1.5 -> stop? 1.5 < 2: one fill.
    # With slope 1.5: marks 1, 2.5, 4; two fills, bankruptcy prices 98 and 97.5.
    flow = cl.LedgerFlow(np.array([1.0, 2.0, 5.0]), np.ones(3), PRICE)
    cascade = cl.solve(flow, linear(1.5), 1.0)
    limits = [98.0, 97.5, 94.0]
    assert deficits(cascade, limits, filled_at="trigger").total_quote == 0.0
    batch = deficits(cascade, limits)
    # Batch marks: 97.5 for the first (98 - 97.5), 96 for the second (97.5 - 96).
    assert batch.frame["deficit_quote"].to_list() == [0.5, 1.5]
    assert deficits(cascade, limits, filled_at="final").total_quote == 2.0 + 1.5
    assert batch.n_deficits == 2
    with pytest.raises(ParameterError, match="Did you mean 'final'"):
        deficits(cascade, limits, filled_at="finale")


def test_deficits_of_shorts_are_mirrored():
    coordinate = cl.Coordinate(reference_price=100.0, side="short")
    flow = cl.LedgerFlow(np.array([1.0]), np.array([2.0]), coordinate)
    cascade = cl.solve(flow, linear(1.0), 1.0)
    found = deficits(cascade, [102.0])
    assert found.frame["fill_price"].to_list() == [103.0]
    assert found.total_quote == 2.0


def test_deficits_of_a_book_converge_to_those_of_its_curve():
    thresholds = (np.arange(100_000) + 0.5) / 1000.0
    book = cl.LedgerFlow(thresholds, np.full(100_000, 0.01), PRICE)
    cascade = cl.solve(book, linear(0.06), 3.0)
    final = deficits(cascade, 100.0 - thresholds - 2.0, filled_at="final")
    np.testing.assert_allclose(final.total_quote, 151.25, rtol=2e-3)
    np.testing.assert_allclose(bad_debt(book, cascade.move, 2.0), final.total_quote, rtol=1e-9)


def test_stale_check_is_the_mean_of_losses_beyond_the_buffer():
    check = StaleCheck(volatility_per_year=0.8, buffer_fraction=0.005)
    moves = 0.8 * np.sqrt(360 / (365 * 86400)) * generator(7).standard_normal(2_000_000)
    loss = np.maximum(-moves - 0.005, 0.0)
    np.testing.assert_allclose(check.expected_loss(360.0), loss.mean(), rtol=0.02)
    np.testing.assert_allclose(check.breach_probability(360.0), (loss > 0).mean(), rtol=0.02)


def test_partial_close_restores_the_target_and_reenters_lower():
    assert partial_fraction(0.05, 0.03) == 0.0
    assert partial_fraction(-0.5, 0.03) == 1.0
    ledger = cl.Ledger.from_arrays(entry_price=[100.0], size_base=[1.0], leverage=10.0)
    close = PartialClose(maintenance_fraction=0.01, target_fraction=0.03, fee_fraction=0.005)
    flow = partial_flow(ledger, FlatRules(maintenance_fraction=0.01), PRICE, close)
    # Follow the account: at each threshold sell the slice at the mark and pay the fee.
    equity, size, price = 10.0, 1.0, 100.0
    for threshold, sold in zip(flow.thresholds[:4], flow.sizes_base[:4], strict=True):
        equity += size * (100.0 - threshold - price)
        price = 100.0 - threshold
        np.testing.assert_allclose(equity / (size * price), 0.01, rtol=1e-9)
        equity -= 0.005 * sold * price
        size -= sold
        np.testing.assert_allclose(equity / (size * price), 0.03, rtol=1e-9)
    np.testing.assert_allclose(flow.sizes_base.sum(), 1.0, rtol=1e-12)


def test_partial_closes_of_shorts_reenter_higher():
    ledger = cl.Ledger.from_arrays(entry_price=[100.0], size_base=[-1.0], leverage=10.0)
    coordinate = cl.Coordinate(reference_price=100.0, side="short")
    close = PartialClose(maintenance_fraction=0.01, target_fraction=0.03, n_slices=3)
    flow = partial_flow(ledger, FlatRules(maintenance_fraction=0.01), coordinate, close)
    np.testing.assert_allclose(100 + flow.thresholds[1], 110 / 1.01 * 1.03 / 1.01, rtol=1e-12)


def test_closing_in_slices_ends_no_lower_than_closing_whole():
    rng = generator(8)
    ledger = cl.Ledger.from_arrays(
        entry_price=100.0 * np.exp(-0.05 * rng.standard_exponential(4000)),
        size_base=rng.uniform(0, 1, 4000),
        leverage=rng.uniform(5, 30, 4000),
    )
    rules = FlatRules(maintenance_fraction=0.01)
    close = PartialClose(maintenance_fraction=0.01, target_fraction=0.03)
    whole = cl.solve(cl.ledger_flow(ledger, rules, PRICE), linear(0.02), 3.0)
    sliced = cl.solve(partial_flow(ledger, rules, PRICE, close), linear(0.02), 3.0)
    assert 3.0 < sliced.move < whole.move


def test_bad_debt_of_a_band_away_from_zero_is_exact_and_so_is_reverse_stress():
    band = cl.UniformFlow(density_base=7.0, width=11.0, start=3.3)
    both = cl.MixtureFlow((band, cl.UniformFlow(density_base=2.0, width=0.7, start=5.1)))
    for reach in (3.31, 4.0, 13.7, 14.4, 40.0):
        inside = 7.0 * min(reach - 3.3, 11.0)
        area = inside * (reach - 3.3) - inside**2 / 14.0
        np.testing.assert_allclose(bad_debt(band, reach + 1.1, 1.1), area, rtol=1e-12)
        more = 2.0 * min(max(reach - 5.1, 0.0), 0.7)
        area += more * max(reach - 5.1, 0.0) - more**2 / 4.0
        np.testing.assert_allclose(bad_debt(both, reach + 1.1, 1.1), area, rtol=1e-12)
    # Without a fund nothing may be lost: y* = 3.3 + 1.1, s = y* - g (y* - 3.3) with g = 0.35.
    shock = reverse_stress(
        band, cl.LinearImpact(slope_per_base=0.05), fund_quote=0.0, buffer=1.1, upper=50.0
    )
    np.testing.assert_allclose(shock, 4.4 - 0.35 * 1.1, rtol=1e-12)


def test_a_negative_buffer_is_refused():
    band = cl.UniformFlow(density_base=7.0, width=11.0)
    with pytest.raises(ParameterError, match="buffer is -1"):
        bad_debt(band, 5.0, -1.0)


def test_the_chance_of_no_end_grows_with_twice_the_excess_of_the_gain():
    # 1 - x = exp(-g x): x = 2 e - 8/3 e^2 + 28/9 e^3 for g = 1 + e.
    for excess in (1e-9, 1e-6, 1e-4, 9.99e-3):
        series = 2 * excess - 8 / 3 * excess**2 + 28 / 9 * excess**3
        found = BorelAvalanche(gain=1.0 + excess).infinite_probability
        np.testing.assert_allclose(found, series, rtol=max(4 * excess**3, 2e-7))
    near, far = (BorelAvalanche(gain=g).infinite_probability for g in (1.01 - 1e-9, 1.01 + 1e-9))
    np.testing.assert_allclose(near, far, rtol=1e-6)


def test_avalanches_of_a_band_away_from_zero_count_every_position():
    band = cl.UniformFlow(density_base=10.0, width=50.0, start=3.3)
    sizes = np.arange(1, 2000)
    counts = slow_drive_counts(sizes, band, cl.LinearImpact(slope_per_base=0.05), 2.0, 30.0)
    np.testing.assert_allclose(sizes @ counts, 10.0 * (30.0 - 3.3) / 2.0, rtol=1e-10)


def test_numbers_without_a_meaning_are_refused_not_answered():
    band = cl.UniformFlow(density_base=10.0, width=50.0)
    with pytest.raises(ParameterError, match=r"fund_quote is -1\.0"):
        reverse_stress(band, linear(0.06), fund_quote=-1.0, buffer=2.0, upper=20.0)
    with pytest.raises(ParameterError, match="move is nan"):
        bad_debt(band, np.nan, 2.0)
    with pytest.raises(ParameterError, match=r"lag_s has the value 0\.0"):
        StaleCheck(volatility_per_year=0.8, buffer_fraction=0.005).expected_loss([60.0, 0.0])
    with pytest.raises(ParameterError, match=r"n_positions is 2\.5"):
        FiniteAvalanche(n_positions=2.5, gain=0.5)
    with pytest.raises(ParameterError, match="n_runs is -1"):
        simulate_avalanches(n_positions=5, gain=0.5, n_runs=-1, rng=generator(1))
    with pytest.raises(ParameterError, match="n_draws is -1"):
        BorelAvalanche(gain=0.5).draw(-1, generator(1))
