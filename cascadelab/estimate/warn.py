"""Errors and warnings of estimation: one class for each way the numbers can fail."""

from __future__ import annotations

import warnings

from cascadelab.errors import CascadelabError, DataError, ParameterError

__all__ = [
    "CollinearError",
    "ConstantRegressorError",
    "EstimateWarning",
    "FewClustersWarning",
    "LongLagWarning",
    "LookAheadError",
    "NaiveGainError",
    "NegativeVarianceWarning",
    "NonFiniteError",
    "SelectionError",
    "TiedEventsWarning",
    "WeakInstrumentWarning",
    "warn_few_clusters",
    "warn_long_lag",
    "warn_negative_variance",
]


class CollinearError(DataError):
    """Columns are linearly dependent: their coefficients are not defined. Drop one of them."""

    @classmethod
    def of(cls, what: str, names: tuple[str, ...], column: str) -> CollinearError:
        """Name the first column that the earlier ones reproduce."""
        return cls(
            f"{what}: column {column!r} is a linear combination of the others "
            f"({', '.join(name for name in names if name != column)}). "
            f"Expected linearly independent columns. Drop {column!r}."
        )


class ConstantRegressorError(DataError):
    """A regressor never moves: its slope is not identified beside the constant."""

    @classmethod
    def of(cls, name: str, value: float) -> ConstantRegressorError:
        """Name the column and its only value."""
        return cls(
            f"{name!r} is constant ({value:g} in every row). Expected a variable that moves. "
            f"Use a longer sample or check the units of {name!r}."
        )


class NonFiniteError(DataError):
    """A row holds NaN or infinity; rows are never dropped silently."""

    @classmethod
    def of(cls, name: str, row: int, value: float, n_bad: int) -> NonFiniteError:
        """Name the column and the first bad row, counted from 0."""
        more = f" ({n_bad} such rows)" if n_bad > 1 else ""
        return cls(
            f"{name!r}, row {row} is {value}{more}. Expected finite numbers in every row. "
            f"Drop the rows on purpose, and say so in the sample note."
        )


class LookAheadError(DataError):
    """An exposure was measured at or after the start of the outcome it shall explain."""


class SelectionError(ParameterError):
    """The estimator would select rows on the outcome (log–log impact); it is refused."""


class NaiveGainError(CascadelabError, ValueError):
    """The product of two OLS slopes is an R², not a loop gain; it is refused."""


class EstimateWarning(UserWarning):
    """A result is right but fragile."""


class FewClustersWarning(EstimateWarning):
    """Fewer than 30 clusters, or as good as: their errors are too small. Use the wild bootstrap."""


class LongLagWarning(EstimateWarning):
    """The HAC lag is longer than a tenth of the sample: errors are biased down."""


class NegativeVarianceWarning(EstimateWarning):
    """A two-way cluster variance came out below zero: the error is not available (NaN)."""


class TiedEventsWarning(EstimateWarning):
    """Events share time stamps: batches look like excitation. Use branching_report."""


class WeakInstrumentWarning(EstimateWarning):
    """The effective first-stage F is below 10: read the Anderson–Rubin set, not the t-ratio."""


def warn_few_clusters(n_clusters: int, worth: float, minimum: int = 30) -> None:
    """Warn when clusters are worth fewer than `minimum` clusters of equal size."""
    if worth < minimum:
        unequal = "" if worth > n_clusters - 1 else f" of sizes worth {worth:.0f} equal ones"
        text = (
            f"{n_clusters} clusters{unequal}; cluster-robust errors need about {minimum} and are "
            f"too small below. Report the wild-cluster bootstrap p-value (wild_cluster_test) "
            f"instead."
        )
        warnings.warn(text, FewClustersWarning, stacklevel=4)


def warn_long_lag(n_lags: int, n_obs: int) -> None:
    """Warn when the lag exceeds a tenth of the sample."""
    if n_lags > n_obs / 10:
        text = (
            f"{n_lags} HAC lags on {n_obs} rows is more than a tenth of the sample; errors are "
            f"biased down. Use fewer lags, or a block bootstrap."
        )
        warnings.warn(text, LongLagWarning, stacklevel=4)


def warn_negative_variance(terms: list[str], cov_type: str) -> None:
    """Warn when the variance of some terms is negative."""
    text = (
        f"The variance of {', '.join(terms)} is negative ({cov_type}); its error is not available. "
        f"Expected more clusters each way. Cluster one way, or use wild_cluster_test."
    )
    warnings.warn(text, NegativeVarianceWarning, stacklevel=5)
