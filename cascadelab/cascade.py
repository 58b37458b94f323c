"""The least fixed point of y = s + I(Q(y)): where a liquidation cascade stops."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl

from cascadelab._rounds import CurvePath, Path, rounds_of_book, rounds_of_curve
from cascadelab.display import Displayed, Summary
from cascadelab.errors import ConvergenceError, ParameterError
from cascadelab.flow import ForcedFlow
from cascadelab.impact import Impact
from cascadelab.ledger_flow import LedgerFlow

__all__ = ["Cascade", "Status", "require_alike", "solve"]

Status = Literal["subcritical", "exhausted", "book_exhausted", "not_converged"]


def solve(
    flow: LedgerFlow | ForcedFlow,
    impact: Impact,
    shock: float,
    *,
    max_rounds: int | None = None,
) -> Cascade:
    r"""Return the cascade that an exogenous move starts: the least :math:`y=s+I(Q(y))`.

    Parameters
    ----------
    flow : LedgerFlow or ForcedFlow
        Forced-flow curve Q(y), base units.
    impact : Impact
        I(Q), in the same coordinate as `flow`.
    shock : float
        Exogenous part s of the move, coordinate units, at least 0.
    max_rounds : int, optional
        Stop after so many rounds, with status ``"not_converged"`` if the next one would sell
        more. None: as many as it takes.

    Returns
    -------
    Cascade

    Raises
    ------
    ParameterError
        If `shock` is negative or not finite, `max_rounds` is below 1, or flow and impact measure
        moves in different scales or directions.
    ConvergenceError
        If a curve has no fixed point (the gain stays at 1 or more without end), if one without
        usable density bounds does not settle, or if numbers overflow; carries the last iterate.

    Notes
    -----
    :math:`F(y)=s+I(Q(y))` is isotone, so rounds :math:`y_{k+1}=F(y_k)` from :math:`y_0=s` rise
    to the least fixed point (Knaster-Tarski). A book is solved by exactly these rounds, finitely
    many. A smooth curve is solved by steps from below that provably never pass a fixed point
    (interval Newton on :math:`F(y)-y` with the bounds of :math:`F'`), because plain rounds need
    :math:`2/(|F''|\varepsilon)` of them near a fold.

    Examples
    --------
    >>> from cascadelab import LinearImpact, UniformFlow
    >>> cascade = solve(
    ...     UniformFlow(density_base=8.0, width=40.0), LinearImpact(slope_per_base=0.05), 6.0
    ... )
    >>> round(cascade.move, 9), round(cascade.amplification, 9), cascade.status
    (10.0, 1.666666667, 'subcritical')
    """
    _check(flow, impact, shock, max_rounds)
    find = rounds_of_book if isinstance(flow, LedgerFlow) else rounds_of_curve
    with np.errstate(over="ignore"):
        path = find(flow, impact, float(shock), max_rounds)  # type: ignore[arg-type]
    if not np.isfinite(path.move):
        raise ConvergenceError(
            f"The move after {path.n_rounds} rounds is {path.move}: sizes or slopes are larger "
            f"than numbers hold. Measure quantities in larger units.",
            float(path.moves[np.isfinite(path.moves)][-1]),
            path.n_rounds,
        )
    return Cascade(
        shock=float(shock),
        move=path.move,
        quantity_base=path.quantity_base,
        status=_status(path, flow),
        path=path,
        flow=flow,
        impact=impact,
    )


def _check(
    flow: LedgerFlow | ForcedFlow, impact: Impact, shock: float, max_rounds: int | None
) -> None:
    is_number = isinstance(shock, int | float | np.integer | np.floating)
    if isinstance(shock, bool) or not is_number or not (np.isfinite(shock) and shock >= 0):
        raise ParameterError(
            f"shock is {shock!r}; expected a finite move of at least 0. For a rise that closes "
            f"shorts choose side='short' in the coordinate."
        )
    is_count = isinstance(max_rounds, int | np.integer) and not isinstance(max_rounds, bool)
    if max_rounds is not None and not (is_count and max_rounds >= 1):
        raise ParameterError(
            f"max_rounds is {max_rounds!r}; expected an integer of at least 1, or None. Pass one."
        )
    require_alike(flow, impact)


def require_alike(flow: LedgerFlow | ForcedFlow, impact: Impact) -> None:
    """Refuse a flow and an impact that measure moves in different scales or directions.

    Raises
    ------
    ParameterError
        Names what differs, or what is no flow or no impact. What does not say its scale or side
        is taken to fit.
    """
    if not hasattr(flow, "quantity"):
        raise ParameterError(
            f"flow is a {type(flow).__name__}; expected a forced-flow curve. For a ledger pass "
            f"ledger_flow(ledger, rules, coordinate)."
        )
    if not hasattr(impact, "slope"):
        raise ParameterError(
            f"impact is a {type(impact).__name__}; expected an impact such as LinearImpact. "
            f"The order is solve(flow, impact, shock)."
        )
    for name in ("scale", "side"):
        own, other = getattr(impact, name, None), getattr(flow.coordinate, name, None)
        if own is not None and other is not None and own != other:
            raise ParameterError(
                f"The impact measures moves in {own!r} and the flow in {other!r}; expected one "
                f"{name}. Choose the coordinate and the impact alike."
            )


def _status(path: Path | CurvePath, flow: LedgerFlow | ForcedFlow) -> Status:
    if path.is_book_exhausted:
        return "book_exhausted"
    if not path.is_converged:
        return "not_converged"
    if isinstance(flow, LedgerFlow):
        is_all = path.quantity_base > 0 and not flow.has_open_after(path.move)
    else:
        is_all = flow.total_base > 0 and path.quantity_base >= flow.total_base * (1 - 1e-14)
    return "exhausted" if is_all else "subcritical"


@dataclass(frozen=True, eq=False)
class Cascade(Displayed):
    """Where a cascade stopped, how it got there, and how much of the move it caused itself.

    Parameters
    ----------
    shock : float
        Exogenous move s, coordinate units.
    move : float
        Total move y*, coordinate units: the least fixed point.
    quantity_base : float
        Forced quantity Q*, base units.
    status : str
        ``"subcritical"``: it stopped with positions left. ``"exhausted"``: every position was
        closed. ``"book_exhausted"``: more was sold than the order book holds.
        ``"not_converged"``: `max_rounds` stopped it.
    path : Path or CurvePath
        The rounds; those of a curve are listed once they are asked for.
    flow, impact
        What was solved.
    """

    shock: float
    move: float
    quantity_base: float
    status: Status
    path: Path | CurvePath = field(repr=False)
    flow: LedgerFlow | ForcedFlow = field(repr=False)
    impact: Impact = field(repr=False)

    @property
    def n_rounds(self) -> int:
        """Synchronous rounds in which something was sold.

        A curve's rounds never quite end: listed are those up to the first that adds less than
        1e-13 of the move, and at most 20,000 unless `max_rounds` allowed more.
        ``path.is_complete`` says whether they got there.
        """
        return self.path.n_rounds

    @property
    def residual(self) -> float:
        """F(y*) - y*, coordinate units: 0 for a book, at most rounding for a curve."""
        return self.path.residual

    @property
    def price(self) -> float:
        """Price after the cascade, quote per base.

        Raises
        ------
        ParameterError
            If the flow has no coordinate.
        """
        if self.flow.coordinate is None:
            raise ParameterError(
                "The flow has no coordinate, so a move has no price. Pass coordinate=Coordinate("
                "reference_price=...) to the flow."
            )
        return float(self.flow.coordinate.price_at(self.move))

    @property
    def endogenous_move(self) -> float:
        """I(Q*), the part of the move that the cascade caused itself, coordinate units."""
        return self.move - self.shock

    @property
    def secant_gain(self) -> float:
        """I(Q*)/y*: the endogenous share of the move, in [0, 1]; NaN if nothing moved."""
        return self.endogenous_move / self.move if self.move > 0 else float("nan")

    @property
    def amplification(self) -> float:
        """A = y*/s = 1/(1 - secant gain); infinite for a move without a shock."""
        if self.shock > 0:
            return self.move / self.shock
        return float("inf") if self.move > 0 else float("nan")

    @cached_property
    def marginal_gain(self) -> float:
        """Loop gain I'(Q*) Q'(y*) where it stopped.

        For a book the density is counted in a window, see :meth:`LedgerFlow.density`.
        """
        slope = float(self.impact.slope(self.quantity_base))
        density = float(self.flow.density(self.move))
        return slope * density if density > 0 else 0.0

    @property
    def marginal_amplification(self) -> float:
        """M = dy*/ds = 1/(1 - marginal gain); infinite from a gain of 1 on."""
        return 1.0 / (1.0 - self.marginal_gain) if self.marginal_gain < 1 else float("inf")

    def to_frame(self) -> pl.DataFrame:
        """One row per round: ``round``, ``move``, ``sold_base``, ``cumulative_base``, ``price``.

        Row 0 is the shock, before anything is sold. ``price`` is null without a coordinate.
        """
        moves, quantities = self.path.moves, self.path.quantities_base
        frame = pl.DataFrame(
            {
                "round": np.arange(len(moves)),
                "move": moves,
                "sold_base": np.diff(quantities, prepend=0.0),
                "cumulative_base": quantities,
            }
        )
        coordinate = self.flow.coordinate
        if coordinate is None:
            return frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("price"))
        return frame.with_columns(pl.Series("price", coordinate.price_at(moves)))

    def fills(self) -> pl.DataFrame:
        """One row per closed position, in book order.

        Columns: ``position`` (row in the book), ``round``, ``quantity_base``,
        ``triggered_at_move`` (the mark at which it was found due) and ``filled_at_move`` (the
        mark once its round has been sold: every fill of a batch at the batch's last price). The
        quantities add up to `quantity_base`: where the order book ended, the last batch shares
        what was left of it in proportion to size.

        Raises
        ------
        ParameterError
            If the flow is a curve: a curve has no positions.
        """
        if not isinstance(self.flow, LedgerFlow):
            raise ParameterError(
                "Fills belong to positions, and this cascade was solved on a curve. "
                "Solve a LedgerFlow, or use to_frame() for the rounds."
            )
        marks = self.path.moves
        is_closed = self.flow.thresholds <= marks[max(self.n_rounds - 1, 0)]
        closed = np.flatnonzero(is_closed) if self.n_rounds else np.empty(0, dtype=np.int64)
        batch = np.searchsorted(marks, self.flow.thresholds[closed], side="left")
        quantities = self.flow.sizes_base[closed]
        if self.path.is_book_exhausted:
            is_last = batch == batch.max()
            left = self.quantity_base - float(quantities[~is_last].sum())
            quantities[is_last] *= left / float(quantities[is_last].sum())
        return pl.DataFrame(
            {
                "position": closed,
                "round": batch + 1,
                "quantity_base": quantities,
                "triggered_at_move": marks[batch],
                "filled_at_move": marks[np.minimum(batch + 1, len(marks) - 1)],
            }
        )

    def plot(self, *, move_unit: str = "") -> object:
        """Cobweb of the cascade, an Altair chart; `move_unit` where the curve has no coordinate."""
        from cascadelab.charts.loop import cobweb

        return cobweb(self, move_unit=move_unit)

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Plain values, without the path; None where a number has no meaning.

        That is a ratio if nothing moved, and `n_rounds` if not all rounds are listed.
        """
        values: dict[str, float | int | str] = {
            "shock": self.shock,
            "move": self.move,
            "quantity_base": self.quantity_base,
            "n_rounds": self.n_rounds if self.path.is_complete else float("nan"),
            "secant_gain": self.secant_gain,
            "amplification": self.amplification,
            "marginal_gain": self.marginal_gain,
            "residual": self.residual,
            "status": self.status,
        }
        return {name: None if value != value else value for name, value in values.items()}

    def summary(self) -> Summary:
        """Return the cascade as a printable table."""
        unit = self.flow.coordinate.unit if self.flow.coordinate else "coordinate units"
        rows: list[tuple[str, object]] = [
            (f"shock s ({unit})", self.shock),
            (f"total move y* ({unit})", self.move),
            (f"endogenous move I(Q*) ({unit})", self.endogenous_move),
            ("forced quantity Q* (base)", self.quantity_base),
            ("secant gain = endogenous share", self.secant_gain),
            ("amplification A = y*/s", self.amplification),
            ("marginal gain at y*", self.marginal_gain),
            ("rounds" if self.path.is_complete else "rounds listed", self.n_rounds),
            ("status", self.status),
        ]
        if self.flow.coordinate is not None:
            rows.insert(2, ("price after (quote per base)", self.price))
        notes = [] if self.path.is_complete else [self.path.note]
        if self.flow.coordinate is not None and self.price <= 0:
            notes.append(
                "The price is not above zero: this impact has no floor. Use the log coordinate or "
                "a bounded impact."
            )
        return Summary(title="Liquidation cascade", rows=rows, notes=notes)
