"""The ways a margin rule says no: tables that do not fit, dates too early, orders refused."""

from __future__ import annotations

from cascadelab.errors import DataError, ParameterError

__all__ = ["AuctionRefused", "DateBeforeFirstTable", "LeverageAboveCap", "TierTableError"]


class TierTableError(DataError):
    """A tier table has a gap, an overlap or numbers that contradict each other.

    Mend the row named in the message, or load another edition of the table.
    """

    @classmethod
    def in_row(cls, table: str, row: int, found: str, expected: str) -> TierTableError:
        """Name the table, the row (from 0), what was found and the rule it breaks."""
        return cls(
            f"Tier table {table or '(unnamed)'}: row {row} {found}; expected {expected}. "
            f"Correct the row or use another edition of the table."
        )


class DateBeforeFirstTable(ParameterError):
    """The day asked for lies before the first tier table known for the symbol."""

    @classmethod
    def of(cls, venue: str, symbol: str, date: str, first: str) -> DateBeforeFirstTable:
        """Name the venue, the symbol, the day asked for and the first day known."""
        return cls(
            f"{venue} {symbol}: no tier table was in force on {date}; the first known is of "
            f"{first}. Ask for {first} or later, or name an undated edition with edition=..."
        )


class LeverageAboveCap(ParameterError):
    """A position is larger than its leverage allows, or its leverage above the tier's cap."""

    @classmethod
    def in_row(cls, row: int, leverage: float, cap: float, notional: float) -> LeverageAboveCap:
        """Name the row (from 0), its leverage, the cap and the notional that sets it."""
        return cls(
            f"Row {row} has leverage {leverage:g} at a notional of {notional:g}; the tier allows "
            f"at most {cap:g}. Lower its leverage or size, or call rules.without_leverage_caps()."
        )

    @classmethod
    def above_last_tier(cls, row: int, notional: float, cap: float) -> LeverageAboveCap:
        """Name the row (from 0) whose notional no tier holds, and where the last one ends."""
        return cls(
            f"Row {row} has a notional of {notional:g}; the last tier ends at {cap:g}. Lower its "
            f"size, or call rules.without_leverage_caps() to hold the last tier's rate above it."
        )


class AuctionRefused(ParameterError):
    """A protocol would revert the call: a dusty remainder, or nothing to take.

    Ask for the amount the message names.
    """
