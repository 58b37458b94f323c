"""An episode predicted from data before it, beside what happened and beside no feedback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl

from cascadelab.cascade import Cascade, solve
from cascadelab.deficits import largest_survived_shock
from cascadelab.display import Displayed, Summary, number
from cascadelab.errors import ParameterError
from cascadelab.estimate.checks import assert_predetermined
from cascadelab.impact import Impact
from cascadelab.known import (
    Known,
    MeasuredImpact,
    figure_before,
    impact_before,
    impact_from_bars,
    impact_from_figure,
    impact_from_tape,
    utc,
)
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.loan_books import aave_loans, debt_known, due_and_seized, maker_vaults
from cascadelab.sweep import solve_shocks

__all__ = [
    "Known",
    "MeasuredImpact",
    "Prediction",
    "aave_loans",
    "debt_known",
    "due_and_seized",
    "figure_before",
    "impact_before",
    "impact_from_bars",
    "impact_from_figure",
    "impact_from_tape",
    "maker_vaults",
    "predict",
]


@dataclass(frozen=True, eq=False)
class Prediction(Displayed):
    """What a loop calibrated before an episode says of it.

    Parameters
    ----------
    flow, impact
        The loop.
    inputs : tuple of Known
        What it was calibrated on; all known before `outcome_from`.
    outcome_from : datetime
        Start of the episode, UTC.
    shock : float
        Exogenous move the prediction is conditional on, coordinate units.
    observed_move : float
        What happened, coordinate units.
    cascade : Cascade
        What the loop says.
    others : tuple of (LedgerFlow, Impact)
        Loops as plausible on what was known; they make the interval.
    """

    flow: LedgerFlow
    impact: Impact
    inputs: tuple[Known, ...]
    outcome_from: datetime
    shock: float
    observed_move: float
    cascade: Cascade = field(repr=False)
    others: tuple[tuple[LedgerFlow, Impact], ...] = field(default=(), repr=False)

    def among(self, others: Sequence[tuple[LedgerFlow, Impact]]) -> Prediction:
        """Return the prediction with an interval: the range over other loops, and this one.

        Parameters
        ----------
        others : sequence of (LedgerFlow, Impact)
            Loops as plausible on what was known before: other shares at risk, both ends of a
            measured impact. Each is solved for the same shock.

        Raises
        ------
        ParameterError
            If one measures moves in another coordinate.
        """
        for flow, _ in others:
            if flow.coordinate != self.flow.coordinate:
                raise ParameterError(
                    f"A loop measures moves in {flow.coordinate} and this one in "
                    f"{self.flow.coordinate}; expected one coordinate. Build both on the same."
                )
        return replace(self, others=tuple((flow.prepare(), impact) for flow, impact in others))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Least and largest move predicted over this loop and the others, coordinate units."""
        moves = [solve(flow, impact, self.shock).move for flow, impact in self.others]
        moves.append(self.cascade.move)
        return min(moves), max(moves)

    @property
    def is_within(self) -> bool:
        """Whether the observed move lies in the interval."""
        low, high = self.interval
        return low <= self.observed_move <= high

    @property
    def error(self) -> float:
        """Predicted less observed move, coordinate units; positive is too far."""
        return self.cascade.move - self.observed_move

    @property
    def error_without_feedback(self) -> float:
        """Shock less observed move: the error of the same prediction at g = 0."""
        return self.shock - self.observed_move

    @property
    def nearer(self) -> str:
        """Which error is smaller: ``"the loop"``, ``"g = 0"`` or ``"neither"``."""
        loop, plain = abs(self.error), abs(self.error_without_feedback)
        if loop == plain:
            return "neither"
        return "the loop" if loop < plain else "g = 0"

    @property
    def implied_shock(self) -> float:
        """Largest shock whose cascade ends within the observed move, coordinate units."""
        return largest_survived_shock(
            self.flow,
            self.impact,
            lambda cascade: cascade.move <= self.observed_move,
            self.observed_move,
        )

    def scenarios(self, shocks: Sequence[float]) -> pl.DataFrame:
        """Predictions for other shocks.

        Returns
        -------
        polars.DataFrame
            ``shock`` (the prediction at g = 0), ``move``, ``secant_gain``, ``price``,
            ``price_least_move`` and ``price_most_move`` (the ends over the other loops),
            ``price_without_feedback``, ``observed_price``.
        """
        price_at = self.flow.coordinate.price_at
        frame = solve_shocks(self.flow, self.impact, shocks)
        moves = [solve_shocks(*loop, shocks)["move"].to_numpy() for loop in self.others]
        all_moves = np.vstack([frame["move"].to_numpy(), *moves])
        return frame.select("shock", "move", "secant_gain").with_columns(
            price=pl.Series(price_at(all_moves[0])),
            price_least_move=pl.Series(price_at(all_moves.min(axis=0))),
            price_most_move=pl.Series(price_at(all_moves.max(axis=0))),
            price_without_feedback=pl.Series(price_at(frame["shock"].to_numpy())),
            observed_price=pl.lit(float(price_at(self.observed_move))),
        )

    def plot(self) -> object:
        """Predicted price over assumed shocks, beside g = 0 and what was observed: a chart."""
        from cascadelab.charts.criticality import predicted_prices

        reach = 1.2 * max(self.observed_move, self.shock)
        frame = self.scenarios(np.linspace(0.0, reach, 160)[1:].tolist())
        title = f"exogenous move assumed ({self.flow.coordinate.unit})"
        return predicted_prices(frame, x_title=title, assumed=self.shock, price=self.cascade.price)

    def inputs_frame(self) -> pl.DataFrame:
        """One row per input: ``name``, ``value``, ``known_at``, ``source``."""
        return pl.DataFrame(
            {
                "name": [item.name for item in self.inputs],
                "value": [item.value for item in self.inputs],
                "known_at": [item.known_at for item in self.inputs],
                "source": [item.source for item in self.inputs],
            }
        )

    def summary(self) -> Summary:
        """Return prediction, outcome and the prediction without feedback as a table."""
        price_at = self.flow.coordinate.price_at
        last = max(item.known_at for item in self.inputs)
        rows: list[tuple[str, object]] = [
            ("last input known at (UTC)", f"{last:%Y-%m-%d %H:%M:%S}"),
            ("episode starts at (UTC)", f"{self.outcome_from:%Y-%m-%d %H:%M:%S}"),
            (f"exogenous move assumed ({self.flow.coordinate.unit})", self.shock),
            ("price at g = 0 (quote per base)", float(price_at(self.shock))),
            ("price predicted with the loop", self.cascade.price),
            *self._interval_rows(),
            ("price observed", float(price_at(self.observed_move))),
            ("nearer to the observed", self.nearer),
            (f"exogenous move that would fit ({self.flow.coordinate.unit})", self.implied_shock),
            ("forced quantity at g = 0 (base)", float(self.flow.quantity(self.shock))),
            ("forced quantity with the loop (base)", self.cascade.quantity_base),
            ("status", self.cascade.status),
        ]
        note = "Conditional on the exogenous move: what the news is worth is not predicted."
        return Summary(title="Prediction from data before the episode", rows=rows, notes=[note])

    def _interval_rows(self) -> list[tuple[str, object]]:
        if not self.others:
            return [("interval", "none: no other loop was given")]
        ends = sorted(float(self.flow.coordinate.price_at(move)) for move in self.interval)
        words = f"{number(ends[0])} to {number(ends[1])}"
        return [
            (f"its range, with {len(self.others)} other loops", words),
            ("observed lies in the range", "yes" if self.is_within else "no"),
        ]


def predict(
    flow: LedgerFlow,
    impact: Impact,
    inputs: Sequence[Known],
    outcome_from: datetime,
    *,
    shock: float,
    observed_move: float,
) -> Prediction:
    """Predict an episode; refuse inputs that were not known before it.

    Parameters
    ----------
    flow, impact
        The loop, calibrated on `inputs` only.
    inputs : sequence of Known
        At least one.
    outcome_from : datetime
        Start of the episode, UTC.
    shock : float
        Exogenous move, coordinate units: the one thing that is assumed, not calibrated.
    observed_move : float
        What happened, coordinate units, positive.

    Returns
    -------
    Prediction

    Raises
    ------
    LookAheadError
        If an input is stamped at or after `outcome_from`; names it.
    ParameterError
        If there is no input or the observed move is not positive.
    """
    if not inputs or not observed_move > 0:
        raise ParameterError(
            f"There are {len(inputs)} inputs and observed_move is {observed_move!r}; expected at "
            f"least one input and a positive move. Pass both."
        )
    for item in inputs:
        stamps = (np.array([_naive(moment)]) for moment in (item.known_at, outcome_from))
        assert_predetermined(*stamps, name=item.name)
    cascade = solve(flow.prepare(), impact, shock)
    return Prediction(flow, impact, tuple(inputs), outcome_from, shock, observed_move, cascade)


def _naive(moment: datetime) -> np.datetime64:
    return np.datetime64(utc(moment).replace(tzinfo=None), "us")
