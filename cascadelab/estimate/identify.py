"""Identified impact: one result type, the instrument designs S1 and S8, and the refused gain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import control_columns, floats, fraction, matrix, vector
from cascadelab.estimate.covariance import ErrorKind
from cascadelab.estimate.hypothesis import HypothesisTest, frame_of_tests
from cascadelab.estimate.iv import IvFit, IvLabels, fit_iv
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import FitResult
from cascadelab.estimate.sets import ConfidenceSet
from cascadelab.estimate.times import ExposureTimes, check_times
from cascadelab.estimate.warn import NaiveGainError
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "ExposureTimes",
    "IdentifiedEstimate",
    "exposure_shock",
    "exposure_within",
    "from_iv",
    "granular_instrument",
    "granular_iv",
    "naive_gain",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class IdentifiedEstimate(Record):
    """An estimate with its identifying assumption and what would kill it.

    Parameters
    ----------
    design : str
        Strategy, such as ``"S1 predetermined exposure x external shock"``.
    term : str
        The coefficient of interest, a term of `fit`.
    fit : FitResult
        Estimates, covariance, error kind and units.
    assumption : str
        Identifying assumption in words.
    exclusion : str
        Why the instrument has no direct effect here; empty for designs without instrument.
    kills : tuple of str
        What would refute the design.
    is_instrumental : bool
        Whether the print block must refuse an empty `exclusion`.
    comparison : FitResult or None
        OLS beside it.
    facts : tuple of (str, float or str)
    tests : tuple of HypothesisTest
    sets : tuple of ConfidenceSet
        Anderson–Rubin, tF.
    """

    design: str
    term: str
    fit: FitResult
    assumption: str
    exclusion: str = ""
    kills: tuple[str, ...] = ()
    is_instrumental: bool = False
    comparison: FitResult | None = None
    facts: tuple[tuple[str, float | str], ...] = ()
    tests: tuple[HypothesisTest, ...] = ()
    sets: tuple[ConfidenceSet, ...] = ()

    @property
    def estimate(self) -> float:
        """Point estimate of the coefficient of interest."""
        return self.fit.value(self.term)

    @property
    def std_error(self) -> float:
        """Its standard error."""
        return self.fit.error(self.term)

    @property
    def error_kind(self) -> str:
        """How the standard error was computed, in words."""
        return self.fit.cov_type

    @property
    def unit(self) -> str:
        """Unit of the coefficient."""
        return self.fit.units[self.fit.terms.index(self.term)]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the coefficient from its standard error."""
        return self.fit.interval(self.term, level)

    def test(self, name: str) -> HypothesisTest:
        """Return one of the diagnostics by name."""
        known = {test.name: test for test in self.tests}
        if name not in known:
            raise ParameterError.unknown("test", name, known)
        return known[name]

    def set(self, name: str) -> ConfidenceSet:
        """Return one of the confidence sets by name."""
        known = {item.name: item for item in self.sets}
        if name not in known:
            raise ParameterError.unknown("confidence set", name, known)
        return known[name]

    def fact(self, name: str) -> float | str:
        """Return one of the other numbers by name."""
        known = dict(self.facts)
        if name not in known:
            raise ParameterError.unknown("fact", name, known)
        return known[name]

    def to_frame(self) -> pl.DataFrame:
        """Return OLS beside the identified estimate: estimate, std_error, low, high, errors."""
        fits = [(self.design, self.fit)]
        if self.comparison is not None and self.term in self.comparison.terms:
            fits.insert(0, ("OLS", self.comparison))
        rows = []
        for label, fit in fits:
            low, high = fit.interval(self.term)
            position = fit.terms.index(self.term)
            values = (fit.value(self.term), fit.error(self.term), low, high)
            unit = fit.units[position] or self.unit
            rows.append((label, self.term, unit, *values, fit.cov_type, fit.n_obs))
        schema = [
            "design",
            "term",
            "unit",
            "estimate",
            "std_error",
            "low",
            "high",
            "errors",
            "n_obs",
        ]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def tests_frame(self) -> pl.DataFrame:
        """Return the diagnostics, one row each."""
        return frame_of_tests(self.tests)

    def summary(self) -> Summary:
        """Return assumption, what kills it, estimates, sets and diagnostics."""
        rows: list[tuple[str, object]] = [("assumption", self.assumption)]
        if self.is_instrumental:
            rows.append(("exclusion", self.exclusion or "MISSING: argue it before using this"))
        rows += [("what would kill it", "; ".join(self.kills))]
        rows += list(self.facts)
        rows += [(f"{item.name}, {item.level:.0%}", item.words) for item in self.sets]
        notes = [test.sentence for test in self.tests]
        return Summary(title=self.design, rows=rows, frame=self.to_frame(), notes=notes)

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of OLS beside the identified estimate, 95 % intervals."""
        from cascadelab.charts.estimate import coefficient_chart

        frame = self.to_frame().with_columns(term=pl.col("design"))
        return coefficient_chart(frame, title=f"{self.term}: OLS beside {self.design}")


def from_iv(
    iv: IvFit, *, design: str, assumption: str, exclusion: str, kills: tuple[str, ...]
) -> IdentifiedEstimate:
    """Wrap an instrumental-variable fit with the words of its design."""
    sets = (iv.anderson_rubin,) if iv.tf is None else (iv.anderson_rubin, iv.tf)
    facts: tuple[tuple[str, float | str], ...] = (
        ("effective F", iv.effective_f.statistic),
        ("effective F critical value (10 % bias)", iv.effective_f.critical_value),
    )
    for kind, fit in (("first stage", iv.first_stage), ("reduced form", iv.reduced_form)):
        for term in iv.first_stage.terms[-iv.effective_f.n_instruments :]:
            facts += ((f"{kind}: {term}", f"{fit.value(term):.5g} ({fit.error(term):.2g})"),)
    return IdentifiedEstimate(
        design=design,
        term=iv.term,
        fit=iv.fit,
        assumption=assumption,
        exclusion=exclusion,
        kills=kills,
        is_instrumental=True,
        comparison=iv.ols,
        facts=facts,
        tests=iv.tests,
        sets=sets,
    )


def exposure_within(
    liquidation_prices: npt.ArrayLike,
    quantities_base: npt.ArrayLike,
    prices: npt.ArrayLike,
    *,
    reach_fraction: float,
) -> FloatArray:
    """Exposure of S1 read off a book: what the next fall of `reach_fraction` would force to sale.

    Parameters
    ----------
    liquidation_prices : array_like of shape (n_positions,)
        Quote per base; NaN or infinity where a position is never liquidated.
    quantities_base : array_like of shape (n_positions,)
        Base units sold at that price, at least 0.
    prices : array_like of shape (n_bars,)
        Price when each exposure is measured, positive; before the outcome of the bar.
    reach_fraction : float
        In (0, 1).

    Returns
    -------
    ndarray of shape (n_bars,)
        Base units with a liquidation price in ``[price (1 - reach), price)``; positions that are
        due already are not counted.

    Raises
    ------
    DataError
        A quantity is negative or a price not positive.

    Examples
    --------
    >>> exposure_within([95.0, 90.0, 50.0], [1.0, 2.0, 4.0], [100.0, 92.0], reach_fraction=0.1)
    array([3., 2.])
    """
    fraction(reach_fraction, "reach_fraction")
    marks = vector(prices, "prices")
    levels = floats(liquidation_prices, "liquidation prices")
    sizes = vector(quantities_base, "quantities", levels.size)
    if (marks <= 0).any() or (sizes < 0).any():
        raise DataError("A price is not positive or a quantity negative. Expected neither.")
    kept = np.isfinite(levels)
    order = np.argsort(levels[kept], kind="stable")
    below = np.concatenate([[0.0], np.cumsum(sizes[kept][order])])
    sorted_levels = levels[kept][order]
    upper = below[np.searchsorted(sorted_levels, marks, side="left")]
    lower = below[np.searchsorted(sorted_levels, marks * (1.0 - reach_fraction), side="left")]
    return np.asarray(upper - lower)


def exposure_shock(
    returns: npt.ArrayLike,
    forced_sales: npt.ArrayLike,
    *,
    exposure: npt.ArrayLike,
    external_return: npt.ArrayLike,
    times: ExposureTimes,
    exclusion: str,
    controls: npt.ArrayLike | None = None,
    errors: ErrorKind | None = None,
) -> IdentifiedEstimate:
    r"""S1: predetermined exposure times an external fall, as instrument for forced sales.

    Parameters
    ----------
    returns : array_like of shape (n,)
        Fraction.
    forced_sales : array_like of shape (n,)
        Base units, sales positive: the slope is minus the impact.
    exposure : array_like of shape (n,)
        Base units that would be closed by the next fall of given size, known before the bar.
    external_return : array_like of shape (n,)
        Return of another asset or venue over the same bar, fraction.
    times : ExposureTimes
        Checked: exposure strictly before the outcome window.
    exclusion : str
        Why the interaction has no direct effect on the return, given the controls.
    controls : array_like of shape (n, c), optional
        Depth, volatility, time of day; x, its fall and the exposure are always controlled for.
    errors : Hac, Robust or Clustered

    Returns
    -------
    IdentifiedEstimate

    Raises
    ------
    LookAheadError
        An exposure is stamped at or after its outcome.

    Notes
    -----
    :math:`z_t = \rho_{t-1} (-x_t)^+`; 2SLS of r on q with controls
    :math:`x_t, (-x_t)^+, \rho_{t-1}` and yours.
    """
    y = vector(returns, "returns")
    check_times(times, y.size)
    density = vector(exposure, "exposure", y.size)
    external = vector(external_return, "external return", y.size)
    fall = np.maximum(-external, 0.0)
    base = np.column_stack([external, fall, density])
    names: tuple[str, ...] = ("x", "x fall", "exposure")
    if controls is not None:
        extra, more = control_columns(controls, y.size)
        base = np.column_stack([base, extra])
        names += tuple(more)
    labels = IvLabels(
        endogenous="forced sales",
        slope_unit="fraction per base sold",
        instruments=("exposure x fall",),
        controls=names,
    )
    iv = fit_iv(y, forced_sales, density * fall, controls=base, errors=errors, labels=labels)
    return from_iv(
        iv,
        design="S1 predetermined exposure x external shock",
        assumption=(
            "Where and how large the clusters are is independent of the asset's own news, "
            "given the controls."
        ),
        exclusion=exclusion,
        kills=("exposure correlated with thin books or with news", "a look-ahead in the exposure"),
    )


def granular_instrument(account_flows: npt.ArrayLike, sizes: npt.ArrayLike) -> FloatArray:
    r"""Granular instrument: size-weighted minus equal-weighted idiosyncratic flow.

    Parameters
    ----------
    account_flows : array_like of shape (n_bars, n_accounts)
        Liquidation of each account as a share of its position, or another comparable rate.
    sizes : array_like of shape (n_accounts,) or (n_bars, n_accounts)
        Positive sizes known before the bar.

    Returns
    -------
    ndarray of shape (n_bars,)

    Notes
    -----
    :math:`z_t = \sum_i S_{it} f_{it} - \frac1N \sum_i f_{it}` with shares summing to 1;
    Gabaix and Koijen (2024).

    Examples
    --------
    >>> granular_instrument([[1.0, 0.0], [0.5, 0.5]], [3.0, 1.0]).tolist()
    [0.25, 0.0]
    """
    flows = floats(account_flows, "account flows")
    if flows.ndim != 2 or flows.shape[1] < 2:
        raise DataError(f"account flows have shape {flows.shape}. Expected (n_bars, 2 or more).")
    flows = matrix(flows, [f"account {i}" for i in range(flows.shape[1])], len(flows), "flows")
    given = floats(sizes, "sizes")
    if given.shape not in (flows.shape, flows.shape[1:]):
        raise DataError(
            f"sizes have shape {given.shape}. Expected {flows.shape[1:]} or {flows.shape}, one "
            f"size per account. Align them."
        )
    weight = np.broadcast_to(given, flows.shape)
    if not (np.isfinite(weight).all() and (weight > 0).all()):
        raise DataError("A size is not positive. Expected sizes above zero. Drop empty accounts.")
    share = weight / weight.sum(axis=1, keepdims=True)
    return np.asarray(((share - 1.0 / flows.shape[1]) * flows).sum(axis=1))


def granular_iv(
    returns: npt.ArrayLike,
    forced_sales: npt.ArrayLike,
    *,
    account_flows: npt.ArrayLike,
    sizes: npt.ArrayLike,
    times: ExposureTimes,
    exclusion: str,
    controls: npt.ArrayLike | None = None,
    errors: ErrorKind | None = None,
) -> IdentifiedEstimate:
    """S8: 2SLS with the granular instrument of large accounts' own liquidations.

    Parameters are those of :func:`granular_instrument` and :func:`exposure_shock`; `times` says
    when the sizes of each bar were measured, strictly before the bar. Fact ``excess Herfindahl``
    says how granular the accounts are.
    """
    z = granular_instrument(account_flows, sizes)
    check_times(times, z.size, name="sizes")
    labels = IvLabels(
        endogenous="forced sales", slope_unit="fraction per base sold", instruments=("granular",)
    )
    iv = fit_iv(returns, forced_sales, z, controls=controls, errors=errors, labels=labels)
    result = from_iv(
        iv,
        design="S8 granular instrument",
        assumption="Shocks to large accounts are their own, uncorrelated with the market's news.",
        exclusion=exclusion,
        kills=("whales that act together", "common shocks that load on size"),
    )
    weight = np.atleast_2d(np.asarray(sizes, dtype=np.float64)).mean(axis=0)
    share = weight / weight.sum()
    excess = float(np.sqrt(max(np.sum(share**2) - 1.0 / share.size, 0.0)))
    return replace(result, facts=(*result.facts, ("excess Herfindahl", excess)))


def naive_gain(returns: npt.ArrayLike, forced_sales: npt.ArrayLike) -> NoReturn:
    """Refuse to multiply the slope of return on flow by the slope of flow on return.

    Raises
    ------
    NaiveGainError
        Always; the message holds the R² that the product would have been.
    """
    y = vector(returns, "returns")
    q = vector(forced_sales, "forced sales", y.size)
    spread = float(np.std(y) * np.std(q))
    share = float(np.mean((y - y.mean()) * (q - q.mean())) / spread) ** 2 if spread else 0.0
    raise NaiveGainError(
        f"The product of the two OLS slopes equals the R-squared of either regression "
        f"({share:.4f} here); it lies in [0, 1] whatever the loop does and says nothing about the "
        f"gain. Expected an identified impact and a structural density. Use gain_estimate with "
        f"an IdentifiedEstimate and a density read off positions."
    )
