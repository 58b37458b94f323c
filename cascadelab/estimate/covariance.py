"""Error kinds of regressions and the sums they need: HAC at a cost that ignores the lag count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.warn import warn_few_clusters, warn_long_lag
from cascadelab.units import FloatArray

__all__ = [
    "Clustered",
    "ErrorKind",
    "Hac",
    "Robust",
    "bartlett_meat",
    "bartlett_meat_by_lags",
    "error_kind",
    "label_codes",
    "least_squares",
    "newey_west_lags",
    "row_error_kind",
    "score_meat",
]

#: Rows whose scores are held at once: they stay in the processor's cache.
_BLOCK = 8192


def label_codes(labels: npt.ArrayLike, what: str, n_obs: int) -> npt.NDArray[np.int64]:
    """Integer codes of labels of any type, shape (n_obs,).

    Raises
    ------
    DataError
        There is not one label per row, one is missing (None, NaN or NaT), or labels of several
        types cannot be ordered.
    """
    values = np.asarray(labels)
    if values.shape != (n_obs,):
        raise DataError(
            f"{what}: labels of shape {values.shape}. Expected ({n_obs},), one label per row. "
            f"Align them."
        )
    is_missing = np.zeros(values.shape, dtype=bool)
    if values.dtype.kind in "fmM":
        is_missing = np.isnan(values)
    elif values.dtype.kind == "O":
        is_missing = np.array([item is None or item != item for item in values.ravel()], dtype=bool)
    if is_missing.any():
        row = int(is_missing.argmax())
        raise DataError(
            f"{what} of row {row} is {values[row]}. Expected a label. Drop such rows or name them."
        )
    try:
        return np.unique(values, return_inverse=True)[1].astype(np.int64)
    except TypeError:
        raise DataError(
            f"{what}: labels of several types. Expected labels of one type. Convert them."
        ) from None


def newey_west_lags(n_obs: int, horizon: int = 0) -> int:
    r"""Lag count of the Newey–West rule, at least ``horizon + 1`` for overlapping outcomes.

    Parameters
    ----------
    n_obs : int
        Observations.
    horizon : int
        Bars the outcome runs ahead; 0 for one-bar returns.

    Notes
    -----
    :math:`L = \lfloor 4 (n/100)^{2/9} \rfloor`, Newey and West (1994), and :math:`L \ge h+1`
    for a horizon h > 0.

    Examples
    --------
    >>> newey_west_lags(4000), newey_west_lags(100, horizon=10)
    (9, 11)
    """
    rule = int(np.floor(4.0 * (n_obs / 100.0) ** (2.0 / 9.0)))
    return max(rule, horizon + 1) if horizon else rule


@dataclass(frozen=True, kw_only=True, slots=True)
class Hac:
    """Newey–West errors: Bartlett kernel, no small-sample correction.

    Parameters
    ----------
    n_lags : int or None
        Lags; None takes :func:`newey_west_lags`.
    """

    n_lags: int | None = None

    def __post_init__(self) -> None:
        given = self.n_lags
        is_number = isinstance(given, int | float | np.integer) and not isinstance(given, bool)
        if given is not None and not (is_number and given >= 0 and given % 1 == 0):
            raise ParameterError.out_of_range(self, "n_lags", "an integer of at least 0")

    def lags(self, n_obs: int) -> int:
        """Lag count for `n_obs` rows; warns when it is more than a tenth of them."""
        count = newey_west_lags(n_obs) if self.n_lags is None else int(self.n_lags)
        if count >= n_obs:
            raise ParameterError(
                f"n_lags is {count} on {n_obs} rows; expected fewer lags than rows. Use fewer lags."
            )
        warn_long_lag(count, n_obs)
        return count

    def df_resid(self, n_obs: int) -> float | None:
        """None: ratios are compared with the normal distribution."""
        return None

    def words(self, n_obs: int) -> str:
        """Covariance estimator in words, with the lag rule."""
        rule = "Newey-West rule 4(n/100)^(2/9)" if self.n_lags is None else "chosen"
        count = newey_west_lags(n_obs) if self.n_lags is None else int(self.n_lags)
        return f"HAC, Bartlett kernel, {count} lags ({rule})"

    def statsmodels_options(self, n_obs: int) -> dict[str, Any]:
        """Return the arguments of ``OLS.fit``."""
        return {"cov_type": "HAC", "cov_kwds": {"maxlags": self.lags(n_obs)}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Robust:
    """Heteroskedasticity-robust errors, HC1."""

    def df_resid(self, n_obs: int) -> float | None:
        """None: ratios are compared with the normal distribution."""
        return None

    def words(self, n_obs: int) -> str:
        """Covariance estimator in words."""
        return "heteroskedasticity-robust (HC1)"

    def statsmodels_options(self, n_obs: int) -> dict[str, Any]:
        """Return the arguments of ``OLS.fit``."""
        return {"cov_type": "HC1"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Clustered:
    """Cluster-robust errors, one-way or two-way, with statsmodels' small-sample correction.

    Ratios are compared with Student's t with one degree of freedom less than clusters (Cameron and
    Miller 2015, doi:10.3368/jhr.50.2.317): normal intervals held the truth in 0.86 of samples of 10
    clusters.

    Parameters
    ----------
    groups : array_like of shape (n,) or (n, 2)
        Cluster labels of any type; two columns give two-way clustering.
    """

    groups: npt.ArrayLike

    def codes(self, n_obs: int) -> npt.NDArray[np.int64]:
        """Integer labels, shape (n,) or (n, 2)."""
        labels = np.asarray(self.groups)
        if labels.shape not in ((n_obs,), (n_obs, 1), (n_obs, 2)):
            raise DataError(
                f"Clusters have shape {labels.shape}. Expected ({n_obs},) or ({n_obs}, 2). "
                f"Give one or two labels per row."
            )
        coded = [label_codes(part, "Cluster label", n_obs) for part in labels.reshape(n_obs, -1).T]
        return coded[0] if len(coded) == 1 else np.column_stack(coded)

    def counts(self, n_obs: int) -> list[int]:
        """Clusters in each direction."""
        codes = self.codes(n_obs).reshape(n_obs, -1)
        return [int(column.max()) + 1 for column in codes.T]

    def df_resid(self, n_obs: int) -> float | None:
        """Clusters in the direction that has fewest, less one."""
        return float(min(self.counts(n_obs)) - 1)

    def words(self, n_obs: int) -> str:
        """Covariance estimator in words, with the cluster counts."""
        counts = self.counts(n_obs)
        way = "two-way " if len(counts) == 2 else ""
        return f"{way}cluster-robust, {' x '.join(map(str, counts))} clusters"

    def statsmodels_options(self, n_obs: int) -> dict[str, Any]:
        r"""Return the arguments of ``OLS.fit``; warns below 30 clusters, or as good as below.

        G clusters of unequal sizes :math:`n_g` weigh as
        :math:`(\sum n_g)^2 / \sum n_g^2` equal ones.
        """
        codes = self.codes(n_obs)
        sizes = [np.bincount(column) for column in codes.reshape(n_obs, -1).T]
        if min(size.size for size in sizes) < 2:
            raise DataError("One cluster only. Expected at least two. Use HAC errors instead.")
        worth = [float(n_obs) ** 2 / float(size @ size) for size in sizes]
        fewest = int(np.argmin(worth))
        warn_few_clusters(sizes[fewest].size, worth[fewest])
        return {"cov_type": "cluster", "cov_kwds": {"groups": codes}}


ErrorKind = Hac | Robust | Clustered


def error_kind(errors: ErrorKind | None) -> ErrorKind:
    """Error kind asked for, ``Hac()`` by default.

    Raises
    ------
    ParameterError
        It is none of the three, such as a word of another library.
    """
    if errors is None:
        return Hac()
    if not isinstance(errors, ErrorKind):
        raise ParameterError(
            f"errors is {errors!r}; expected Hac(), Robust() or Clustered(groups=...). Pass one."
        )
    return errors


def row_error_kind(errors: Hac | Robust | None) -> Hac | Robust:
    """Error kind of estimators without clusters, ``Hac()`` by default."""
    kind = error_kind(errors)
    if isinstance(kind, Clustered):
        raise ParameterError(
            "errors is Clustered; expected Hac() or Robust() for this estimator. Pass one, or "
            "bootstrap whole clusters."
        )
    return kind


def bartlett_meat(regressors: FloatArray, residual: FloatArray, n_lags: int) -> FloatArray:
    r"""Sum of weighted autocovariances of the scores, shape (k, k), in one pass.

    Parameters
    ----------
    regressors : ndarray of shape (n, k)
    residual : ndarray of shape (n,)
    n_lags : int
        Bartlett lags L.

    Returns
    -------
    ndarray of shape (k, k)
        :math:`\Gamma_0 + \sum_{l=1}^{L} (1-\tfrac{l}{L+1})(\Gamma_l + \Gamma_l')`, with
        :math:`\Gamma_l = \sum_t s_t s_{t-l}'` and :math:`s_t = x_t u_t`.

    Notes
    -----
    The Bartlett kernel is a box convolved with itself, so that the sum equals
    :math:`B'B/(L+1)`, where the rows of B are the n + L moving sums of L + 1 scores, zeros
    outside the sample. The cost does not depend on L. :func:`bartlett_meat_by_lags` is the
    readable twin.
    """
    n_rows, n_columns = regressors.shape
    width = n_lags + 1
    total = np.zeros((n_columns, n_columns))
    tail = np.zeros((width, n_columns))
    running = np.zeros(n_columns)
    for start in range(0, n_rows + n_lags, _BLOCK):
        stop = min(start + _BLOCK, n_rows + n_lags)
        inside = min(stop, n_rows)
        scores = np.zeros((stop - start, n_columns))
        if inside > start:
            part = slice(start, inside)
            np.multiply(regressors[part], residual[part, None], out=scores[: inside - start])
        joined = np.concatenate([tail, scores])
        moving = scores - joined[: stop - start]
        moving[0] += running
        np.cumsum(moving, axis=0, out=moving)
        running = moving[-1].copy()
        total += moving.T @ moving
        tail = joined[stop - start :]
    return total / width


def bartlett_meat_by_lags(regressors: FloatArray, residual: FloatArray, n_lags: int) -> FloatArray:
    """Return the same sum lag by lag: the slow, readable twin of :func:`bartlett_meat`."""
    scores = regressors * residual[:, None]
    total = scores.T @ scores
    for lag in range(1, n_lags + 1):
        gamma = scores[lag:].T @ scores[:-lag]
        total = total + (1.0 - lag / (n_lags + 1.0)) * (gamma + gamma.T)
    return np.asarray(total)


def least_squares(regressors: FloatArray, targets: FloatArray) -> FloatArray:
    """Least-squares coefficients of one or several targets on the same regressors.

    Parameters
    ----------
    regressors : ndarray of shape (n, k)
        Full rank.
    targets : ndarray of shape (n,) or (n, m)

    Returns
    -------
    ndarray of shape (k,) or (k, m)

    Notes
    -----
    Cross-products of scaled columns with one step of refinement; a singular-value solution where
    they are badly conditioned.
    """
    gram = regressors.T @ regressors
    scale = np.sqrt(np.diag(gram))
    if (scale == 0).any() or np.linalg.cond(gram / np.outer(scale, scale)) > 1e8:
        return np.asarray(np.linalg.lstsq(regressors, targets, rcond=None)[0])
    inverse = np.linalg.inv(gram / np.outer(scale, scale)) / np.outer(scale, scale)
    solution = inverse @ (regressors.T @ targets)
    solution = solution + inverse @ (regressors.T @ (targets - regressors @ solution))
    return np.asarray(solution)


def score_meat(
    regressors: FloatArray, residual: FloatArray, kind: ErrorKind, n_partialled: int = 0
) -> FloatArray:
    """Middle matrix of the sandwich for any error kind, small-sample factors as statsmodels'.

    Parameters
    ----------
    regressors : ndarray of shape (n, k)
        Whatever multiplies the residual in the scores: regressors, fitted regressors, Jacobian.
    residual : ndarray of shape (n,)
    kind : Hac, Robust or Clustered
    n_partialled : int
        Controls already taken out of regressors and residual; they count as parameters.

    Returns
    -------
    ndarray of shape (k, k)
    """
    n_rows, n_parameters = regressors.shape[0], regressors.shape[1] + n_partialled
    if isinstance(kind, Hac):
        return bartlett_meat(regressors, residual, kind.lags(n_rows))
    if isinstance(kind, Robust):
        return np.asarray(bartlett_meat(regressors, residual, 0) * n_rows / (n_rows - n_parameters))
    kind.statsmodels_options(n_rows)
    codes = kind.codes(n_rows).reshape(n_rows, -1)
    scores = regressors * residual[:, None]
    total = sum(_cluster_meat(scores, column, n_parameters) for column in codes.T)
    if codes.shape[1] == 2:
        crossed = codes[:, 0] * (codes[:, 1].max() + 1) + codes[:, 1]
        joint = np.unique(crossed, return_inverse=True)[1]
        total = total - _cluster_meat(scores, joint, n_parameters)
    return np.asarray(total)


def _cluster_meat(
    scores: FloatArray, codes: npt.NDArray[np.int64], n_parameters: int
) -> FloatArray:
    n_rows, n_columns = scores.shape
    n_groups = int(codes.max()) + 1
    sums = np.zeros((n_groups, n_columns))
    np.add.at(sums, codes, scores)
    factor = n_groups / (n_groups - 1.0) * (n_rows - 1.0) / (n_rows - n_parameters)
    return np.asarray(factor * (sums.T @ sums))
