"""Reference results R1-R7 and the shared job: numbers from the specification of the model."""

from __future__ import annotations

import numpy as np
import pytest

import cascadelab as cl
from cascadelab.avalanche import BorelAvalanche
from cascadelab.criticality import fixed_points, folds, loop_gain
from cascadelab.margin import FlatRules

TIGHT = {"rtol": 0, "atol": 1e-9}


def uniform(density: float, width: float, start: float = 0.0) -> cl.UniformFlow:
    return cl.UniformFlow(density_base=density, width=width, start=start)


def linear(slope: float) -> cl.LinearImpact:
    return cl.LinearImpact(slope_per_base=slope)


@pytest.mark.parametrize(
    ("density", "width", "slope", "shock", "move", "status"),
    [
        (8, 40, 0.05, 6, 10.0, "subcritical"),
        (15, 40, 0.05, 2, 8.0, "subcritical"),
        (15, 40, 0.05, 20, 50.0, "exhausted"),
        (24, 40, 0.05, 0.5, 48.5, "exhausted"),
    ],
)
def test_r1_uniform_band_under_linear_impact(density, width, slope, shock, move, status):
    cascade = cl.solve(uniform(density, width), linear(slope), shock)
    np.testing.assert_allclose(cascade.move, move, **TIGHT)
    np.testing.assert_allclose(cascade.amplification, move / shock, **TIGHT)
    np.testing.assert_allclose(cascade.amplification, 1 / (1 - cascade.secant_gain), rtol=1e-12)
    assert cascade.status == status


def test_r1_marginal_gain_is_slope_times_density_and_zero_once_exhausted():
    inside = cl.solve(uniform(8, 40), linear(0.05), 6)
    np.testing.assert_allclose(inside.marginal_gain, 0.4, rtol=1e-12)
    np.testing.assert_allclose(inside.marginal_amplification, 1 / 0.6, rtol=1e-12)
    assert cl.solve(uniform(15, 40), linear(0.05), 20).marginal_gain == 0.0


def test_r2_rounds_rise_geometrically():
    frame = cl.solve(uniform(12, 40), linear(0.05), 2.0).to_frame()
    np.testing.assert_allclose(
        frame["move"][:6].to_numpy(), [2, 3.2, 3.92, 4.352, 4.6112, 4.76672], **TIGHT
    )
    np.testing.assert_allclose(frame["sold_base"][1], 24.0, **TIGHT)


@pytest.mark.parametrize(
    ("shock", "subcritical", "supercritical"),
    [(1.0, 1.0, 1.0), (4.0, 4.0, 4.0), (5.0, 6.5, 20.0), (6.0, 9.0, 21.0), (30.0, 36.0, 45.0)],
)
def test_r2b_a_band_away_from_zero_jumps_only_above_a_gain_of_one(
    shock, subcritical, supercritical
):
    # start 4, width 10; gains 0.6 and 1.5: (s - g a)/(1 - g), then s + g w.
    low = cl.solve(uniform(12, 10, 4), linear(0.05), shock)
    high = cl.solve(uniform(30, 10, 4), linear(0.05), shock)
    np.testing.assert_allclose([low.move, high.move], [subcritical, supercritical], **TIGHT)


def test_r3_logistic_fold():
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    (fold,) = folds(flow, linear(0.01), upper=30)
    np.testing.assert_allclose(fold.move, 7.936562931, **TIGHT)
    np.testing.assert_allclose(fold.shock, 6.809546277, **TIGHT)
    np.testing.assert_allclose(fold.curvature, 0.774596669, rtol=0, atol=1e-8)
    np.testing.assert_allclose(fold.landing, 16.798403157, **TIGHT)


def test_r3_just_above_the_fold_the_cascade_lands_on_the_next_branch():
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    (fold,) = folds(flow, linear(0.01), upper=30)
    cascade = cl.solve(flow, linear(0.01), fold.shock + 1e-9)
    np.testing.assert_allclose(cascade.move, 16.798403157, rtol=0, atol=1e-8)
    assert abs(cascade.residual) < 1e-13


def test_r3_there_is_no_fold_below_the_cusp():
    flow = cl.LogisticFlow(total_base=399, midpoint=10, width=1)  # c = 3.99 < 4
    assert folds(flow, linear(0.01), upper=30) == []


def test_r3b_distance_to_the_fold_follows_the_square_root():
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    (fold,) = folds(flow, linear(0.01), upper=30)
    cascade = cl.solve(flow, linear(0.01), fold.shock - 1e-3)
    np.testing.assert_allclose(cascade.move, 7.885524, rtol=0, atol=5e-7)
    asymptote = fold.move - np.sqrt(2 * 1e-3 / fold.curvature)
    np.testing.assert_allclose(asymptote, 7.885750, rtol=0, atol=5e-7)


def test_r3b_rounds_at_the_fold_close_in_like_two_over_curvature_times_round():
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    (fold,) = folds(flow, linear(0.01), upper=30)
    path = cl.solve(flow, linear(0.01), fold.shock, max_rounds=20_000).path
    last = path.n_rounds
    np.testing.assert_allclose((fold.move - path.moves[last]) * last, 2.58199, rtol=2e-3)


def test_r4_gaussian_fold():
    flow = cl.GaussianFlow(total_base=1000, mean=10, standard_deviation=2)
    (fold,) = folds(flow, linear(0.01), upper=30)
    np.testing.assert_allclose([fold.move, fold.shock], [7.649681929, 6.450026451], **TIGHT)


@pytest.mark.parametrize(
    ("shock", "move"), [(0.1, 1.191607978), (1.0, 2.618033989), (1e-12, 1.0), (0.0, 0.0)]
)
def test_r5_square_root_impact_jumps_from_any_shock(shock, move):
    cascade = cl.solve(uniform(4, np.inf), cl.PowerImpact(coefficient=0.5), shock)
    np.testing.assert_allclose(cascade.move, move, **TIGHT)
    if shock == 1e-12:
        np.testing.assert_allclose(cascade.marginal_gain, 0.5, rtol=1e-9)


@pytest.mark.parametrize(
    ("crossover", "shock", "move"),
    [(0.1, 1e-13, 0.683772234), (0.1, 0.3, 1.287553304), (4.0, 0.3, 0.541619849)],
)
def test_r5b_regularised_square_root(crossover, shock, move):
    impact = cl.RegularisedSquareRootImpact(coefficient=0.5, crossover_base=crossover)
    cascade = cl.solve(uniform(4, np.inf), impact, shock)
    np.testing.assert_allclose(cascade.move, move, **TIGHT)


def test_r6_constant_product_pool_deepens_in_base_as_price_falls():
    coordinate = cl.Coordinate(reference_price=100.0)
    flow = cl.UniformFlow(density_base=8, width=100, coordinate=coordinate)
    pool = cl.ConstantProductImpact(reserve_base=1000, pool_price=100.0)
    cascade = cl.solve(flow, pool.after_shock(95.0), 5.0)
    np.testing.assert_allclose(cascade.price, 48.19994997, rtol=0, atol=1e-8)
    np.testing.assert_allclose(cascade.marginal_gain, 0.5354, rtol=0, atol=5e-5)
    np.testing.assert_allclose(loop_gain(flow, pool, 0.0), 1.6, **TIGHT)


def test_constant_product_sale_with_and_without_fee():
    free = cl.ConstantProductImpact(reserve_base=1000, pool_price=100.0)
    paid = cl.ConstantProductImpact(reserve_base=1000, pool_price=100.0, fee_fraction=0.003)
    np.testing.assert_allclose(paid.proceeds(50.0), 4748.297376, rtol=0, atol=5e-7)
    np.testing.assert_allclose(100 - paid.move(50.0), 90.715907, rtol=0, atol=5e-7)
    np.testing.assert_allclose(100 - free.move(50.0), 90.702948, rtol=0, atol=5e-7)
    np.testing.assert_allclose(free.proceeds(50.0) / 50, 95.238095, rtol=0, atol=5e-7)


def test_r7_borel_law():
    half = BorelAvalanche(gain=0.5)
    np.testing.assert_allclose(half.probability([1, 2, 3]), [0.60653, 0.18394, 0.08367], atol=5e-6)
    seventy = BorelAvalanche(gain=0.7)
    np.testing.assert_allclose([seventy.mean, seventy.variance], [3.3333, 25.926], rtol=2e-5)
    np.testing.assert_allclose(BorelAvalanche(gain=1.5).infinite_probability, 0.582812, atol=5e-7)
    np.testing.assert_allclose(BorelAvalanche(gain=2.0).infinite_probability, 0.796812, atol=5e-7)
    np.testing.assert_allclose(BorelAvalanche(gain=0.9).cutoff, 186.549, atol=5e-4)
    sizes = np.arange(1, 3000)
    np.testing.assert_allclose(seventy.probability(sizes).sum(), 1.0, rtol=1e-12)
    np.testing.assert_allclose((sizes * seventy.probability(sizes)).sum(), seventy.mean, rtol=1e-9)


def shared_job(n_accounts: int) -> cl.Ledger:
    rng = np.random.default_rng(20251010)
    entry = 100.0 * np.exp(-0.04 * rng.standard_exponential(n_accounts))
    leverage = 2 + 48 * rng.beta(1.3, 12.0, n_accounts)
    notional = np.exp(8.5 + 1.4 * rng.standard_normal(n_accounts))
    return cl.Ledger.from_arrays(entry_price=entry, size_base=notional / entry, leverage=leverage)


@pytest.mark.parametrize("is_sorted_first", [False, True])
@pytest.mark.parametrize(
    ("n_accounts", "kind", "price", "n_rounds", "n_liquidated"),
    [
        (1_000, "explin", 77.508098311, 23, 576),
        (10_000, "explin", 78.258583058, 21, 5_507),
        (100_000, "explin", 79.578849722, 28, 49_801),
        (1_000_000, "explin", 79.526416173, 36, 499_213),
        (1_000, "sqrt", 77.005353610, 6, 589),
        (10_000, "sqrt", 77.079964738, 11, 5_893),
        (100_000, "sqrt", 77.443812407, 12, 57_342),
        (1_000_000, "sqrt", 77.379268696, 14, 574_709),
    ],
)
def test_shared_job(n_accounts, kind, price, n_rounds, n_liquidated, is_sorted_first):
    ledger = shared_job(n_accounts)
    coordinate = cl.Coordinate(reference_price=100.0, scale="log")
    flow = cl.ledger_flow(ledger, FlatRules(maintenance_fraction=0.005), coordinate)
    if is_sorted_first:
        flow.prepare()
    open_interest = ledger.size_base.sum()
    impact: cl.LinearImpact | cl.PowerImpact = cl.LinearImpact(slope_per_base=0.25 / open_interest)
    if kind == "sqrt":
        impact = cl.PowerImpact(coefficient=0.20, volume_base=open_interest)
    cascade = cl.solve(flow, impact, float(coordinate.move_to(90.0)))
    np.testing.assert_allclose(cascade.price, price, **TIGHT)
    assert cascade.n_rounds == n_rounds
    assert cascade.status == "subcritical"
    assert cascade.residual == 0.0
    if n_accounts <= 100_000:
        fills = cascade.fills()
        assert fills.height == n_liquidated
        np.testing.assert_allclose(fills["quantity_base"].sum(), cascade.quantity_base, rtol=1e-12)


def test_all_fixed_points_of_a_bistable_curve_are_found_in_order():
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    points = fixed_points(flow, linear(0.01), 6.5, upper=30)
    assert len(points) == 3
    np.testing.assert_allclose(points[0], cl.solve(flow, linear(0.01), 6.5).move, rtol=1e-12)
    gains = loop_gain(flow, linear(0.01), points)
    assert gains[0] < 1 < gains[1]
    assert gains[2] < 1
