"""S9: coin-level exposure in the cross-section, coin and time effects, two-way clusters."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ConvergenceError
from cascadelab.estimate.checks import check_moves, control_columns, vector
from cascadelab.estimate.covariance import Clustered, label_codes
from cascadelab.estimate.identify import IdentifiedEstimate
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.result import FitResult
from cascadelab.estimate.times import ExposureTimes, check_times
from cascadelab.estimate.warn import NegativeVarianceWarning
from cascadelab.units import FloatArray

__all__ = ["cross_section", "within"]


def within(values: FloatArray, groups: list[npt.NDArray[np.int64]]) -> FloatArray:
    """Values after removing the means of every grouping, shape as given.

    Parameters
    ----------
    values : ndarray of shape (n, k)
    groups : list of integer labels of shape (n,)
        One array per set of effects; unbalanced panels are iterated.

    Raises
    ------
    ConvergenceError
        Means are not removed to 1e-12 of the values' size after 10,000 rounds.
    """
    left = values - values.mean(axis=0)
    size = np.abs(left).max() + 1e-300
    counts = [np.bincount(group) for group in groups]
    for _ in range(10_000):
        largest = 0.0
        for group, count in zip(groups, counts, strict=True):
            sums = np.column_stack([np.bincount(group, column) for column in left.T])
            means = sums / count[:, None]
            largest = max(largest, float(np.abs(means).max()))
            left = left - means[group]
        if largest < 1e-12 * size:
            return np.asarray(left)
    raise ConvergenceError(
        f"Fixed effects were not removed: a mean of {largest:g} is left. Expected 1e-12. "
        f"Check for groups that nest.",
        largest,
        10_000,
    )


def cross_section(
    outcome: npt.ArrayLike,
    exposure: npt.ArrayLike,
    *,
    coin: npt.ArrayLike,
    time: npt.ArrayLike,
    times: ExposureTimes,
    controls: npt.ArrayLike | None = None,
    labels: Labels | None = None,
) -> IdentifiedEstimate:
    """S9: OLS of coin returns on exposure within coin and time, clustered both ways.

    Parameters
    ----------
    outcome : array_like of shape (n,)
        Return of a coin over a period.
    exposure : array_like of shape (n,)
        Share of accounts near their margin, known before the period.
    coin, time : array_like of shape (n,)
        Labels of any type.
    times : ExposureTimes
        When each exposure was measured, strictly before its period opens.
    controls : array_like of shape (n, c), optional
    labels : Labels

    Returns
    -------
    IdentifiedEstimate
        Term ``exposure``; the comparison is pooled OLS. Fewer than 30 coins or periods warn.

    Raises
    ------
    LookAheadError
        An exposure is stamped at or after the start of its period.
    ConstantRegressorError
        Exposure does not move within coin and time.
    """
    words = labels or Labels()
    y = vector(outcome, words.outcome)
    columns = [vector(exposure, "exposure", y.size)]
    check_times(times, y.size)
    names = ["exposure"]
    if controls is not None:
        extra, words_of = control_columns(controls, y.size)
        names += words_of
        columns += list(extra.T)
    x = np.column_stack(columns)
    codes = [label_codes(coin, "coin", y.size), label_codes(time, "time", y.size)]
    kind = Clustered(groups=np.column_stack(codes))
    left = within(np.column_stack([y, x]), codes)
    for position, name in enumerate(names, start=1):
        tiny = np.abs(left[:, position]).max() <= 1e-10 * np.abs(x[:, position - 1]).max()
        check_moves(np.zeros(1) if tiny else left[:, position], f"{name} within coin and time")
    # The constant is exactly zero after the means are removed; it is kept out of the report.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NegativeVarianceWarning)  # of that constant, by rounding
        full = ols(left[:, 0], left[:, 1:], names=names, errors=kind, labels=words)
    fit = FitResult(
        model="Within coin and time",
        outcome=words.outcome_words,
        terms=full.terms[1:],
        estimate=full.estimate[1:].copy(),
        cov=full.cov[1:, 1:].copy(),
        n_obs=y.size,
        cov_type=full.cov_type,
        units=(f"{words.outcome_unit} per unit of exposure", *("",) * (len(names) - 1)),
        sample=words.sample,
        df_resid=full.df_resid,
        notes=("Errors do not count the absorbed effects as parameters.",),
    )
    return IdentifiedEstimate(
        design="S9 cross-section",
        term="exposure",
        fit=fit,
        assumption="Within a period, coins with more accounts near margin do not differ otherwise.",
        kills=("coins with thin books hold more leverage", "exposure measured after the fall"),
        comparison=ols(y, x, names=names, errors=kind, labels=words),
        facts=(
            ("coins", float(codes[0].max() + 1)),
            ("periods", float(codes[1].max() + 1)),
        ),
    )
