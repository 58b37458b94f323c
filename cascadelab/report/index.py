"""The index of a batch: a card per run, all headline numbers, what failed and why."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cascadelab.charts.document import data_address, document
from cascadelab.report.page import headline_words, short_words, unit_words

__all__ = ["render_index"]

Record = dict[str, Any]

_SMALL_SVG_BYTES = 100_000
_NO_BLOCK = ' <span class="badge waiting">no print block</span>'


def render_index(title: str, records: Sequence[Record], out: Path) -> str:
    """HTML of the index.

    Parameters
    ----------
    title : str
    records : sequence of dict
        One per run, in the order of the specification; a run that has not been made yet has
        status ``"waiting"``.
    out : Path
        Output folder, from which thumbnails are read.

    Returns
    -------
    str
        A whole document without scripts.
    """
    body = "\n".join(
        [
            "<header>",
            '<p class="kicker">cascadelab report</p>',
            f"<h1>{html.escape(title)}</h1>",
            f'<p class="question">{_counts(records)}</p>',
            "</header>",
            "<main>",
            f'<ul class="cards">{"".join(_card(record, out) for record in records)}</ul>',
            _failures(records),
            _numbers(records),
            "</main>",
            _FOOTER,
        ]
    )
    return document(title, body, has_charts=False)


_FOOTER = (
    '<footer><p class="links"><a href="numbers.csv">Numbers (CSV)</a>'
    '<a href="numbers.parquet">Numbers (Parquet)</a>'
    '<a href="provenance.json">Provenance (JSON)</a></p>'
    "<p>Pages open with no network. Every number can be traced: provenance holds parameters, "
    "input hashes, versions and the hash of every chart.</p></footer>"
)


def _counts(records: Sequence[Record]) -> str:
    def count(status: str) -> int:
        return sum(record["status"] == status for record in records)

    words = [f"{count('done')} of {len(records)} notebooks complete"]
    if count("failed"):
        words.append(f"{count('failed')} failed")
    if count("waiting"):
        words.append(f"{count('waiting')} not run yet: this report is unfinished")
    return html.escape("; ".join(words) + ".")


def _card(record: Record, out: Path) -> str:
    status, title = record["status"], html.escape(record["title"])
    has_page = status != "waiting"
    link = f'<a href="{record["id"]}/page.html">{title}</a>' if has_page else title
    given = ", ".join(
        f"{entry['name']} = {entry['text']}"
        for entry in record.get("parameters", [])
        if not entry["is_default"]
    )
    facts = "".join(_fact(fact) for fact in record.get("headlines", [])[:4])
    words = {"done": "complete", "failed": "failed", "waiting": "not run yet"}[status]
    block = "" if record.get("block_sha256") or status != "done" else _NO_BLOCK
    return (
        f"<li>{_thumbnail(record, out)}"
        f'<div class="text"><h3>{link}</h3><span class="badge {status}">{words}</span>{block}'
        + (f'<p class="given">{html.escape(given)}</p>' if given else "")
        + (f"<dl>{facts}</dl>" if facts else "")
        + "</div></li>\n"
    )


def _fact(fact: Record) -> str:
    value, _ = short_words(fact)
    words = html.escape(f"{value} {unit_words(fact)}".strip())
    return f"<dt>{html.escape(fact['name'])}</dt><dd>{words}</dd>"


def _thumbnail(record: Record, out: Path) -> str:
    name = record.get("thumbnail")
    if not name:
        return '<div class="thumbnail nothing">no chart</div>'
    folder = out / record["id"] / "charts"
    svg = (folder / f"{name}.svg").read_bytes()
    address = data_address(svg, "image/svg+xml")
    if len(svg) > _SMALL_SVG_BYTES:
        address = data_address((folder / f"{name}.png").read_bytes(), "image/png")
    about = next(chart["description"] for chart in record["charts"] if chart["name"] == name)
    return (
        f'<a class="thumbnail" href="{record["id"]}/page.html">'
        f'<img alt="{html.escape(about)}" src="{address}"></a>'
    )


def _failures(records: Sequence[Record]) -> str:
    parts = []
    for record in records:
        if record["status"] != "failed":
            continue
        trace = html.escape(record["traceback"])
        parts.append(
            f'<div class="failure"><p><span class="badge failed">failed</span> '
            f'<a href="{record["id"]}/page.html">{html.escape(record["title"])}</a></p>'
            f"<p>{html.escape(record['error'])}</p>"
            + (
                f"<details><summary>Traceback</summary><pre>{trace}</pre></details>"
                if trace
                else ""
            )
            + "</div>"
        )
    return "<h2>What failed</h2>" + "".join(parts) if parts else ""


def _numbers(records: Sequence[Record]) -> str:
    groups = "".join(
        _group(record) for record in records if record["status"] == "done" and record["headlines"]
    )
    if not groups:
        return ""
    head = "".join(f"<th{kind}>{name}</th>" for name, kind in _COLUMNS)
    return (
        '<h2>Headline numbers</h2><div class="scroll"><table class="wide">'
        f"<thead><tr>{head}</tr></thead>{groups}</table></div>"
    )


_COLUMNS = (
    ("number", ""),
    ("value", ' class="number"'),
    ("interval", ' class="number"'),
    ("unit", ""),
    ("source", ""),
)


def _group(record: Record) -> str:
    """The numbers of one run, under its title."""
    rows = []
    for fact in record["headlines"]:
        cells = [fact["name"], *headline_words(fact), unit_words(fact), fact["source"]]
        rows.append(
            "".join(
                f"<td{kind}>{html.escape(cell)}</td>"
                for cell, (_, kind) in zip(cells, _COLUMNS, strict=True)
            )
        )
    lines = "".join(f"<tr>{row}</tr>" for row in rows)
    title = f'<a href="{record["id"]}/page.html">{html.escape(record["title"])}</a>'
    return (
        f'<tbody><tr><th class="group" colspan="{len(_COLUMNS)}" scope="rowgroup">{title}</th></tr>'
        f"{lines}</tbody>\n"
    )
