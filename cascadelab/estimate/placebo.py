"""Placebos: pre-trends, shuffled blocks, the opposite side, all in one table layout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import check_moves, control_columns, vector
from cascadelab.estimate.covariance import ErrorKind, least_squares
from cascadelab.estimate.hypothesis import HypothesisTest, wald_test
from cascadelab.estimate.linear import ols
from cascadelab.rng import check_generator
from cascadelab.units import FloatArray

__all__ = ["opposite_side_test", "pre_trend_test", "shuffled_blocks_test"]


def pre_trend_test(
    returns: npt.ArrayLike,
    instrument: npt.ArrayLike,
    *,
    n_leads: int = 5,
    controls: npt.ArrayLike | None = None,
    errors: ErrorKind | None = None,
) -> HypothesisTest:
    r"""Wald test that the instrument does not know the returns before it.

    Parameters
    ----------
    returns, instrument : array_like of shape (n,)
    n_leads : int
        Past returns :math:`r_{t-1} \dots r_{t-k}` regressed jointly.
    controls : array_like of shape (n, c), optional
    errors : Hac, Robust or Clustered

    Returns
    -------
    HypothesisTest
        chi-squared with `n_leads` degrees of freedom.
    """
    y = vector(returns, "returns")
    z = vector(instrument, "instrument", y.size)
    check_moves(z, "instrument")
    if n_leads < 1 or y.size < 4 * n_leads + 8:
        raise ParameterError(f"n_leads is {n_leads} on {y.size} rows; expected 1 to a tenth.")
    rows = np.arange(n_leads, y.size)
    past = np.column_stack([y[rows - lag] for lag in range(1, n_leads + 1)])
    names = [f"return, lag {lag}" for lag in range(1, n_leads + 1)]
    if controls is not None:
        extra, more = control_columns(controls, y.size)
        past = np.column_stack([past, extra[rows]])
        names += more
    fit = ols(z[rows], past, names=names, errors=errors)
    restriction = np.zeros((n_leads, len(fit.terms)))
    restriction[:, 1 : n_leads + 1] = np.eye(n_leads)
    null = f"the instrument is not related to the {n_leads} returns before it"
    return wald_test(fit.estimate, fit.cov, restriction, "pre-trend", null)


def shuffled_blocks_test(
    returns: npt.ArrayLike,
    instrument: npt.ArrayLike,
    *,
    block: int,
    rng: np.random.Generator,
    n_draws: int = 999,
    controls: npt.ArrayLike | None = None,
) -> HypothesisTest:
    """Permutation test: blocks (days) of the instrument in random order.

    Parameters
    ----------
    returns, instrument : array_like of shape (n,)
    block : int
        Rows per block; the rest at the end stays in place.
    rng : numpy.random.Generator
    n_draws : int
    controls : array_like of shape (n, c), optional
        Partialled out of returns and instrument first.

    Returns
    -------
    HypothesisTest
        Statistic: correlation of return and instrument given the controls.
    """
    y = vector(returns, "returns")
    z = vector(instrument, "instrument", y.size)
    check_moves(z, "instrument")
    check_moves(y, "returns")
    n_blocks = y.size // block if block >= 1 else 0
    if n_blocks < 5:
        raise DataError(f"{n_blocks} blocks of {block} rows. Expected at least 5. Shorten them.")
    base = np.ones((y.size, 1))
    if controls is not None:
        base = np.column_stack([base, control_columns(controls, y.size)[0]])
    left_y = y - base @ least_squares(base, y)
    left_z = z - base @ least_squares(base, z)
    for left, values, name in ((left_y, y, "returns"), (left_z, z, "instrument")):
        if np.abs(left).max() <= 1e-10 * np.abs(values).max():
            raise DataError(
                f"The controls reproduce the {name} exactly, so that nothing is left to shuffle. "
                f"Expected {name} that differ from them. Drop a control."
            )
    scale = float(np.sqrt(left_y @ left_y) * np.sqrt(left_z @ left_z))
    actual = float(left_y @ left_z) / scale
    order = np.arange(y.size)
    draws = np.empty(n_draws)
    for number in range(n_draws):
        order[: n_blocks * block] = _shuffled(n_blocks, block, rng)
        draws[number] = left_y @ left_z[order] / scale
    p_value = (1.0 + np.sum(np.abs(draws) >= abs(actual))) / (n_draws + 1.0)
    return HypothesisTest(
        name="shuffled blocks",
        statistic=actual,
        null="the instrument of another block does as well",
        distribution="permutation",
        p_value=float(p_value),
    )


def _shuffled(n_blocks: int, block: int, rng: np.random.Generator) -> FloatArray:
    check_generator(rng)
    starts = rng.permutation(n_blocks) * block
    return np.asarray((starts[:, None] + np.arange(block)).ravel())


def opposite_side_test(
    opposite_sales: npt.ArrayLike,
    instrument: npt.ArrayLike,
    *,
    controls: npt.ArrayLike | None = None,
    errors: ErrorKind | None = None,
) -> HypothesisTest:
    """Test that the instrument for one side does not move liquidations of the other side."""
    sales = vector(opposite_sales, "opposite-side sales")
    z = vector(instrument, "instrument", sales.size)
    design, names = z[:, None], ["instrument"]
    if controls is not None:
        extra, more = control_columns(controls, sales.size)
        design = np.column_stack([z, extra])
        names += more
    fit = ols(sales, design, names=names, errors=errors)
    restriction = np.zeros((1, len(fit.terms)))
    restriction[0, 1] = 1.0
    null = "the instrument does not move liquidations of the other side"
    return wald_test(fit.estimate, fit.cov, restriction, "opposite side", null)
