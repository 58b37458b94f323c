"""Linear impact regressions: OLS with honest errors, Kyle's slope, slopes by regime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError
from cascadelab.estimate.checks import (
    are_units_far_apart,
    check_independent,
    check_moves,
    matrix,
    vector,
)
from cascadelab.estimate.covariance import Clustered, ErrorKind, error_kind, score_meat
from cascadelab.estimate.hypothesis import wald_test
from cascadelab.estimate.result import FitResult
from cascadelab.units import FloatArray

__all__ = ["Labels", "kyle_slope", "ols", "with_constant"]

#: Cells (rows times columns) above which OLS is solved by cross-products instead of statsmodels.
FAST_FROM_CELLS = 400_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """Words that go with a regression.

    Parameters
    ----------
    outcome : str
        Name of the outcome.
    outcome_unit : str
        Its unit, such as ``"fraction"`` or ``"bps"``.
    units : tuple of str
        Unit of each coefficient, in the order of the names; the constant is added for you.
    sample : str
        Sample rule and exclusions in words.
    """

    outcome: str = "return"
    outcome_unit: str = "fraction"
    units: tuple[str, ...] = ()
    sample: str = ""

    @property
    def outcome_words(self) -> str:
        """Outcome with its unit."""
        return f"{self.outcome} [{self.outcome_unit}]" if self.outcome_unit else self.outcome


def with_constant(regressors: FloatArray) -> FloatArray:
    """Regressors with a column of ones in front, shape (n, k + 1)."""
    return np.column_stack([np.ones(regressors.shape[0]), regressors])


def ols(
    outcome: npt.ArrayLike,
    regressors: npt.ArrayLike,
    *,
    names: Sequence[str],
    errors: ErrorKind | None = None,
    labels: Labels | None = None,
) -> FitResult:
    r"""Ordinary least squares with a constant and HAC, robust or clustered errors.

    Parameters
    ----------
    outcome : array_like of shape (n,)
    regressors : array_like of shape (n,) or (n, k)
        Without a constant; it is added in front under the name ``"constant"``.
    names : sequence of k str
    errors : Hac, Robust or Clustered
        Default ``Hac()``: Newey–West with the rule's lag.
    labels : Labels
        Outcome, units and sample in words.

    Returns
    -------
    FitResult
        Terms are ``"constant"`` and `names`.

    Raises
    ------
    NonFiniteError
        A row holds NaN or infinity.
    ConstantRegressorError, CollinearError
        The outcome or a column is constant, or a column depends on the others.

    Notes
    -----
    Small problems go to ``statsmodels.OLS``. Above 400,000 cells, and where columns differ in size
    by more than a million, the same numbers come from cross-products of scaled columns with one
    step of refinement and :func:`~.covariance.score_meat`; the statsmodels result is then fitted
    when ``result.statsmodels`` is asked for.

    Examples
    --------
    >>> flow = np.arange(40.0) % 7
    >>> round(ols(2 * flow + np.tile([0.1, -0.1], 20), flow, names=["flow"]).value("flow"), 2)
    2.0
    """
    kind, words = error_kind(errors), labels or Labels()
    y = vector(outcome, words.outcome)
    x = matrix(regressors, names, y.size, "regressors")
    check_moves(y, words.outcome)
    for position, name in enumerate(names):
        check_moves(x[:, position], name)
    design = with_constant(x)
    terms = ("constant", *names)
    check_independent(design, terms, "regressors")
    estimate, cov, reach = _fit(y, design, kind)
    residual = y - design @ estimate
    spread = float(np.sum((y - y.mean()) ** 2))
    r_squared = 1.0 - float(residual @ residual) / spread if spread > 0 else float("nan")
    units = (words.outcome_unit, *words.units) if words.units else ()
    return FitResult(
        model="Ordinary least squares",
        outcome=words.outcome_words,
        terms=terms,
        estimate=estimate,
        cov=cov,
        n_obs=y.size,
        cov_type=kind.words(y.size),
        units=units,
        sample=words.sample,
        df_resid=kind.df_resid(y.size),
        facts=(("R-squared", r_squared),),
        reach=reach,
    )


def _fit(
    y: FloatArray, design: FloatArray, kind: ErrorKind
) -> tuple[FloatArray, FloatArray, Callable[[], Any]]:
    def fit() -> Any:
        import statsmodels.api as sm

        return sm.OLS(y, design).fit(**kind.statsmodels_options(y.size))

    is_small = design.size <= FAST_FROM_CELLS or isinstance(kind, Clustered)
    if is_small and not are_units_far_apart(design, 1e6):
        result = fit()
        return np.array(result.params), np.array(result.cov_params()), lambda: result
    estimate, cov = _cross_product_fit(y, design, kind)
    return estimate, cov, fit


def _cross_product_fit(
    y: FloatArray, design: FloatArray, kind: ErrorKind
) -> tuple[FloatArray, FloatArray]:
    """Return estimates and covariance from X'X, columns scaled, one step of refinement."""
    gram = design.T @ design
    scale = np.sqrt(np.diag(gram))
    inverse = np.linalg.inv(gram / np.outer(scale, scale)) / np.outer(scale, scale)
    estimate = inverse @ (design.T @ y)
    residual = y - design @ estimate
    estimate = estimate + inverse @ (design.T @ residual)
    meat = score_meat(design, y - design @ estimate, kind)
    return estimate, inverse @ meat @ inverse


def kyle_slope(
    returns: npt.ArrayLike,
    signed_flow: npt.ArrayLike,
    *,
    regime: npt.ArrayLike | None = None,
    errors: ErrorKind | None = None,
    labels: Labels | None = None,
    flow_unit: str = "base",
) -> FitResult:
    r"""Kyle's lambda: OLS slope of returns on signed flow, by regime if one is given.

    Parameters
    ----------
    returns : array_like of shape (n,)
    signed_flow : array_like of shape (n,)
        Buying positive, in base units or contracts (never at the trade price).
    regime : array_like of bool of shape (n,), optional
        True in the cascade, False in the calm. Both regimes then get their own constant and
        slope, and the Wald test ``"equal slopes"`` is attached.
    errors : Hac, Robust or Clustered
        Default ``Hac()``.
    labels : Labels
    flow_unit : str
        Unit of the flow, for the slope's unit.

    Returns
    -------
    FitResult
        Terms ``constant, signed flow``; with a regime ``constant, cascade shift, flow (calm),
        flow (cascade)``. A positive slope means buying lifts the price.

    Raises
    ------
    ConstantRegressorError
        The flow never moves, over all or inside a regime.

    Notes
    -----
    :math:`r_t = \alpha + \lambda q_t + \varepsilon_t`, Kyle (1985). Where falls also cause
    liquidations this slope is biased away from zero: use the estimators of
    :mod:`~cascadelab.estimate.identify` for a causal reading.

    Examples
    --------
    >>> flow = np.tile([-2.0, -1.0, 1.0, 2.0], 20)
    >>> cascade = np.arange(80) >= 40
    >>> noise = np.tile([0.01, -0.01, -0.01, 0.01, -0.01, 0.01, 0.01, -0.01], 10)
    >>> fit = kyle_slope(np.where(cascade, 3.0, 1.0) * flow + noise, flow, regime=cascade)
    >>> round(fit.value("flow (cascade)"), 3), fit.test("equal slopes").is_rejected()
    (3.0, True)
    """
    words = labels or Labels()
    y = vector(returns, words.outcome)
    flow = vector(signed_flow, "signed flow", y.size)
    check_moves(flow, "signed flow")
    slope_unit = f"{words.outcome_unit} per {flow_unit}"
    note = "OLS: biased away from zero where falls cause liquidations (docs/estimation.md)."
    if regime is None:
        named = _relabel(words, (slope_unit,))
        fit = ols(y, flow, names=["signed flow"], errors=errors, labels=named)
        return _retitle(fit, "Kyle slope", (note,))
    cascade = _regime(regime, flow)
    inside = cascade.astype(np.float64)
    design = np.column_stack([inside, flow * (1.0 - inside), flow * inside])
    named = _relabel(words, (words.outcome_unit, slope_unit, slope_unit))
    names = ["cascade shift", "flow (calm)", "flow (cascade)"]
    fit = ols(y, design, names=names, errors=errors, labels=named)
    contrast = np.array([[0.0, 0.0, -1.0, 1.0]])
    null = "the slope in the cascade equals the slope in the calm"
    test = wald_test(fit.estimate, fit.cov, contrast, "equal slopes", null)
    facts = (("cascade rows", float(cascade.sum())), ("calm rows", float((~cascade).sum())))
    return _retitle(fit, "Kyle slope by regime", (note,), tests=(test,), facts=facts)


def _regime(regime: npt.ArrayLike, flow: FloatArray) -> npt.NDArray[np.bool_]:
    flags = np.asarray(regime)
    if flags.shape != flow.shape or flags.dtype != np.bool_:
        raise DataError(
            f"regime has shape {flags.shape} and type {flags.dtype}. Expected {flow.shape} "
            f"booleans, True in the cascade. Pass a mask."
        )
    for mask, name in ((flags, "signed flow in the cascade"), (~flags, "signed flow in the calm")):
        if mask.sum() < 3:
            raise DataError(
                f"{name}: {int(mask.sum())} rows. Expected at least 3. Choose another regime."
            )
        check_moves(flow[mask], name)
    return flags


def _relabel(words: Labels, units: tuple[str, ...]) -> Labels:
    return Labels(
        outcome=words.outcome, outcome_unit=words.outcome_unit, units=units, sample=words.sample
    )


def _retitle(
    fit: FitResult,
    model: str,
    notes: tuple[str, ...],
    tests: tuple[Any, ...] = (),
    facts: tuple[tuple[str, float | str], ...] = (),
) -> FitResult:
    from dataclasses import replace

    return replace(fit, model=model, notes=notes, tests=tests, facts=(*fit.facts, *facts))
