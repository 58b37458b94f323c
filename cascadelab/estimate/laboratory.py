"""The synthetic laboratory: a loop with a known slope, on which every estimator is graded first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import ParameterError
from cascadelab.estimate.iv import IvLabels, two_stage_least_squares
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import FitResult
from cascadelab.rng import spawn
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "Grade",
    "Laboratory",
    "LaboratoryDraw",
    "accept",
    "grade",
    "laboratory_iv",
    "laboratory_ols",
    "simulate",
]


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    r"""Settings of the laboratory; defaults are those of the acceptance test.

    Parameters
    ----------
    n_bars : int
    impact : float
        True slope lambda: return per base unit of forced sales.
    mean_gain : float
        Centre of the gain lambda*kappa, in (0, 1).
    gain_cap : float
        Largest gain, below 1.
    exposure_persistence, exposure_scale : float
        AR(1) coefficient of the log exposure and its standard deviation.
    news_sd, noise_sd : float
        Standard deviation of own news beside the external shock (sd 1), and of the return noise.
    degrees_of_freedom : float
        Of Student's t of both shocks, above 2.
    leak : float
        Direct effect of the standardised instrument on own news; 0 keeps the exclusion valid.

    Notes
    -----
    :math:`\kappa_t = \min\{(\bar g/\lambda)e^{.4k_t-.08},\ .95/\lambda\}`, k AR(1) with unit
    variance; :math:`f = x + \varepsilon`, drop :math:`= (-f)^+/(1-\lambda\kappa)`,
    :math:`q = \kappa\cdot` drop, :math:`r = f - \lambda q + \eta`. The flow q is forced sales,
    positive; its slope in a regression of r is :math:`-\lambda`.
    """

    n_bars: int = 4000
    impact: float = 0.05
    mean_gain: float = 0.4
    gain_cap: float = 0.95
    exposure_persistence: float = 0.95
    exposure_scale: float = 0.4
    news_sd: float = 0.7
    noise_sd: float = 0.3
    degrees_of_freedom: float = 5.0
    leak: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mean_gain", "gain_cap"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ParameterError.out_of_range(self, name, "a fraction in (0, 1)")
        if not 0.0 <= self.exposure_persistence < 1.0:
            raise ParameterError.out_of_range(self, "exposure_persistence", "[0, 1)")
        for name in ("impact", "n_bars", "news_sd", "noise_sd"):
            if not getattr(self, name) > 0:
                raise ParameterError.out_of_range(self, name, "a positive number")
        if not self.degrees_of_freedom > 2:
            raise ParameterError.out_of_range(self, "degrees_of_freedom", "more than 2")

    def to_dict(self) -> dict[str, float]:
        """Return the settings as JSON-plain content."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True, kw_only=True, eq=False)
class LaboratoryDraw:
    """One synthetic sample; every vector has shape (n_bars,).

    Parameters
    ----------
    returns : ndarray
        Fraction.
    forced_sales : ndarray
        Base units, positive.
    external_return : ndarray
        Shock x on another venue.
    exposure : ndarray
        kappa: base units sold per unit drop, known before the bar.
    settings : Laboratory
    """

    returns: FloatArray
    forced_sales: FloatArray
    external_return: FloatArray
    exposure: FloatArray
    settings: Laboratory

    @property
    def external_drop(self) -> FloatArray:
        """Fall of the other venue, positive part of -x."""
        return np.maximum(-self.external_return, 0.0)

    @property
    def instrument(self) -> FloatArray:
        """Exposure times the external drop."""
        return self.exposure * self.external_drop

    @property
    def controls(self) -> FloatArray:
        """External return, external drop and exposure, shape (n_bars, 3)."""
        return np.column_stack([self.external_return, self.external_drop, self.exposure])

    def to_frame(self) -> pl.DataFrame:
        """Return the sample as a frame, one row per bar."""
        return pl.DataFrame(
            {
                "return": self.returns,
                "forced_sales_base": self.forced_sales,
                "external_return": self.external_return,
                "exposure_base": self.exposure,
            }
        )


def simulate(settings: Laboratory, rng: np.random.Generator) -> LaboratoryDraw:
    """Return one sample of the laboratory; equal settings and generator give equal bytes.

    Examples
    --------
    >>> simulate(Laboratory(n_bars=3), np.random.default_rng(0)).returns.shape
    (3,)
    """
    n, lab = settings.n_bars, settings
    unit = np.sqrt((lab.degrees_of_freedom - 2.0) / lab.degrees_of_freedom)
    steps = rng.normal(size=n)
    external = unit * rng.standard_t(lab.degrees_of_freedom, n)
    news = lab.news_sd * unit * rng.standard_t(lab.degrees_of_freedom, n)
    noise = lab.noise_sd * rng.normal(size=n)
    state = _autoregression(steps, lab.exposure_persistence)
    centred = lab.exposure_scale * state - 0.5 * lab.exposure_scale**2
    kappa = np.minimum(lab.mean_gain * np.exp(centred), lab.gain_cap) / lab.impact
    if lab.leak:
        shock = kappa * np.maximum(-external, 0.0)
        news = news - lab.leak * (shock - shock.mean()) / shock.std()
    fundamental = external + news
    drop = np.maximum(-fundamental, 0.0) / (1.0 - lab.impact * kappa)
    sales = kappa * drop
    return LaboratoryDraw(
        returns=fundamental - lab.impact * sales + noise,
        forced_sales=sales,
        external_return=external,
        exposure=kappa,
        settings=lab,
    )


def _autoregression(steps: FloatArray, persistence: float) -> FloatArray:
    """AR(1) with unit variance from standard normal steps."""
    scale = float(np.sqrt(1.0 - persistence**2))
    state, out = float(steps[0]), np.empty_like(steps)
    out[0] = state
    for position, step in enumerate((scale * steps[1:]).tolist(), start=1):
        state = persistence * state + step
        out[position] = state
    return out


def laboratory_ols(draw: LaboratoryDraw) -> FitResult:
    """OLS of returns on forced sales with the laboratory's controls: biased."""
    names = ["x", "x drop", "exposure", "forced sales"]
    design = np.column_stack([draw.controls, draw.forced_sales])
    return ols(draw.returns, design, names=names, labels=Labels(sample="laboratory"))


def laboratory_iv(draw: LaboratoryDraw) -> FitResult:
    """2SLS of returns on forced sales, instrument exposure times external drop (S1)."""
    labels = IvLabels(
        endogenous="forced sales",
        instruments=("exposure x drop",),
        controls=("x", "x drop", "exposure"),
        sample="laboratory",
    )
    return two_stage_least_squares(
        draw.returns, draw.forced_sales, draw.instrument, controls=draw.controls, labels=labels
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Grade(Record):
    """How an estimator does on data whose truth is known.

    Parameters
    ----------
    name : str
    truth, mean, median, sd : float
        Of the estimates over the draws.
    mean_std_error : float
        Average reported standard error.
    coverage : float
        Share of draws whose interval holds the truth.
    level : float
        Level that the intervals claim.
    n_draws, seed : int
    """

    name: str
    truth: float
    mean: float
    median: float
    sd: float
    mean_std_error: float
    coverage: float
    level: float
    n_draws: int
    seed: int

    @property
    def bias(self) -> float:
        """Mean estimate minus truth."""
        return self.mean - self.truth

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the mean over draws, two standard deviations each way, and the truth."""
        from cascadelab.charts.checks import interval_chart

        row = {"label": self.name, "value": self.mean}
        row |= {"low": self.mean - 2 * self.sd, "high": self.mean + 2 * self.sd}
        return interval_chart(
            pl.DataFrame([row]),
            axis="estimate [unit of the truth]",
            title=f"{self.name}: intervals hold the truth in {self.coverage:.0%} of draws",
            words=f"Claimed {self.level:.0%}; {self.n_draws:,} draws; line: mean and two standard "
            f"deviations; dashed: truth {self.truth:.4g}",
            reference=self.truth,
            near=math.inf,
        )

    def summary(self) -> Summary:
        """Return bias, spread, reported error and coverage."""
        rows: list[tuple[str, object]] = [
            ("truth", self.truth),
            ("mean estimate", self.mean),
            ("bias", self.bias),
            ("median estimate", self.median),
            ("standard deviation over draws", self.sd),
            ("mean reported standard error", self.mean_std_error),
            (f"coverage of {self.level:.0%} intervals", self.coverage),
            ("draws", self.n_draws),
            ("seed", self.seed),
        ]
        return Summary(title=f"Laboratory grade: {self.name}", rows=rows, notes=["Synthetic data."])


def grade(
    estimator: Callable[[LaboratoryDraw], FitResult],
    settings: Laboratory | None = None,
    *,
    term: str = "forced sales",
    n_draws: int = 200,
    seed: int = 5,
    level: float = 0.95,
) -> Grade:
    """Grade an estimator of the (negative) impact slope on seeded draws.

    Parameters
    ----------
    estimator : callable
        Takes a :class:`LaboratoryDraw`, returns a fit with `term`.
    settings : Laboratory
    term : str
    n_draws, seed : int
        Draw i uses stream i of the seed, whatever the number of draws.
    level : float

    Returns
    -------
    Grade
        Truth is minus the impact: sales push returns down.
    """
    lab = settings or Laboratory()
    truth = -lab.impact
    fits = [estimator(simulate(lab, stream)) for stream in spawn(seed, n_draws)]
    values = np.array([fit.value(term) for fit in fits])
    bounds = np.array([fit.interval(term, level) for fit in fits])
    inside = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
    return Grade(
        name=fits[0].model,
        truth=truth,
        mean=float(values.mean()),
        median=float(np.median(values)),
        sd=float(values.std(ddof=1)),
        mean_std_error=float(np.mean([fit.error(term) for fit in fits])),
        coverage=float(inside.mean()),
        level=level,
        n_draws=n_draws,
        seed=seed,
    )


def accept(iv: Grade, plain: Grade) -> dict[str, bool]:
    """Acceptance of the laboratory: 2SLS unbiased with honest coverage, OLS not.

    Notes
    -----
    Mean of 2SLS within 0.0008 of the truth, its coverage in [.90, .98], OLS coverage below .10.
    """
    return {
        "2SLS is unbiased": abs(iv.bias) < 0.0008,
        "2SLS covers": 0.90 <= iv.coverage <= 0.98,
        "OLS does not cover": plain.coverage < 0.10,
    }
