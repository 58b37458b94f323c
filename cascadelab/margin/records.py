"""Venue records: what a venue's rules are, as data. Adding a venue is adding a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cascadelab.display import Displayed, Summary
from cascadelab.errors import DataError, ParameterError
from cascadelab.files import shipped
from cascadelab.margin import adl, close

__all__ = ["VenueRecord", "load_records"]

FAMILIES = ("linear", "inverse", "loan", "auction", "options", "portfolio", "breaker")
_CHOICES: dict[str, tuple[str, ...]] = {
    "family": FAMILIES,
    "tiers": ("marginal", "whole", "flat", "risk_limit", "linear_in_size", "none"),
    "maintenance_basis": ("mark", "entry"),
    "fee_basis": ("none", "mark", "divided", "bankruptcy", "cancels"),
    "trigger": ("at_or_below", "below"),
    "rounding": (
        "none",
        "tick_against_trader",
        "floor_to_tick",
        "integer_per_contract",
        "toward_infinity",
    ),
    "adl": ("", *adl.RANKINGS),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class VenueRecord(Displayed):
    """Declarative rules of one venue; checked when made.

    Parameters
    ----------
    id, name : str
        Identifier for :func:`cascadelab.margin.venue`, and the venue's name in words.
    family : str
        Formula: ``"linear"``, ``"inverse"``, ``"loan"``, ``"auction"``, ``"options"``,
        ``"portfolio"`` or ``"breaker"``.
    settlement : str
        Unit of margins: an asset, or ``"coin"`` for the base of an inverse contract.
    margin_modes : tuple of str
    tiers : str
        Tier convention: ``"marginal"`` (deduction), ``"whole"``, ``"flat"``, ``"risk_limit"``,
        ``"linear_in_size"`` or ``"none"``.
    maintenance_basis : {"mark", "entry"}
        Value the maintenance rate is charged on in the liquidation price.
    fee_basis : str
        Closing fee in the trigger: ``"none"``, at the ``"mark"``, ``"divided"`` into the price,
        at ``"bankruptcy"`` (in margins only) or ``"cancels"``.
    trigger : {"at_or_below", "below"}
        Whether equality with maintenance liquidates.
    rounding : str
        How prices are rounded when a tick is given.
    close : mapping
        Close rule: ``kind`` (one of :data:`cascadelab.margin.close.KINDS`) and its numbers.
    waterfall : tuple of str
        Who takes or bears a liquidated position, in order.
    adl : str
        Ranking of auto-deleveraging, or empty where there is none or it is not documented.
    taker_fee_fraction, liquidation_fee_fraction, max_liquidation_fee_fraction : float
    default_maintenance_fraction, default_threshold : float or None
        One rate for all markets where the venue has one.
    liquidation_bonus_fraction : float
    version : str
        Protocol version where rules differ by version.
    symbols : mapping of str to str
        The venue's symbol, or tier, for some base assets.
    tier_tables : tuple of str
        Files in ``data/venues/tiers``.
    function : str
        Public function that computes the margin, for families without a ledger rule.
    supports : tuple of str
        Kinds of quantity covered by the conformance cases or rules.
    rules_as_of, source, notes : str
        Date or edition, where the rules were read, and what a user must know.
    section : int
        Section of the rule text.
    """

    id: str
    name: str
    family: str
    settlement: str = ""
    margin_modes: tuple[str, ...] = ()
    tiers: str = "none"
    maintenance_basis: str = "mark"
    fee_basis: str = "none"
    trigger: str = "at_or_below"
    rounding: str = "none"
    close: Mapping[str, Any] = field(default_factory=dict)
    waterfall: tuple[str, ...] = ()
    adl: str = ""
    taker_fee_fraction: float = 0.0
    liquidation_fee_fraction: float = 0.0
    max_liquidation_fee_fraction: float = 0.0
    default_maintenance_fraction: float | None = None
    default_threshold: float | None = None
    liquidation_bonus_fraction: float = 0.0
    version: str = ""
    symbols: Mapping[str, str] = field(default_factory=dict)
    tier_tables: tuple[str, ...] = ()
    function: str = ""
    supports: tuple[str, ...] = ()
    rules_as_of: str = ""
    source: str = ""
    notes: str = ""
    section: int = 0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ParameterError.unknown(f"{name} of {self.id}", getattr(self, name), choices)
        kind = str(self.close.get("kind", "whole"))
        if kind not in close.KINDS:
            raise ParameterError.unknown(f"close rule of {self.id}", kind, close.KINDS)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VenueRecord:
        """Record from plain values; unknown keys are refused and the nearest suggested.

        Raises
        ------
        ParameterError
            For an unknown key or a word that is not among the choices of its field.
        """
        known = [one.name for one in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise ParameterError.unknown("field of a venue record", key, known)
        frozen: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        for key in ("close", "symbols"):
            if isinstance(frozen.get(key), dict):
                frozen[key] = MappingProxyType(frozen[key])
        return cls(**frozen)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the record's file."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        return plain | {"close": dict(self.close), "symbols": dict(self.symbols)}

    def summary(self) -> Summary:
        """Printable table of the rules."""
        word = "below" if self.is_strict else "at or below"
        rows = [
            ("formula", self.family),
            ("settlement", self.settlement),
            ("margin modes", ", ".join(self.margin_modes)),
            ("tiers", self.tiers),
            ("maintenance charged on value at", self.maintenance_basis),
            ("closing fee in the trigger", self.fee_basis),
            ("liquidated when equity is", f"{word} maintenance"),
            ("close rule", str(self.close.get("kind", ""))),
            ("waterfall", " > ".join(self.waterfall)),
            ("deleveraging rank", self.adl or "none documented"),
            ("rules of", self.rules_as_of),
        ]
        notes = [note for note in (self.notes, f"Source: {self.source}.") if note]
        return Summary(title=self.name, rows=rows, notes=notes)

    @property
    def is_strict(self) -> bool:
        """Whether equality with maintenance is safe."""
        return self.trigger == "below"

    @property
    def fee_at_mark(self) -> float:
        """Closing fee charged at the mark, fraction; 0 under other conventions."""
        return self.taker_fee_fraction if self.fee_basis == "mark" else 0.0


@lru_cache(maxsize=1)
def load_records() -> Mapping[str, VenueRecord]:
    """All shipped venue records by id, in order of id.

    Raises
    ------
    DataError
        If a file is not a record, or its name differs from its id.
    """
    records = {}
    for path in sorted(shipped("data", "venues", "records").glob("*.json")):
        records[path.stem] = _read(path)
    return MappingProxyType(records)


def _read(path: Path) -> VenueRecord:
    try:
        record = VenueRecord.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, TypeError, ParameterError) as error:
        raise DataError.in_file(path, f"is not a venue record ({error}).", "Mend it.") from error
    if record.id != path.stem:
        raise DataError.in_file(path, f"holds id {record.id!r}.", "Name the file after the id.")
    return record
