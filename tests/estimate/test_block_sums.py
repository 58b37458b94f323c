"""Block bootstrap from sums: same draws, same answers as a loop of refits."""

from __future__ import annotations

import numpy as np
import pytest

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate import Hac, ols
from cascadelab.estimate.block_sums import (
    disjoint_block_ols,
    disjoint_starts,
    moving_block_ols,
    moving_starts,
)


def draw(n=1003, k=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k)) * [1.0, 1e-3, 1e3]
    noise = np.convolve(rng.normal(size=n + 4), np.ones(5), mode="valid")
    return x @ [1.0, 500.0, -2e-3] + noise, x, ["a", "b", "c"]


def refits(y, x, starts, block):
    design = np.column_stack([np.ones(y.size), x])
    out = []
    for row in starts:
        rows = (row[:, None] + np.arange(block)).ravel()[: y.size]
        out.append(np.linalg.lstsq(design[rows], y[rows], rcond=None)[0])
    return np.array(out)


@pytest.mark.parametrize(
    ("fast", "draws"), [(disjoint_block_ols, disjoint_starts), (moving_block_ols, moving_starts)]
)
@pytest.mark.parametrize("block", [1, 10, 37])
def test_block_sums_equal_a_loop_of_refits_on_the_same_draws(fast, draws, block):
    y, x, names = draw()
    ours = fast(y, x, names=names, rng=np.random.default_rng(7), n_draws=20, block=block)
    starts = draws(y.size, block, 20, np.random.default_rng(7))
    expected = refits(y, x, starts, block)
    scale = np.abs(expected).max(axis=0)
    np.testing.assert_allclose(ours.draws / scale, expected / scale, rtol=1e-9, atol=1e-9)
    assert ours.estimate == pytest.approx(ols(y, x, names=names).estimate, rel=1e-10)


def test_both_schemes_agree_with_hac_errors():
    y, x, names = draw(n=6000)
    hac = ols(y, x, names=names, errors=Hac(n_lags=15)).std_error
    for scheme in (disjoint_block_ols, moving_block_ols):
        errors = scheme(y, x, names=names, rng=np.random.default_rng(1), block=20).std_error
        np.testing.assert_allclose(errors, hac, rtol=0.15)


def test_bad_blocks_and_rank_losses_are_named():
    y, x, names = draw()
    with pytest.raises(ParameterError, match="block is 900"):
        moving_block_ols(y, x, names=names, rng=np.random.default_rng(0), block=900)
    rare = np.zeros((1003, 1))
    rare[5] = 1.0
    with pytest.raises(DataError, match="rare dummies"):
        disjoint_block_ols(y, rare, names=["dummy"], rng=np.random.default_rng(0), block=10)
