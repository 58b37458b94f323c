"""Published facts as data, joined to a notebook's own estimates; unverified rows are greyed."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cascadelab.display import Summary, number
from cascadelab.errors import ParameterError, SchemaError
from cascadelab.estimate.record import Record
from cascadelab.files import shipped
from cascadelab.schema import Column, Table, check

__all__ = ["FACTS", "OWN", "FactTable", "fact_table", "load_facts"]

FACTS = Table(
    name="facts",
    columns=(
        Column(name="id", dtype=pl.String, meaning="F1 to F26; may repeat"),
        Column(name="fact", dtype=pl.String, meaning="what the fact says"),
        Column(name="quantity", dtype=pl.String, meaning="what the value measures"),
        Column(name="value", dtype=pl.Float64, meaning="number in `unit`", is_nullable=True),
        Column(name="unit", dtype=pl.String, meaning="'1' is a fraction", is_nullable=True),
        Column(name="source", dtype=pl.String, meaning="who"),
        Column(name="version", dtype=pl.String, meaning="version or date"),
        Column(
            name="status",
            dtype=pl.String,
            meaning="V verified, D derived by us, U unverified",
            rule=pl.col("status").is_in(["V", "D", "U"]),
            rule_text="'V', 'D' or 'U'",
        ),
    ),
)

OWN = Table(
    name="own estimates",
    columns=(
        Column(name="id", dtype=pl.String, meaning="fact the estimate belongs to"),
        Column(name="quantity", dtype=pl.String, meaning="as in the fact table"),
        Column(name="own_value", dtype=pl.Float64, meaning="own estimate, same unit"),
        Column(name="own_low", dtype=pl.Float64, meaning="lower end of its interval"),
        Column(name="own_high", dtype=pl.Float64, meaning="upper end of its interval"),
    ),
)


_STATUS = {"V": "verified", "D": "derived by us", "U": "unverified"}
_NOTE = "Unverified rows are from memory: do not quote them. Versions of a source may differ."


def _own_words(row: dict[str, Any]) -> str:
    if row["own_value"] is None:
        return ""
    low, high = number(row["own_low"], 4), number(row["own_high"], 4)
    return f"{number(row['own_value'], 4)} [{low}, {high}]"


def load_facts(ids: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the shipped fact table, or the rows of some facts, in the order of the file.

    Raises
    ------
    ParameterError
        An id is not in the table.
    """
    path = shipped("data", "facts", "facts.csv")
    text = {name: pl.String for name in FACTS.names if name != "value"}
    frame = pl.read_csv(path, schema_overrides={**text, "value": pl.Float64})
    frame = check(frame, FACTS)
    if ids is None:
        return frame
    known = frame["id"].unique(maintain_order=True).to_list()
    for name in ids:
        if name not in known:
            raise ParameterError.unknown("fact", name, known)
    return frame.filter(pl.col("id").is_in(list(ids)))


@dataclass(frozen=True, kw_only=True, eq=False)
class FactTable(Record):
    """Facts beside own estimates.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns of the fact table and ``own_value``, ``own_low``, ``own_high``, ``agrees``.
    """

    frame: pl.DataFrame

    def to_frame(self) -> pl.DataFrame:
        """Return all columns."""
        return self.frame

    @property
    def _has_own(self) -> bool:
        return not self.frame["own_value"].is_null().all()

    def _rows(self) -> list[list[str]]:
        """One row per quantity: published, version, status and, where there are any, our own."""
        rows = []
        for row in self.frame.iter_rows(named=True):
            unit = "" if row["unit"] in ("1", None) else f" {row['unit']}"
            value = "not given" if row["value"] is None else number(row["value"]) + unit
            cells = [row["quantity"], value, row["version"] or "", _STATUS[row["status"]]]
            if self._has_own:
                cells += [_own_words(row), number(row["agrees"])]
            rows.append(cells)
        return rows

    @property
    def _header(self) -> list[str]:
        own = ["ours", "agrees"] if self._has_own else []
        return ["quantity", "published", "version", "status", *own]

    def _groups(self) -> list[str]:
        """What each row belongs to: fact and source, the same words for neighbouring rows."""
        return [
            f"{row['id']}. {row['fact']} ({row['source']})"
            for row in self.frame.iter_rows(named=True)
        ]

    def summary(self) -> Summary:
        """Return the table; unverified rows say so."""
        columns = zip(*self._rows(), strict=True)
        shown = {name: list(cells) for name, cells in zip(self._header, columns, strict=True)}
        frame = pl.DataFrame({"fact": self.frame["id"].to_list(), **shown})
        facts = [f"{words}." for words in dict.fromkeys(self._groups())]
        return Summary(title="Published facts", frame=frame, notes=[*facts, _NOTE])

    def to_html(self) -> str:
        """HTML table under a line for each fact; its unverified rows are grey."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self._header)
        body, above = [], ""
        for status, group, cells in zip(
            self.frame["status"], self._groups(), self._rows(), strict=True
        ):
            if group != above:
                span = f'<th class="group" colspan="{len(cells)}">{html.escape(group)}</th>'
                body.append(f"<tr>{span}</tr>")
                above = group
            style = ' style="color:#8a8a8a" class="unverified"' if status == "U" else ""
            inner = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
            body.append(f"<tr{style}>{inner}</tr>")
        return (
            f'<table class="cascadelab"><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(body)}</tbody></table><p>{html.escape(_NOTE)}</p>"
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {**self.summary()._repr_mimebundle_(), "text/html": self.to_html()}


def fact_table(own: pl.DataFrame | None = None, *, ids: Sequence[str] | None = None) -> FactTable:
    """Join the notebook's own estimates to the facts they replicate.

    Parameters
    ----------
    own : polars.DataFrame, optional
        Columns of :data:`OWN`; an estimate must name an existing fact and quantity.
    ids : sequence of str, optional
        Facts to show; all when left out.

    Returns
    -------
    FactTable
        ``agrees`` is true where the fact lies in the own interval, null where there is no
        estimate or no value.

    Raises
    ------
    SchemaError
        An estimate names a fact or quantity that is not in the table.
    """
    facts = load_facts(ids)
    if own is None:
        own = pl.DataFrame(schema={column.name: column.dtype for column in OWN.columns})
    mine = check(own, OWN)
    unknown = mine.join(facts, on=["id", "quantity"], how="anti")
    if unknown.height:
        row = unknown.row(0, named=True)
        raise SchemaError(
            f"Own estimate {row['id']!r}, {row['quantity']!r} matches no fact. Expected an id and "
            f"quantity of the fact table. Look them up with load_facts()."
        )
    joined = facts.join(mine, on=["id", "quantity"], how="left", maintain_order="left")
    value = pl.col("value")
    agrees = (value >= pl.col("own_low")) & (value <= pl.col("own_high"))
    return FactTable(frame=joined.with_columns(agrees=agrees))
