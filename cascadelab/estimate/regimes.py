"""Impact slopes by depth regime: terciles of depth known before the bar, and their equality."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import check_moves, vector
from cascadelab.estimate.covariance import ErrorKind
from cascadelab.estimate.hypothesis import wald_test
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.result import FitResult
from cascadelab.estimate.times import ExposureTimes, check_times

__all__ = ["slope_by_depth"]


def slope_by_depth(
    returns: npt.ArrayLike,
    signed_flow: npt.ArrayLike,
    depth_before: npt.ArrayLike,
    *,
    times: ExposureTimes,
    n_groups: int = 3,
    errors: ErrorKind | None = None,
    labels: Labels | None = None,
) -> FitResult:
    """Slope of returns on signed flow in each quantile group of depth.

    Parameters
    ----------
    returns, signed_flow : array_like of shape (n,)
        Buying positive.
    depth_before : array_like of shape (n,)
        Depth measured before the bar; depth after it is an outcome.
    times : ExposureTimes
        When each depth was measured, strictly before its bar opens.
    n_groups : int
        Equally filled groups, thinnest first.
    errors : Hac, Robust or Clustered
    labels : Labels

    Returns
    -------
    FitResult
        Terms ``flow (depth 1)`` (thinnest) ... with one constant per group; the test
        ``equal slopes`` has the null that depth does not matter.

    Raises
    ------
    LookAheadError
        A depth is stamped at or after the start of its bar.
    """
    words = labels or Labels()
    y = vector(returns, words.outcome)
    flow = vector(signed_flow, "signed flow", y.size)
    depth = vector(depth_before, "depth", y.size)
    check_times(times, y.size, name="depth")
    check_moves(depth, "depth")
    if n_groups < 2 or y.size < 10 * n_groups:
        raise ParameterError(f"n_groups is {n_groups} on {y.size} rows; expected 2 to a tenth.")
    cuts = np.quantile(depth, np.arange(1, n_groups) / n_groups)
    group = np.searchsorted(cuts, depth, side="right")
    masks = [(group == number).astype(np.float64) for number in range(n_groups)]
    for number, mask in enumerate(masks):
        if not mask.any():
            raise DataError(
                f"Depth group {number + 1} of {n_groups} has no rows: depth has too few distinct "
                f"values. Expected rows in every group. Pass fewer groups."
            )
        check_moves(flow[mask > 0], f"signed flow at depth {number + 1}")
    shifts = np.column_stack(masks[1:])
    slopes = np.column_stack([mask * flow for mask in masks])
    names = [f"shift (depth {i + 2})" for i in range(n_groups - 1)]
    names += [f"flow (depth {i + 1})" for i in range(n_groups)]
    fit = ols(y, np.column_stack([shifts, slopes]), names=names, errors=errors, labels=words)
    contrast = np.zeros((n_groups - 1, len(fit.terms)))
    contrast[:, n_groups] = -1.0
    contrast[np.arange(n_groups - 1), n_groups + 1 + np.arange(n_groups - 1)] = 1.0
    null = "the slope is the same at every depth"
    test = wald_test(fit.estimate, fit.cov, contrast, "equal slopes", null)
    return replace(fit, model="Impact slope by depth", tests=(test,))
