"""Inference that survives weak instruments: effective F, Anderson–Rubin, tF, Hausman, J."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cascadelab.display import Summary
from cascadelab.errors import DataError
from cascadelab.estimate.checks import column_lengths
from cascadelab.estimate.covariance import ErrorKind, least_squares, score_meat
from cascadelab.estimate.hypothesis import HypothesisTest, invalid_test, wald_test
from cascadelab.estimate.record import Record
from cascadelab.estimate.sets import ConfidenceSet, set_below
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "EffectiveF",
    "anderson_rubin_set",
    "anderson_rubin_test",
    "control_function_test",
    "effective_f",
    "over_identification_test",
    "residualised",
    "tf_critical_value",
    "tf_interval",
]

#: Lee, McCrary, Moreira and Porter (2022), table 3a: first-stage F and the factor by which the
#: 5 % critical value 1.96 grows. Values between are interpolated in 1/F.
_TF_F_TEXT = """
4.000 4.008 4.015 4.023 4.031 4.040 4.049 4.059 4.068 4.079
4.090 4.101 4.113 4.125 4.138 4.151 4.166 4.180 4.196 4.212
4.229 4.247 4.265 4.285 4.305 4.326 4.349 4.372 4.396 4.422
4.449 4.477 4.507 4.538 4.570 4.604 4.640 4.678 4.717 4.759
4.803 4.849 4.897 4.948 5.002 5.059 5.119 5.182 5.248 5.319
5.393 5.472 5.556 5.644 5.738 5.838 5.944 6.056 6.176 6.304
6.440 6.585 6.741 6.907 7.085 7.276 7.482 7.702 7.940 8.196
8.473 8.773 9.098 9.451 9.835 10.253 10.711 11.214 11.766 12.374
13.048 13.796 14.631 15.566 16.618 17.810 19.167 20.721 22.516 24.605
27.058 29.967 33.457 37.699 42.930 49.495 57.902 68.930 83.823 104.67
"""
_TF_FACTOR_TEXT = """
9.519 9.305 9.095 8.891 8.691 8.495 8.304 8.117 7.934 7.756
7.581 7.411 7.244 7.081 6.922 6.766 6.614 6.465 6.319 6.177
6.038 5.902 5.770 5.640 5.513 5.389 5.268 5.149 5.033 4.920
4.809 4.701 4.595 4.492 4.391 4.292 4.195 4.101 4.009 3.919
3.830 3.744 3.660 3.578 3.497 3.418 3.341 3.266 3.193 3.121
3.051 2.982 2.915 2.849 2.785 2.723 2.661 2.602 2.543 2.486
2.430 2.375 2.322 2.270 2.218 2.169 2.120 2.072 2.025 1.980
1.935 1.892 1.849 1.808 1.767 1.727 1.688 1.650 1.613 1.577
1.542 1.507 1.473 1.440 1.407 1.376 1.345 1.315 1.285 1.256
1.228 1.200 1.173 1.147 1.121 1.096 1.071 1.047 1.024 1.000
"""
_TF_F = np.array([float(word) for word in _TF_F_TEXT.split()])
_TF_FACTOR = np.array([float(word) for word in _TF_FACTOR_TEXT.split()])
_NORMAL_95 = 1.959963984540054


def residualised(values: FloatArray, controls: FloatArray) -> FloatArray:
    """Residuals of `values` (vector or columns) after least squares on `controls`."""
    return np.asarray(values - controls @ least_squares(controls, values))


@dataclass(frozen=True, kw_only=True, eq=False)
class EffectiveF(Record):
    """Effective first-stage F of Montiel Olea and Pflueger (2013).

    Parameters
    ----------
    statistic : float
    critical_value : float
        5 % critical value for a bias of at most `worst_bias` of the worst case.
    worst_bias : float
        Fraction.
    n_instruments : int
    """

    statistic: float
    critical_value: float
    worst_bias: float
    n_instruments: int

    @property
    def is_weak(self) -> bool:
        """Whether the null of weak instruments is not rejected."""
        return self.statistic < self.critical_value

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the effective F against its critical value."""
        import polars as pl

        from cascadelab.charts.checks import limit_chart, words_chart

        verdict = "weak" if self.is_weak else "strong enough"
        title = f"Effective first-stage F: the instruments are {verdict}"
        if math.isnan(self.statistic) or math.isnan(self.critical_value):
            return words_chart("Effective first-stage F: no verdict", "A value is not available.")
        count = f"{self.n_instruments} instrument" + ("s" if self.n_instruments != 1 else "")
        row = {"measure": "effective F [1]", "value": self.statistic, "limit": self.critical_value}
        frame = pl.DataFrame([row | {"limit_name": "5 % critical value"}])
        words = f"Null: bias above {self.worst_bias:.0%} of the worst; {count}"
        return limit_chart(frame, title=title, words=words)

    def summary(self) -> Summary:
        """Return statistic, critical value and verdict."""
        rows: list[tuple[str, object]] = [
            ("effective F", self.statistic),
            (f"5 % critical value (bias above {self.worst_bias:g})", self.critical_value),
            ("instruments", self.n_instruments),
            ("weak", self.is_weak),
        ]
        note = "Null: the instruments are weak, so that 2SLS may be biased by more than stated."
        return Summary(title="Effective first-stage F", rows=rows, notes=[note])


def effective_f(
    endogenous: FloatArray,
    instruments: FloatArray,
    controls: FloatArray,
    kind: ErrorKind,
    worst_bias: float = 0.1,
) -> EffectiveF:
    r"""Effective first-stage F for one endogenous regressor.

    Parameters
    ----------
    endogenous : ndarray of shape (n,)
    instruments : ndarray of shape (n, K)
        Excluded instruments.
    controls : ndarray of shape (n, c)
        With the constant.
    kind : Hac, Robust or Clustered
    worst_bias : float
        Tolerated share of the worst-case bias, in (0, 1).

    Notes
    -----
    With instruments made orthonormal after the controls,
    :math:`F = \hat\pi'\hat\pi / \mathrm{tr}(\hat V)`, V the robust covariance of
    :math:`\hat\pi`. With one instrument it is the squared robust t-ratio. The critical value
    is the conservative one of Montiel Olea and Pflueger (2013), section 4 (23.1 for one
    instrument and a bias of 10 %).
    """
    from scipy import stats

    z = residualised(instruments, controls)
    orthonormal, _ = np.linalg.qr(z)
    target = residualised(endogenous, controls)
    slope = orthonormal.T @ target
    left = target - orthonormal @ slope
    meat = score_meat(orthonormal, left, kind, controls.shape[1])
    _check_definite(meat, "effective first-stage F")
    trace = float(np.trace(meat))
    ceiling, share = 1.0 / worst_bias, float(np.linalg.eigvalsh(meat)[-1]) / trace
    square = float(np.trace(meat @ meat)) / trace**2
    freedom = (1.0 + 2.0 * ceiling) / (square + 2.0 * ceiling * share)
    critical = float(stats.ncx2.ppf(0.95, freedom, freedom * ceiling)) / freedom
    return EffectiveF(
        statistic=float(slope @ slope) / trace,
        critical_value=critical,
        worst_bias=worst_bias,
        n_instruments=z.shape[1],
    )


def _reduced(
    outcome: FloatArray,
    endogenous: FloatArray,
    instruments: FloatArray,
    controls: FloatArray,
    kind: ErrorKind,
) -> tuple[float, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Pivot slope, moments of y - pivot d and of d, and the three blocks of their covariance.

    The scores take outcome and regressor themselves, not their residuals on the instruments: at
    the slope of the null, y - beta d is the error. Fitted residuals are too small by as many
    directions as there are instruments, which clusters multiply (coverage 0.90 in place of 0.95
    at 60 clusters and three instruments). The pivot lies near the answer, so that the error is
    never the small difference of two large variances.
    """
    orthonormal, _ = np.linalg.qr(residualised(instruments, controls))
    y, d = residualised(outcome, controls), residualised(endogenous, controls)
    taken, pi = controls.shape[1], orthonormal.T @ d
    pivot = float(pi @ (orthonormal.T @ y)) / float(pi @ pi)
    y = y - pivot * d
    v_yy = score_meat(orthonormal, y, kind, taken)
    v_dd = score_meat(orthonormal, d, kind, taken)
    # By polarisation, at equal sizes: return and flow may be many powers of ten apart.
    ratio = math.sqrt(abs(float(np.trace(v_yy)) / float(np.trace(v_dd) or 1.0))) or 1.0
    both = score_meat(orthonormal, y / ratio + d, kind, taken)
    cross = 0.5 * ratio * (both - v_yy / ratio**2 - v_dd)
    return pivot, orthonormal.T @ y, pi, v_yy, cross, v_dd


def _check_definite(cov: FloatArray, what: str) -> None:
    """Raise unless one covariance (or each of several) is positive; two-way ones may not be."""
    ends = np.linalg.eigvalsh(cov)[..., [0, -1]]
    if not (np.isfinite(ends).all() and (ends[..., 0] >= -1e-8 * np.abs(ends[..., 1])).all()):
        raise DataError(
            f"{what}: the covariance is not positive ({float(ends[..., 0].min()):.3g}), as happens "
            f"with few clusters each way. Expected more clusters. Cluster one way."
        )


def _is_short_of_clusters(cov: FloatArray) -> bool:
    """Whether a covariance has no full rank: with fewer clusters than columns its inverse is noise.

    A two-way cluster covariance may also be indefinite.
    """
    size = np.sqrt(np.abs(np.diag(cov)))
    size = np.where(size > 0, size, 1.0)
    return bool(np.linalg.eigvalsh(cov / np.outer(size, size))[0] < 1e-10)


def anderson_rubin_test(
    outcome: FloatArray,
    endogenous: FloatArray,
    instruments: FloatArray,
    controls: FloatArray,
    kind: ErrorKind,
    value: float = 0.0,
) -> HypothesisTest:
    """Anderson–Rubin test that the slope is `value`; valid however weak the instruments."""
    orthonormal, _ = np.linalg.qr(residualised(instruments, controls))
    error = residualised(outcome - value * endogenous, controls)
    gap, cov = orthonormal.T @ error, score_meat(orthonormal, error, kind, controls.shape[1])
    name, null = "Anderson-Rubin", f"the slope is {value:g}"
    if _is_short_of_clusters(cov):
        return invalid_test(name, null, "the covariance has no full rank (too few clusters)")
    statistic = float(gap @ np.linalg.solve(cov, gap))
    return HypothesisTest.of(name, statistic, null, "chi2", (float(gap.size),))


def anderson_rubin_set(
    outcome: FloatArray,
    endogenous: FloatArray,
    instruments: FloatArray,
    controls: FloatArray,
    kind: ErrorKind,
    level: float = 0.95,
) -> ConfidenceSet:
    r"""All slopes that the Anderson–Rubin test does not reject.

    Parameters
    ----------
    outcome, endogenous : ndarray of shape (n,)
    instruments : ndarray of shape (n, K)
    controls : ndarray of shape (n, c)
        With the constant.
    kind : Hac, Robust or Clustered
    level : float

    Returns
    -------
    ConfidenceSet
        Unbounded or disjoint when the first stage is not significant, by the same test of the
        regressor as outcome; empty when the over-identifying restrictions fail.

    Notes
    -----
    With reduced form :math:`\gamma`, first stage :math:`\pi` and the covariance of both,
    :math:`AR(\beta) = (\gamma-\beta\pi)' V(\beta)^{-1} (\gamma-\beta\pi)` and
    :math:`V(\beta) = V_{yy} - \beta (C + C') + \beta^2 V_{dd}`. One instrument gives a quadratic
    inequality, solved exactly; more are solved on the whole line by root finding. The
    covariance is that under the null: its scores take :math:`y - \beta d` after the controls, not
    residuals on the instruments (a score test; the fitted ones cover too rarely).

    Raises
    ------
    DataError
        A clustered covariance has no full rank, or (two-way) is not positive.
    """
    from scipy import stats

    pivot, gamma, pi, v_yy, cross, v_dd = _reduced(outcome, endogenous, instruments, controls, kind)
    limit = float(stats.chi2.ppf(level, gamma.size))
    name = "Anderson-Rubin set"
    if gamma.size > 1 and (_is_short_of_clusters(v_yy) or _is_short_of_clusters(v_dd)):
        raise DataError(
            f"{name}: the clustered covariance of {gamma.size} instruments has no full rank. "
            f"Expected more clusters than instruments. Use fewer instruments or HAC errors."
        )
    if gamma.size == 1:
        _check_definite(np.block([[v_yy, cross], [cross, v_dd]]), name)
        a = float(pi[0] ** 2 - limit * v_dd[0, 0])
        b = float(-2.0 * (gamma[0] * pi[0] - limit * cross[0, 0]))
        c = float(gamma[0] ** 2 - limit * v_yy[0, 0])
        below = _quadratic_below(a, b, c)
        return ConfidenceSet(name=name, level=level, intervals=_moved(below, pivot))

    def gap(slopes: FloatArray) -> FloatArray:
        delta = gamma[None, :] - slopes[:, None] * pi[None, :]
        cov = v_yy - slopes[:, None, None] * (2.0 * cross) + slopes[:, None, None] ** 2 * v_dd
        _check_definite(cov, name)
        solved = np.linalg.solve(cov, delta[..., None])[..., 0]
        return np.asarray(np.einsum("ij,ij->i", delta, solved) - limit)

    weight = np.linalg.solve(v_dd, pi)
    strength = float(pi @ weight)
    centre = float(gamma @ weight) / strength
    scale = math.sqrt(float(np.trace(v_yy)) / float(pi @ pi)) + abs(centre) * 0.1
    below = set_below(gap, centre=centre, scale=scale)
    return ConfidenceSet(name=name, level=level, intervals=_moved(below, pivot))


def _moved(
    intervals: tuple[tuple[float, float], ...], by: float
) -> tuple[tuple[float, float], ...]:
    return tuple((low + by, high + by) for low, high in intervals)


def _quadratic_below(a: float, b: float, c: float) -> tuple[tuple[float, float], ...]:
    """Intervals on which a x² + b x + c <= 0."""
    if a == 0.0:
        if b == 0.0:
            return ((-math.inf, math.inf),) if c <= 0 else ()
        return ((-math.inf, -c / b),) if b > 0 else ((-c / b, math.inf),)
    discriminant = b * b - 4.0 * a * c
    if discriminant < 0:
        return () if a > 0 else ((-math.inf, math.inf),)
    far = -0.5 * (b + math.copysign(math.sqrt(discriminant), b))
    roots = sorted((far / a, c / far) if far != 0 else (0.0, 0.0))
    if a > 0:
        return ((roots[0], roots[1]),)
    return ((-math.inf, roots[0]), (roots[1], math.inf))


def tf_critical_value(first_stage_f: float) -> float:
    """Critical value of the 5 % tF test for one instrument; infinite for F of 4 or less.

    Parameters
    ----------
    first_stage_f : float
        Robust first-stage F of the single instrument.

    Notes
    -----
    Lee, McCrary, Moreira and Porter (2022), table 3a; 1.96 from F = 104.67 on.

    Examples
    --------
    >>> round(tf_critical_value(10.0), 2), tf_critical_value(3.0)
    (3.43, inf)
    """
    if not first_stage_f >= _TF_F[0]:
        return math.inf
    inverse = -1.0 / _TF_F
    return _NORMAL_95 * float(np.interp(-1.0 / first_stage_f, inverse, _TF_FACTOR))


def tf_interval(estimate: float, std_error: float, first_stage_f: float) -> ConfidenceSet:
    """95 % interval of the tF procedure; the whole line for F of 4 or less."""
    half = tf_critical_value(first_stage_f) * std_error
    return ConfidenceSet(
        name="tF interval", level=0.95, intervals=((estimate - half, estimate + half),)
    )


def control_function_test(
    outcome: FloatArray,
    design: FloatArray,
    endogenous: FloatArray,
    instruments: FloatArray,
    kind: ErrorKind,
) -> HypothesisTest:
    """Hausman test by control function: OLS with the first-stage residuals added.

    Parameters
    ----------
    outcome : ndarray of shape (n,)
    design : ndarray of shape (n, k)
        Constant, controls and endogenous regressors.
    endogenous : ndarray of shape (n, m)
    instruments : ndarray of shape (n, l)
        Constant, controls and excluded instruments.
    kind : Hac, Robust or Clustered

    Returns
    -------
    HypothesisTest
        chi-squared with m degrees of freedom; null: OLS is consistent.
    """
    left = residualised(endogenous, instruments).reshape(outcome.size, -1)
    taken = endogenous.reshape(outcome.size, -1)
    if (column_lengths(left) <= 1e-10 * column_lengths(taken)).any():
        raise DataError(
            "The instruments reproduce the endogenous regressor exactly. Expected a first stage "
            "with residuals. Use instruments that differ from it."
        )
    full = np.column_stack([design, left])
    full = full / column_lengths(full)
    bread = np.linalg.inv(full.T @ full)
    estimate = bread @ (full.T @ outcome)
    cov = bread @ score_meat(full, outcome - full @ estimate, kind) @ bread
    restriction = np.eye(estimate.size)[-left.shape[1] :]
    null = "OLS is consistent: the first-stage residual does not enter"
    return wald_test(estimate, cov, restriction, "Hausman (control function)", null)


def over_identification_test(
    outcome: FloatArray, design: FloatArray, instruments: FloatArray, kind: ErrorKind
) -> HypothesisTest:
    """Hansen's J of two-step GMM; null: all instruments are valid.

    Just-identified models, and fewer clusters than moments, return an object that says why there
    is no test.
    """
    name, null = "over-identification J", "all instruments are uncorrelated with the error"
    surplus = instruments.shape[1] - design.shape[1]
    if surplus == 0:
        return invalid_test(name, null, "as many instruments as endogenous regressors")
    design, instruments = design / column_lengths(design), instruments / column_lengths(instruments)
    fitted = instruments @ least_squares(instruments, design)
    two_stage = least_squares(fitted, outcome)
    meat = score_meat(instruments, outcome - design @ two_stage, kind)
    if _is_short_of_clusters(meat):
        return invalid_test(name, null, "the covariance has no full rank (too few clusters)")
    weight = np.linalg.inv(meat)
    zx, zy = instruments.T @ design, instruments.T @ outcome
    step_two = np.linalg.solve(zx.T @ weight @ zx, zx.T @ weight @ zy)
    moment = zy - zx @ step_two
    statistic = float(moment @ weight @ moment)
    return HypothesisTest.of(name, statistic, null, "chi2", (float(surplus),))
