"""Block bootstrap of OLS from sums over blocks: no refit looks at a row twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.bootstrap import BootstrapResult, default_block
from cascadelab.estimate.checks import check_independent, check_moves, matrix, vector
from cascadelab.estimate.linear import with_constant
from cascadelab.rng import check_generator
from cascadelab.units import FloatArray, IntArray

__all__ = ["disjoint_block_ols", "disjoint_starts", "moving_block_ols", "moving_starts"]


def disjoint_starts(n_obs: int, block: int, n_draws: int, rng: np.random.Generator) -> IntArray:
    """First rows of the drawn disjoint blocks, shape (n_draws, n_obs // block)."""
    check_generator(rng)
    n_blocks = n_obs // block
    return np.asarray(rng.integers(0, n_blocks, size=(n_draws, n_blocks)) * block)


def moving_starts(n_obs: int, block: int, n_draws: int, rng: np.random.Generator) -> IntArray:
    """First rows of the drawn moving blocks, shape (n_draws, ceil(n_obs / block))."""
    check_generator(rng)
    n_blocks = -(-n_obs // block)
    return rng.integers(0, n_obs - block + 1, size=(n_draws, n_blocks))


def disjoint_block_ols(
    outcome: npt.ArrayLike,
    regressors: npt.ArrayLike,
    *,
    names: Sequence[str],
    rng: np.random.Generator,
    n_draws: int = 999,
    block: int | None = None,
) -> BootstrapResult:
    """Bootstrap of OLS on disjoint blocks of rows.

    Parameters
    ----------
    outcome : array_like of shape (n,)
    regressors : array_like of shape (n, k)
        Without a constant, which is added.
    names : sequence of k str
    rng : numpy.random.Generator
    n_draws : int
    block : int or None
        Rows per block; None takes the cube root of n. Rows after the last whole block are left
        out of the resamples.

    Returns
    -------
    BootstrapResult
        Equal to refitting on the rows of :func:`disjoint_starts`. A different scheme from moving
        blocks: their errors agree within a few per cent, not exactly.

    Notes
    -----
    Cross-products are summed once per block; the sums of a resample are the block counts times
    that table, one matrix product for all draws.
    """
    y, design, size = _checked(outcome, regressors, names, block, n_draws)
    n_blocks = y.size // size
    joined = np.column_stack([design, y])
    blocks = joined[: n_blocks * size].reshape(n_blocks, size, -1)
    sums = np.matmul(blocks.transpose(0, 2, 1), blocks).reshape(n_blocks, -1)
    starts = disjoint_starts(y.size, size, n_draws, rng)
    flat = (starts // size + np.arange(n_draws)[:, None] * n_blocks).ravel()
    counts = np.bincount(flat, minlength=n_draws * n_blocks).reshape(n_draws, n_blocks)
    totals = counts.astype(np.float64) @ sums
    return _result(joined, totals, names, f"disjoint blocks of {size} rows")


def moving_block_ols(
    outcome: npt.ArrayLike,
    regressors: npt.ArrayLike,
    *,
    names: Sequence[str],
    rng: np.random.Generator,
    n_draws: int = 999,
    block: int | None = None,
) -> BootstrapResult:
    """Bootstrap of OLS on moving blocks of rows; parameters of :func:`disjoint_block_ols`.

    Returns
    -------
    BootstrapResult
        Equal to refitting on the rows of :func:`moving_starts`, the last block of each resample
        cut so that it has n rows.
    """
    from scipy import sparse

    y, design, size = _checked(outcome, regressors, names, block, n_draws)
    joined = np.column_stack([design, y])
    upper = np.triu_indices(joined.shape[1])
    running = np.zeros((y.size + 1, upper[0].size))
    np.multiply(joined[:, upper[0]], joined[:, upper[1]], out=running[1:])
    np.cumsum(running, axis=0, out=running)
    starts = moving_starts(y.size, size, n_draws, rng)
    n_blocks = starts.shape[1]
    window = running[size:] - running[:-size]
    whole = starts[:, :-1]
    pointer = np.arange(n_draws + 1) * (n_blocks - 1)
    shape = (n_draws, window.shape[0])
    picks = sparse.csr_matrix((np.ones(whole.size), whole.ravel(), pointer), shape=shape)
    last, rest = starts[:, -1], y.size - (n_blocks - 1) * size
    sums = picks @ window + (running[last + rest] - running[last])
    totals = np.empty((n_draws, joined.shape[1], joined.shape[1]))
    totals[:, upper[0], upper[1]] = sums
    totals[:, upper[1], upper[0]] = sums
    return _result(joined, totals.reshape(n_draws, -1), names, f"moving blocks of {size} rows")


def _checked(
    outcome: npt.ArrayLike,
    regressors: npt.ArrayLike,
    names: Sequence[str],
    block: int | None,
    n_draws: int,
) -> tuple[FloatArray, FloatArray, int]:
    y = vector(outcome, "outcome")
    x = matrix(regressors, names, y.size, "regressors")
    for position, name in enumerate(names):
        check_moves(x[:, position], name)
    design = with_constant(x)
    check_independent(design, ("constant", *names), "regressors")
    size = default_block(y.size) if block is None else int(block)
    if not 1 <= size <= y.size // 2:
        raise ParameterError(f"block is {size}; expected 1 to {y.size // 2} rows. Pass one.")
    if n_draws < 2:
        raise ParameterError(f"n_draws is {n_draws}; expected at least 2. Pass more.")
    return y, design, size


def _result(
    joined: FloatArray, totals: FloatArray, names: Sequence[str], scheme: str
) -> BootstrapResult:
    n_columns = joined.shape[1]
    square = totals.reshape(-1, n_columns, n_columns)
    full = joined.T @ joined
    scale = np.sqrt(np.diag(full)[:-1])
    gram = square[:, :-1, :-1] / (scale[:, None] * scale)
    right = square[:, :-1, -1] / scale
    try:
        draws = np.linalg.solve(gram, right[..., None])[..., 0] / scale
    except np.linalg.LinAlgError:
        raise DataError(
            "A resample has collinear regressors. Expected full rank in every one. Use longer "
            "blocks or drop rare dummies."
        ) from None
    point = np.linalg.solve(full[:-1, :-1] / (scale[:, None] * scale), full[:-1, -1] / scale)
    return BootstrapResult(
        name="Block bootstrap of OLS",
        terms=("constant", *names),
        estimate=point / scale,
        draws=draws,
        scheme=scheme,
    )
