"""Many tests at once: Holm and Romano–Wolf adjusted p-values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError
from cascadelab.estimate.checks import floats, vector
from cascadelab.units import FloatArray

__all__ = ["holm", "romano_wolf"]


def holm(p_values: npt.ArrayLike) -> FloatArray:
    r"""Holm-adjusted p-values, valid under any dependence.

    Parameters
    ----------
    p_values : array_like of shape (m,)
        In [0, 1], finite.

    Returns
    -------
    ndarray of shape (m,)
        In the order given.

    Notes
    -----
    With sorted :math:`p_{(i)}`: running maximum of :math:`(m-i+1)p_{(i)}`, capped at 1.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = vector(p_values, "p-values")
    if ((p < 0) | (p > 1)).any():
        row = int(((p < 0) | (p > 1)).argmax())
        raise DataError(f"p-value {row} is {p[row]:g}. Expected numbers in [0, 1].")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def romano_wolf(t_values: npt.ArrayLike, null_draws: npt.ArrayLike) -> FloatArray:
    """Romano–Wolf step-down p-values from bootstrap draws of centred t-ratios.

    Parameters
    ----------
    t_values : array_like of shape (m,)
        Observed t-ratios.
    null_draws : array_like of shape (n_draws, m)
        Bootstrap t-ratios centred at the estimates, drawn jointly for all m tests.

    Returns
    -------
    ndarray of shape (m,)
        Two-sided adjusted p-values with the usual +1 in numerator and denominator.

    References
    ----------
    Romano and Wolf (2005, 2016), doi:10.1198/016214504000000539.
    """
    t = np.abs(vector(t_values, "t-ratios"))
    draws = np.abs(floats(null_draws, "null draws"))
    if (
        draws.ndim != 2
        or draws.shape[1] != t.size
        or draws.shape[0] < 1
        or not np.isfinite(draws).all()
    ):
        raise DataError(
            f"null draws have shape {draws.shape}. Expected (n_draws, {t.size}), all finite."
        )
    order = np.argsort(-t, kind="stable")
    tails = np.maximum.accumulate(draws[:, order[::-1]], axis=1)[:, ::-1]
    raw = (1.0 + (tails >= t[order]).sum(axis=0)) / (draws.shape[0] + 1.0)
    adjusted = np.empty_like(t)
    adjusted[order] = np.maximum.accumulate(raw)
    return adjusted
