"""Impact functions and forced-flow curves: slopes, inverses, limits, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import cascadelab as cl
from cascadelab.criticality import critical_depth, critical_moves
from cascadelab.errors import BookExhausted, ParameterError

IMPACTS = [
    cl.LinearImpact(slope_per_base=0.3),
    cl.PowerImpact(coefficient=2.0, volume_base=50.0, exponent=0.6),
    cl.RegularisedSquareRootImpact(coefficient=0.5, crossover_base=3.0),
    cl.BoundedImpact(reference_price=100.0, slope_per_base=0.4, floor_price=20.0),
    cl.exponential_impact(reference_price=100.0, sensitivity=0.8, total_base=400.0),
    cl.ConstantProductImpact(reserve_base=300.0, pool_price=100.0, fee_fraction=0.003),
    cl.ConstantProductImpact(reserve_base=300.0, pool_price=100.0, scale="log"),
]
FLOWS = [
    cl.UniformFlow(density_base=3.0, width=10.0, start=2.0),
    cl.LogisticFlow(total_base=50.0, midpoint=6.0, width=1.5),
    cl.GaussianFlow(total_base=50.0, mean=6.0, standard_deviation=1.5),
]


@pytest.mark.parametrize("impact", IMPACTS, ids=lambda i: type(i).__name__)
def test_impact_slope_is_the_derivative_and_inverse_undoes_it(impact):
    quantity = np.array([0.5, 3.0, 40.0, 200.0])
    step = 1e-5 * quantity
    difference = (impact.move(quantity + step) - impact.move(quantity - step)) / (2 * step)
    np.testing.assert_allclose(impact.slope(quantity), difference, rtol=1e-7)
    np.testing.assert_allclose(impact.inverse(impact.move(quantity)), quantity, rtol=1e-9)
    assert float(impact.move(0.0)) == 0.0


@pytest.mark.parametrize("impact", IMPACTS, ids=lambda i: type(i).__name__)
def test_slope_bounds_hold_between_their_ends(impact):
    low, high = impact.slope_bounds(1.0, 30.0)
    inside = impact.slope(np.linspace(1.0, 30.0, 101))
    assert low <= inside.min()
    assert inside.max() <= high


@pytest.mark.parametrize("flow", FLOWS, ids=lambda f: type(f).__name__)
def test_density_is_the_derivative_and_its_bounds_hold(flow):
    y = np.array([2.5, 5.0, 6.5, 9.0])
    step = 1e-5
    difference = (flow.quantity(y + step) - flow.quantity(y - step)) / (2 * step)
    np.testing.assert_allclose(flow.density(y), difference, rtol=1e-6)
    for low, high in [(0.0, 3.0), (5.0, 7.0), (1.0, 20.0)]:
        smallest, largest = flow.density_bounds(low, high)
        inside = flow.density(np.linspace(low, high, 301))
        assert smallest <= inside.min()
        assert inside.max() <= largest
    np.testing.assert_allclose(float(flow.quantity(1e3)), flow.total_base, rtol=1e-12)


def test_bounded_impact_never_passes_its_floor():
    impact = cl.BoundedImpact(reference_price=100.0, slope_per_base=5.0, floor_price=30.0)
    assert float(impact.move(1e9)) == 70.0
    assert float(impact.inverse(70.0)) == np.inf


def test_exponential_impact_is_the_price_law_it_names():
    impact = cl.exponential_impact(reference_price=100.0, sensitivity=0.8, total_base=400.0)
    np.testing.assert_allclose(100 - impact.move(100.0), 100 * np.exp(-0.2), rtol=1e-12)


def test_regularised_root_is_linear_when_small_and_a_root_when_large():
    impact = cl.RegularisedSquareRootImpact(coefficient=0.5, crossover_base=4.0)
    np.testing.assert_allclose(impact.move(1e-9), 1e-9 * 0.5 / (2 * 2.0), rtol=1e-8)
    np.testing.assert_allclose(impact.move(4e8), 0.5 * np.sqrt(4e8), rtol=2e-4)


def test_critical_depth_is_the_largest_density():
    np.testing.assert_allclose(critical_depth(FLOWS[1]), 50.0 / (4 * 1.5), rtol=1e-12)
    at_depth = cl.LinearImpact(slope_per_base=0.99 / critical_depth(FLOWS[1]))
    assert critical_moves(FLOWS[1], at_depth, upper=30.0).size == 0
    below = cl.LinearImpact(slope_per_base=1.01 / critical_depth(FLOWS[1]))
    assert critical_moves(FLOWS[1], below, upper=30.0).size == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cl.LinearImpact(slope_per_base=-1.0), "slope_per_base is -1.0"),
        (lambda: cl.PowerImpact(coefficient=1.0, exponent=0.0), "exponent is 0.0"),
        (lambda: replace(IMPACTS[3], floor_price=200.0), "floor_price is 200.0"),
        (lambda: cl.UniformFlow(density_base=float("nan"), width=1.0), "density_base is nan"),
        (lambda: cl.LogisticFlow(total_base=1.0, midpoint=0.0, width=-1.0), "width is -1.0"),
        (lambda: cl.Coordinate(reference_price=0.0), "reference_price is 0.0"),
        (lambda: cl.Coordinate(reference_price=1.0, scale="logg"), "Did you mean 'log'"),
        (lambda: IMPACTS[0].move(-1.0), "expected quantities of at least 0"),
        (lambda: IMPACTS[0].move([1.0, float("nan")]), "expected quantities of at least 0"),
    ],
)  # fmt: skip
def test_a_number_out_of_range_names_its_field(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_a_sale_small_beside_the_pool_keeps_its_digits():
    # For x = Q/X the log move is (2 - f) x to first order.
    for scale, factor in (("log", 1.0), ("price", 100.0)):
        pool = cl.ConstantProductImpact(
            reserve_base=1e9, pool_price=100.0, fee_fraction=0.003, scale=scale
        )
        quantity = np.array([1e-3, 1e-1])
        np.testing.assert_allclose(pool.move(quantity), factor * 1.997 * quantity / 1e9, rtol=1e-9)
        np.testing.assert_allclose(pool.inverse(pool.move(quantity)), quantity, rtol=1e-14)


def test_buying_from_a_pool_follows_the_curve_and_pays_the_fee_in_quote():
    # X = 1000, Y = 1e5, fee 20 %: 200 units cost Y 200 / (0.8 * 800) = 31,250.
    pool = cl.ConstantProductImpact(
        reserve_base=1000.0, pool_price=100.0, fee_fraction=0.2, side="short"
    )
    np.testing.assert_allclose(pool.proceeds(200.0), 31_250.0, rtol=1e-14)
    np.testing.assert_allclose(pool.move(200.0), 131_250.0 / 800.0 - 100.0, rtol=1e-14)
    y = np.array([1e-9, 1.0, 64.0625, 1e6])
    np.testing.assert_allclose(pool.move(pool.inverse(y)), y, rtol=1e-9)
    step = (pool.move(200.01) - pool.move(199.99)) / 0.02
    np.testing.assert_allclose(pool.slope(200.0), step, rtol=1e-6)
    with pytest.raises(BookExhausted):
        pool.move(1000.0)


def test_the_lower_tail_of_a_logistic_curve_keeps_its_digits():
    # Far below the midpoint Q = N e^z, and a square root makes a move of even so little.
    flow = cl.LogisticFlow(total_base=1.0, midpoint=30.0, width=1.0)
    np.testing.assert_allclose(flow.quantity([0.0, 1.0]), np.exp([-30.0, -29.0]), rtol=1e-12)
    np.testing.assert_allclose(flow.density(0.0), np.exp(-30.0), rtol=1e-12)
    root = cl.PowerImpact(coefficient=1.0)
    cascade = cl.solve(flow, root, 0.0)
    # y = e^((y - 30)/2) = e^-15 (1 + y/2 + ...)
    first = np.exp(-15.0)
    np.testing.assert_allclose(cascade.move, first * (1 + first / 2), rtol=1e-12)
