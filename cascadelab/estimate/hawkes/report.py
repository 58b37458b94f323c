"""One call for the branching ratio with all guards on, and a verdict in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.estimate.hawkes.clock import ClockTest, detect_clock
from cascadelab.estimate.hawkes.counts import count_branching, inar, step_counts
from cascadelab.estimate.hawkes.fit import HawkesFit
from cascadelab.estimate.hawkes.goodness import likelihood_ratio_test, time_rescaling_tests
from cascadelab.estimate.hawkes.kernel import event_times
from cascadelab.estimate.hawkes.levels import RateLevels, best_rate_levels
from cascadelab.estimate.hawkes.regimes import fit_on_windows, fit_with_regimes, regime_score
from cascadelab.estimate.hypothesis import HypothesisTest
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import FitResult

if TYPE_CHECKING:
    import altair as alt

__all__ = ["BranchingReport", "branching_report"]

#: A branching ratio whose interval reaches this is called near-critical if all guards hold.
NEAR_CRITICAL = 0.9
#: Windows with their own baseline, at most, and the events that each must hold on average.
_MOST_WINDOWS, _EVENTS_PER_WINDOW = 48, 20
#: What must be left of the branching ratio on those windows. At 1,000 to 4,000 events a true
#: 0.95 with a decay of 1 per second keeps 0.81 or more, a drifting rate 0.63 or less.
_LEFT_ON_WINDOWS = 0.7
#: Events from outside, by the fit, below which one burst or a few make the branching ratio.
_FEWEST_OUTSIDE = 10.0
#: Size of each of the two tests of fit, 5 % for both; takes 39 draws or more to reject.
_FIT_SIZE = 0.025


@dataclass(frozen=True, kw_only=True, eq=False)
class BranchingReport(Record):
    """Branching ratio before and after the guards.

    Parameters
    ----------
    unguarded : HawkesFit
        Constant baseline, no regard to a clock: what a careless fit would say.
    guarded : HawkesFit
        Baseline pieces chosen by the Schwarz criterion.
    clock : ClockTest
    per_step : FitResult or None
        INAR on counts per engine step, where a clock was found.
    count_based : float
        Variance-ratio cross-check; NaN where too few windows fit.
    on_windows : HawkesFit or None
        Own baseline in each of up to 48 equal windows; None under a clock.
    rate_levels : RateLevels or None
        Poisson rate that jumps between two to four levels; None under a clock.
    events_per_step : float
        Events that every step of the clock releases, where their number never varies; else NaN.
    tests : tuple of HypothesisTest
        Poisson against Hawkes and time rescaling, of the guarded fit; empty under a clock.
    """

    unguarded: HawkesFit
    guarded: HawkesFit
    clock: ClockTest
    per_step: FitResult | None
    count_based: float
    tests: tuple[HypothesisTest, ...]
    events_per_step: float = math.nan
    on_windows: HawkesFit | None = None
    rate_levels: RateLevels | None = None

    @property
    def is_periodic(self) -> bool:
        """Whether every step of the clock releases the same number of events."""
        return not math.isnan(self.events_per_step)

    @property
    def branching_ratio(self) -> float:
        """Branching ratio to quote: per engine step under a clock, guarded fit otherwise.

        0 for a periodic stream: events that cause others would make the counts vary.
        """
        if self.is_periodic:
            return 0.0
        if self.per_step is not None:
            return self.per_step.value("branching ratio")
        return self.guarded.branching_ratio

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the branching ratio to quote; a periodic stream leaves no doubt about 0."""
        if self.is_periodic:
            return 0.0, 0.0
        if self.per_step is not None:
            return self.per_step.interval("branching ratio", level)
        return self.guarded.branching_interval(level)

    @property
    def reaches_critical(self) -> bool:
        """Whether the guarded interval reaches 0.9 around a branching ratio above 0.5."""
        return self.interval()[1] >= NEAR_CRITICAL and self.branching_ratio > 0.5

    @property
    def failed_guards(self) -> tuple[str, ...]:
        """What else than excitation may have made the branching ratio, in words; empty if none."""
        if self.clock.is_clock:
            return () if self.is_periodic else (_CLOCKED,)
        found = [_fit_words(test) for test in self.tests]
        if "decay" in self.guarded.at_bound:
            found.append(
                f"the decay sits on a bound ({self.guarded.decay[0]:.3g} per second): batches at "
                f"the resolution of the stamps, or a drift over the window"
            )
        n_outside = float(self.guarded.baseline @ np.diff(self.guarded.edges_s))
        if n_outside < _FEWEST_OUTSIDE:
            found.append(
                f"only {n_outside:.1f} of {self.guarded.fit.n_obs} events come from outside: a few "
                f"bursts cannot be told from a rate that rose"
            )
        windows = self.on_windows
        if windows is not None and windows.branching_ratio < _LEFT_ON_WINDOWS:
            found.append(
                f"n is {windows.branching_ratio:.2f} with a baseline of its own in each of "
                f"{windows.baseline.size} windows: a rate that drifts, or a slow kernel"
            )
        levels = self.rate_levels
        if levels is not None and levels.bic < regime_score(self.guarded):
            found.append(
                f"a Poisson rate that switches between {len(levels.rates_per_s)} levels fits "
                f"better (BIC lower by {regime_score(self.guarded) - levels.bic:.0f})"
            )
        return tuple(words for words in found if words)

    @property
    def is_near_critical(self) -> bool:
        """Whether the guarded interval reaches 0.9 and no guard speaks against excitation."""
        return self.reaches_critical and not self.failed_guards

    @property
    def verdict(self) -> str:
        """What may be said, in one sentence."""
        n = self.branching_ratio
        if self.is_periodic:
            return (
                f"The events are periodic, {self.events_per_step:g} every "
                f"{self.clock.period_s:.3g} s without exception: an engine clock, not critical. "
                f"A fit of event times (n = {self.unguarded.branching_ratio:.2f}) says nothing."
            )
        if self.per_step is not None:
            return (
                f"Events are released every {self.clock.period_s:.3g} s, so that event-time fits "
                f"(n = {self.unguarded.branching_ratio:.2f}) measure the engine's clock; counts "
                f"per step give n = {n:.2f}."
                + f" Near-criticality is not established: {_CLOCKED}."
                * self.reaches_critical
            )
        pieces = self.guarded.baseline.size
        fall = self.unguarded.branching_ratio - n
        if pieces > 1 and fall > 0.15 and not self.reaches_critical:
            return (
                f"The rate switches between {pieces} pieces; n falls from "
                f"{self.unguarded.branching_ratio:.2f} to {n:.2f} once they are allowed for."
            )
        if n == 0.0:
            return "n = 0.00, the end of its range, so without an interval: no excitation is found."
        if math.isnan(self.interval()[1]):
            hit = ", ".join(self.guarded.at_bound) or "the curvature"
            return f"n = {n:.2f} without an interval ({hit} at a bound): nothing can be concluded."
        if not self.reaches_critical:
            return f"n = {n:.2f} with {pieces} baseline piece(s): not near-critical."
        if self.failed_guards:
            why = "; ".join(self.failed_guards)
            return f"n = {n:.2f}, but near-criticality is not established: {why}."
        return f"n = {n:.2f} with {pieces} baseline piece(s): consistent with near-critical."

    def to_frame(self) -> pl.DataFrame:
        """Return every estimate of n side by side."""
        rows = [
            ("unguarded", self.unguarded.branching_ratio, *self.unguarded.branching_interval()),
            ("baseline pieces", self.guarded.branching_ratio, *self.guarded.branching_interval()),
            ("count variance", self.count_based, math.nan, math.nan),
        ]
        if self.on_windows is not None:
            name = f"{self.on_windows.baseline.size} windows"
            ends = self.on_windows.branching_interval()
            rows.insert(2, (name, self.on_windows.branching_ratio, *ends))
        if self.per_step is not None:
            step = (
                self.per_step.value("branching ratio"),
                *self.per_step.interval("branching ratio"),
            )
            rows.append(("per engine step", *step))
        schema = ["estimator", "branching_ratio", "low", "high"]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the branching ratio with and without the guards."""
        from cascadelab.charts.estimate import branching_chart

        low, high = self.interval()
        row = {"stream": "events", "unguarded": self.unguarded.branching_ratio}
        row |= {"guarded": self.branching_ratio, "low": low, "high": high}
        return branching_chart(pl.DataFrame([row]))

    def summary(self) -> Summary:
        """Return verdict, estimates side by side, clock and tests."""
        rows: list[tuple[str, object]] = [
            ("verdict", self.verdict),
            ("events", self.guarded.fit.n_obs),
            ("engine clock", self.clock.is_clock),
            ("best period, s", self.clock.period_s),
            ("near-critical", self.is_near_critical),
        ]
        rows += [("guard failed", words) for words in self.failed_guards]
        notes = [test.sentence for test in self.tests]
        return Summary(
            title="Branching ratio, guarded", rows=rows, frame=self.to_frame(), notes=notes
        )


_CLOCKED = "counts per engine step cannot tell excitation from a rate that moves"


def _fit_words(test: HypothesisTest) -> str:
    """What a test of the report says against excitation; empty if nothing."""
    if not test.is_valid:
        return f"{test.name} cannot be run ({test.reason})"
    if test.name == "Poisson against Hawkes":
        words = f"no excitation is significant (p {test.p_value:.2g}; it takes 19 draws or more)"
        return "" if test.p_value <= 0.05 else words
    if test.p_value > _FIT_SIZE:
        return ""
    return f"{test.name} rejects the fit (p = {test.p_value:.2g})"


def branching_report(
    times_s: npt.ArrayLike,
    duration_s: float,
    *,
    resolution_s: float,
    rng: np.random.Generator,
    n_draws: int = 39,
) -> BranchingReport:
    """Branching ratio of a stream of events with the guards of the specification.

    Parameters
    ----------
    times_s : array_like of shape (n,)
        Sorted, in [0, duration_s], seconds.
    duration_s : float
    resolution_s : float
        Resolution of the stamps.
    rng : numpy.random.Generator
        For the bootstrap p-values.
    n_draws : int
        Bootstrap samples of each test; with fewer than 39 the tests of fit cannot reject, and
        with fewer than 19 no excitation can be significant.

    Returns
    -------
    BranchingReport
        Near-critical only if the interval reaches 0.9, excitation is significant, time rescaling
        does not reject the fit, the decay is off its bounds, ten events or more come from outside,
        0.7 is left of n on short windows with their own baseline, and no Poisson rate that
        switches between levels fits better by the Schwarz criterion. A true process with a slow
        kernel (0.95 with a decay of 0.2 per second in 2,000 s), or behind an engine clock, is
        therefore "not established".

        A feed that shows at most one event per second lowers n (0.69 to 0.51 in simulation):
        the report cannot see that, state the feed rule beside it.
    """
    events = event_times(times_s, duration_s)
    clock = detect_clock(times_s, duration_s, resolution_s=resolution_s)
    best, fits = fit_with_regimes(times_s, duration_s, resolution_s=resolution_s)
    per_step, tests, events_per_step = None, (), math.nan
    windows: HawkesFit | None = None
    levels: RateLevels | None = None
    if clock.is_clock:
        counts, step_s = step_counts(times_s, duration_s, period_s=clock.period_s)
        clock = replace(clock, period_s=step_s)
        if counts.min() == counts.max():
            events_per_step = float(counts[0])
        else:
            per_step = inar(counts, n_lags=max(1, min(5, (counts.size - 10) // 10)))
    else:
        ratio = likelihood_ratio_test(
            best, times_s, resolution_s=resolution_s, rng=rng, n_draws=n_draws
        )
        fits_tests = time_rescaling_tests(
            best, times_s, resolution_s=resolution_s, rng=rng, n_draws=n_draws
        )
        tests = (ratio, *fits_tests)  # type: ignore[assignment]
        count = max(1, min(_MOST_WINDOWS, events.n_events // _EVENTS_PER_WINDOW))
        windows = fit_on_windows(best, times_s, resolution_s=resolution_s, n_windows=count)
        levels = best_rate_levels(times_s, duration_s)
    window = max(duration_s / 40.0, 20.0 * duration_s / events.n_events)
    count_based = math.nan
    if duration_s / window >= 10:
        count_based = count_branching(times_s, duration_s, window_s=window)
    return BranchingReport(
        unguarded=fits[0],
        guarded=best,
        clock=clock,
        per_step=per_step,
        count_based=count_based,
        tests=tests,
        events_per_step=events_per_step,
        on_windows=windows,
        rate_levels=levels,
    )
