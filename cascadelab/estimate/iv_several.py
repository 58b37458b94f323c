"""Two-stage least squares with several endogenous regressors and what tells their strength."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import (
    check_independent,
    check_moves,
    column_lengths,
    floats,
    matrix,
    vector,
)
from cascadelab.estimate.covariance import ErrorKind, error_kind, least_squares, score_meat
from cascadelab.estimate.hypothesis import HypothesisTest, frame_of_tests
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import FitResult
from cascadelab.estimate.warn import WeakInstrumentWarning
from cascadelab.estimate.weak import anderson_rubin_test, over_identification_test, residualised
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = ["SeveralIvFit", "SeveralRegressors", "fit_iv_several"]

#: Conditional first-stage F below which instruments are called weak: a rule of thumb.
_STRONG_F = 10.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeveralRegressors:
    """Columns of a regression with several endogenous regressors.

    Parameters
    ----------
    endogenous : array_like of shape (n, m)
        Regressors that are instrumented.
    instruments : array_like of shape (n, K)
        Excluded instruments, at least m.
    controls : array_like of shape (n, c), optional
        Without a constant, which is added.
    names, instrument_names, control_names : sequence of str
        Numbered when empty.
    """

    endogenous: npt.ArrayLike
    instruments: npt.ArrayLike
    controls: npt.ArrayLike | None = None
    names: Sequence[str] = ()
    instrument_names: Sequence[str] = ()
    control_names: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Columns:
    """Checked columns and their names."""

    y: FloatArray
    base: FloatArray
    d: FloatArray
    z: FloatArray
    base_names: tuple[str, ...]
    d_names: tuple[str, ...]
    z_names: tuple[str, ...]

    @property
    def design(self) -> FloatArray:
        return np.column_stack([self.base, self.d])

    @property
    def all_instruments(self) -> FloatArray:
        return np.column_stack([self.base, self.z])


@dataclass(frozen=True, kw_only=True, eq=False)
class SeveralIvFit(Record):
    """2SLS slopes of several endogenous regressors, with OLS and first stages beside them.

    Parameters
    ----------
    fit, ols : FitResult
        Terms: constant, controls, then the endogenous regressors.
    first_stages : tuple of FitResult
        One per endogenous regressor.
    conditional_f : tuple of float
        Strength of the instruments for each regressor, given that they must serve the others.
    cragg_donald : float
        Smallest eigenvalue of the first stage over K; homoskedastic.
    tests : tuple of HypothesisTest
        Under-identification of each regressor, Anderson–Rubin of all slopes at zero,
        over-identification J.
    """

    fit: FitResult
    ols: FitResult
    first_stages: tuple[FitResult, ...]
    conditional_f: tuple[float, ...]
    cragg_donald: float
    tests: tuple[HypothesisTest, ...]

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the endogenous regressors."""
        return self.fit.terms[-len(self.conditional_f) :]

    def to_frame(self) -> pl.DataFrame:
        """Return OLS and 2SLS slopes of the endogenous regressors, one row each."""
        parts = []
        for label, fit in (("OLS", self.ols), ("2SLS", self.fit)):
            rows = fit.to_frame().filter(pl.col("term").is_in(self.terms))
            parts.append(rows.insert_column(0, pl.Series("equation", [label] * rows.height)))
        return pl.concat(parts)

    def tests_frame(self) -> pl.DataFrame:
        """Return the tests, one row each."""
        return frame_of_tests(self.tests)

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of OLS beside 2SLS for every endogenous regressor, 95 % intervals."""
        from cascadelab.charts.estimate import coefficient_chart

        named = self.to_frame().with_columns(term=pl.format("{} ({})", "term", "equation"))
        return coefficient_chart(named, title=f"Slopes of {self.fit.outcome}: OLS beside 2SLS")

    def summary(self) -> Summary:
        """Return slopes, strength of the instruments for each, and tests."""
        rows: list[tuple[str, object]] = [
            ("observations", self.fit.n_obs),
            ("covariance", self.fit.cov_type),
            *(
                (f"conditional first-stage F of {name}", value)
                for name, value in zip(self.terms, self.conditional_f, strict=True)
            ),
            ("Cragg-Donald F (homoskedastic)", self.cragg_donald),
            ("tF interval", "for one endogenous regressor only"),
        ]
        notes = [test.sentence for test in self.tests]
        title = f"Instrumental variables: {self.fit.outcome} on {', '.join(self.terms)}"
        return Summary(title=title, rows=rows, frame=self.to_frame(), notes=notes)


def fit_iv_several(
    outcome: npt.ArrayLike,
    regressors: SeveralRegressors,
    *,
    errors: ErrorKind | None = None,
    labels: Labels | None = None,
) -> SeveralIvFit:
    r"""2SLS with several endogenous regressors; :func:`fit_iv` does more for a single one.

    Parameters
    ----------
    outcome : array_like of shape (n,)
    regressors : SeveralRegressors
    errors : Hac, Robust or Clustered
        Default ``Hac()``.
    labels : Labels

    Returns
    -------
    SeveralIvFit

    Raises
    ------
    ParameterError
        There are fewer instruments than endogenous regressors.
    CollinearError, ConstantRegressorError, NonFiniteError
        Names the column and the row.

    Warns
    -----
    WeakInstrumentWarning
        A conditional F is below 10.

    Notes
    -----
    Point and sandwich are those of :func:`two_stage_least_squares`. The conditional F of regressor
    j follows Sanderson and Windmeijer (2016), doi:10.1016/j.jeconom.2015.06.004: what the
    instruments explain of :math:`d_j` beyond the other endogenous regressors, a Wald statistic
    over :math:`K-m+1`. It is minimised with the covariance that was asked for, where the paper's
    is homoskedastic; the two agree when errors are. The Anderson–Rubin test is a score test of the
    instruments in the reduced form: valid however weak they are.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z, v = rng.normal(size=(2, 600, 2)); d = z + v
    >>> y = d @ [1.0, -2.0] + v[:, 0] + rng.normal(size=600)
    >>> found = fit_iv_several(y, SeveralRegressors(endogenous=d, instruments=z, names="ab"))
    >>> low, high = found.fit.interval("b")
    >>> low < -2.0 < high
    True
    """
    words, kind = labels or Labels(), error_kind(errors)
    data = _check(outcome, regressors, words)
    estimate, cov = _two_stage(data, kind)
    terms = (*data.base_names, *data.d_names)
    fit = FitResult(
        model="Two-stage least squares, several endogenous regressors",
        outcome=words.outcome_words,
        terms=terms,
        estimate=estimate,
        cov=cov,
        n_obs=data.y.size,
        cov_type=kind.words(data.y.size),
        units=(words.outcome_unit, *("",) * (len(terms) - 1)),
        sample=words.sample,
        df_resid=kind.df_resid(data.y.size),
        facts=(("instruments", ", ".join(data.z_names)),),
    )
    strengths = tuple(_underidentified(data, position, kind) for position in range(data.d.shape[1]))
    spare = data.z.shape[1] - data.d.shape[1] + 1
    conditional = tuple(test.statistic / spare for test in strengths)
    _warn_if_weak(conditional, data.d_names)
    first_stages = tuple(
        ols(
            column,
            np.column_stack([data.base[:, 1:], data.z]),
            names=[*data.base_names[1:], *data.z_names],
            errors=kind,
            labels=Labels(outcome=name, outcome_unit="", sample=words.sample),
        )
        for column, name in zip(data.d.T, data.d_names, strict=True)
    )
    return SeveralIvFit(
        fit=fit,
        ols=ols(data.y, data.design[:, 1:], names=list(terms[1:]), errors=kind, labels=words),
        first_stages=first_stages,
        conditional_f=conditional,
        cragg_donald=_cragg_donald(data),
        tests=(
            *strengths,
            _anderson_rubin(data, kind),
            over_identification_test(data.y, data.design, data.all_instruments, kind),
        ),
    )


def _check(outcome: npt.ArrayLike, regressors: SeveralRegressors, words: Labels) -> _Columns:
    y = vector(outcome, words.outcome)
    parts = {
        "endogenous": (regressors.endogenous, regressors.names),
        "instrument": (regressors.instruments, regressors.instrument_names),
        "control": (regressors.controls, regressors.control_names),
    }
    columns, names = {}, {}
    for kind, (given, called) in parts.items():
        values = np.empty((y.size, 0)) if given is None else floats(given, f"{kind} columns")
        values = values[:, None] if values.ndim == 1 else values
        count = values.shape[1] if values.ndim == 2 else 0
        names[kind] = tuple(called) or tuple(f"{kind} {i + 1}" for i in range(count))
        columns[kind] = matrix(values, names[kind], y.size, f"{kind} columns")
        for position, name in enumerate(names[kind]):
            check_moves(columns[kind][:, position], name)
    n_endogenous, n_instruments = columns["endogenous"].shape[1], columns["instrument"].shape[1]
    if not 1 <= n_endogenous <= n_instruments:
        raise ParameterError(
            f"{n_instruments} instruments for {n_endogenous} endogenous regressors; expected at "
            f"least one regressor and as many instruments. Add instruments or drop regressors."
        )
    base = np.column_stack([np.ones(y.size), columns["control"]])
    base_names = ("constant", *names["control"])
    for kind in ("instrument", "endogenous"):
        check_independent(
            np.column_stack([base, columns[kind]]), (*base_names, *names[kind]), f"{kind} columns"
        )
    return _Columns(
        y=y,
        base=base,
        d=columns["endogenous"],
        z=columns["instrument"],
        base_names=base_names,
        d_names=names["endogenous"],
        z_names=names["instrument"],
    )


def _two_stage(data: _Columns, kind: ErrorKind) -> tuple[FloatArray, FloatArray]:
    # Columns of unit size: a pseudo-inverse would drop a return beside a flow in base units.
    unit = column_lengths(data.design)
    design = data.design / unit
    fitted = data.all_instruments @ least_squares(data.all_instruments, design)
    bread = np.linalg.pinv(fitted.T @ fitted)
    if np.linalg.matrix_rank(fitted) < fitted.shape[1]:
        raise DataError(
            f"The instruments {', '.join(data.z_names)} move the endogenous regressors "
            f"{', '.join(data.d_names)} along fewer directions than there are regressors. "
            f"Expected one each. Use other instruments."
        )
    estimate = bread @ (fitted.T @ data.y)
    cov = bread @ score_meat(fitted, data.y - design @ estimate, kind) @ bread
    return estimate / unit, cov / np.outer(unit, unit)


def _underidentified(data: _Columns, position: int, kind: ErrorKind) -> HypothesisTest:
    """Do the instruments move one endogenous regressor apart from the others? Chi-squared."""
    z, _ = np.linalg.qr(residualised(data.z, data.base))
    d = residualised(data.d, data.base)
    moments = z.T @ d
    own, others = moments[:, position], np.delete(moments, position, axis=1)
    first = least_squares(others, own) if others.shape[1] else np.empty(0)
    left = d[:, position] - np.delete(d, position, axis=1) @ first
    weight = np.linalg.inv(score_meat(z, left - z @ (z.T @ left), kind))
    share = np.linalg.solve(others.T @ weight @ others, others.T @ weight @ own)
    gap = own - others @ share
    return HypothesisTest.of(
        f"under-identification of {data.d_names[position]}",
        float(gap @ weight @ gap),
        "the instruments do not move it apart from the other endogenous regressors",
        "chi2",
        (float(data.z.shape[1] - data.d.shape[1] + 1),),
    )


def _anderson_rubin(data: _Columns, kind: ErrorKind) -> HypothesisTest:
    test = anderson_rubin_test(data.y, data.d[:, 0], data.z, data.base, kind)
    null = "all slopes of the endogenous regressors are 0"
    return replace(test, name="Anderson-Rubin, joint", null=null)


def _cragg_donald(data: _Columns) -> float:
    """Smallest eigenvalue of the concentration of the first stage, over the instruments."""
    d, z = residualised(data.d, data.base), residualised(data.z, data.base)
    fitted = z @ least_squares(z, d)
    left = d - fitted
    n_free = d.shape[0] - data.all_instruments.shape[1]
    noise = np.linalg.cholesky(left.T @ left / n_free)
    inner = np.linalg.solve(noise, np.linalg.solve(noise, fitted.T @ fitted).T)
    n_instruments: int = z.shape[1]
    return float(np.linalg.eigvalsh(0.5 * (inner + inner.T))[0]) / n_instruments


def _warn_if_weak(conditional: tuple[float, ...], names: tuple[str, ...]) -> None:
    weak = [
        f"{name} ({value:.3g})"
        for name, value in zip(names, conditional, strict=True)
        if not value >= _STRONG_F
    ]
    if weak:
        text = (
            f"Conditional first-stage F below {_STRONG_F:g} for {', '.join(weak)}; 2SLS may be "
            f"biased and its t-ratios mislead. Read the joint Anderson-Rubin test."
        )
        warnings.warn(text, WeakInstrumentWarning, stacklevel=3)
