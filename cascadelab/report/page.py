"""The page of one run: header, headline numbers, the notebook's cells, provenance."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Sequence
from typing import Any

from cascadelab.charts.document import data_address, document, figure
from cascadelab.display import number, render_html
from cascadelab.report import outputs
from cascadelab.report.markup import highlighted_python, markdown_html, math_html, safe_html
from cascadelab.report.outputs import Chart, Published

__all__ = ["headline_words", "render_page", "short_words", "table", "unit_words"]

Record = dict[str, Any]

_HIDDEN_TAGS = frozenset({"parameters", "injected-parameters", "hide"})
_TITLE = re.compile(r"\A\s*#\s+.+?\s*(?:\n|\Z)")


def render_page(content: Record, record: Record, published: Published) -> str:
    """HTML of one run.

    Parameters
    ----------
    content : dict
        Executed notebook, made stable.
    record : dict
        What ``run.json`` holds: title, parameters, status, error, provenance.
    published : Published
        Charts and facts of the notebook.

    Returns
    -------
    str
        A whole document; equal input gives equal bytes.
    """
    body = "\n".join(
        [
            _header(record, published.headlines),
            "<main>",
            *_cells(content, list(published.charts)),
            "</main>",
            _footer(record),
        ]
    )
    mark = "Failed: " if record["status"] == "failed" else ""
    return document(mark + record["title"], body, has_charts=bool(published.charts))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str]) -> str:
    """An HTML table that scrolls if it is wide; `classes` names the class of each column."""
    return f'<div class="scroll">{render_html(header, rows, classes=classes)}</div>'


def headline_words(fact: Record) -> tuple[str, str]:
    """Value of a headline number, and its interval, as text with six digits."""
    return _words(fact, number)


def short_words(fact: Record) -> tuple[str, str]:
    """The same in few characters: four digits, and millions, billions and trillions in words."""
    return _words(fact, _short)


def _words(fact: Record, say: Callable[[float], str]) -> tuple[str, str]:
    value, low, high = (
        "not available" if fact[key] is None else say(float(fact[key]))
        for key in ("value", "low", "high")
    )
    return value, "" if fact["low"] is None and fact["high"] is None else f"{low} to {high}"


def _short(value: float) -> str:
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if size <= abs(value) < size * 1e3:
            return f"{number(value / size, 4)} {word}"
    return number(value, 4)


def unit_words(fact: Record) -> str:
    """Unit of a headline number as shown: nothing for a pure number."""
    return "" if fact["unit"] == "1" else str(fact["unit"])


def _header(record: Record, headlines: Sequence[Record]) -> str:
    title = html.escape(record["title"])
    question = record["notebook_title"]
    parts = [
        "<header>",
        f'<p class="kicker"><a href="../index.html">{html.escape(record["report_title"])}</a></p>',
        f"<h1>{title}</h1>",
    ]
    if question not in ("", record["title"]):
        parts.append(f'<p class="question">{html.escape(question)}</p>')
    if record["status"] == "failed":
        parts.append(
            '<div class="failure" role="alert"><p><span class="badge failed">failed</span> '
            "This page is partial: the notebook stopped before its end.</p>"
            f"<p>{html.escape(record['error'])}</p></div>"
        )
    if headlines:
        parts.append(_tiles(headlines))
    if record["parameters"]:
        parts.append(_parameters(record))
    return "\n".join([*parts, "</header>"])


def _tiles(headlines: Sequence[Record]) -> str:
    tiles = []
    for fact in headlines:
        value, interval = short_words(fact)
        unit = ", ".join(filter(None, (unit_words(fact), interval)))
        tiles.append(
            f'<li><span class="name">{html.escape(fact["name"])}</span>'
            f'<span class="value">{html.escape(value)} '
            f'<span class="unit">{html.escape(unit)}</span></span>'
            f'<span class="source">{html.escape(fact["source"])}</span></li>'
        )
    return f'<ul class="tiles" aria-label="Headline numbers">{"".join(tiles)}</ul>'


def _parameters(record: Record) -> str:
    rows = []
    for entry in record["parameters"]:
        changed = "" if entry["is_default"] else ' class="changed"'
        rows.append(
            f"<tr><td><code>{html.escape(entry['name'])}</code></td>"
            f"<td{changed}>{html.escape(entry['text'])}</td>"
            f"<td>{html.escape(entry['description'])}</td></tr>"
        )
    return (
        "<h2>Parameters</h2>"
        '<div class="scroll"><table><thead><tr><th>name</th><th>value</th><th>unit and meaning</th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cells(content: Record, charts: list[Chart]) -> list[str]:
    parts = []
    waiting = iter(charts)
    is_first = True
    for cell in content["cells"]:
        source = outputs.code_of(cell)
        if cell["cell_type"] == "markdown":
            text = _TITLE.sub("", source) if is_first else source
            is_first = False
            if text.strip():
                parts.append(f'<div class="prose">{markdown_html(text)}</div>')
        elif cell["cell_type"] == "code":
            tags = _HIDDEN_TAGS & set(cell.get("metadata", {}).get("tags", []))
            if source.strip() and not tags:
                code = highlighted_python(source)
                parts.append(f'<details class="code"><summary>Code</summary>{code}</details>')
            parts += _outputs(cell["outputs"], waiting)
    return parts


def _outputs(cell_outputs: list[Record], charts: Any) -> list[str]:
    """HTML of a cell's outputs; its headline numbers are one table, its input files another."""
    parts: list[str] = []
    gathered: dict[str, list[Record]] = {"headline": [], "input": [], "provenance": []}
    for output in cell_outputs:
        fact = next(iter(outputs.facts_of(output)), None)
        if fact and fact["kind"] in gathered:
            gathered[fact["kind"]].append(fact)
        else:
            parts.append(_output(output, charts))
    parts += [_input_table(gathered["input"])] if gathered["input"] else []
    parts += [_headline_table(gathered["headline"])] if gathered["headline"] else []
    return parts


def _input_table(inputs: Sequence[Record]) -> str:
    keys = ["name", "n_bytes", "sha256", "source", "licence"]
    header = ["input file", "bytes", "SHA-256", "source", "licence"]
    rows = [[number(fact[key]) for key in keys] for fact in inputs]
    return table(header, rows, ["", "number", "hash", "", ""])


def _headline_table(headlines: Sequence[Record]) -> str:
    rows = [
        [fact["name"], *headline_words(fact), unit_words(fact), fact["source"]]
        for fact in headlines
    ]
    header, classes = (
        ["headline", "value", "interval", "unit", "source"],
        ["", "number", "", "", ""],
    )
    return table(header, rows, classes)


def _output(output: Record, charts: Any) -> str:
    if output["output_type"] == "stream":
        text = html.escape(outputs.text_of(output))
        if output["name"] == "stderr":
            return (
                f'<details class="messages"><summary>Messages</summary><pre>{text}</pre></details>'
            )
        return f'<pre class="plain">{text}</pre>'
    if output["output_type"] == "error":
        lines = "\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}"
        return f'<pre class="error">{html.escape(_uncoloured(lines))}</pre>'
    if outputs.chart_of(output, set(), 0):
        return _chart(next(charts))
    return _rich(output)


def _chart(chart: Chart) -> str:
    files = " ".join(
        f'<a href="charts/{chart.name}.{suffix}">{suffix.upper()}</a>'
        for suffix in ("svg", "png", "pdf", "json")
    )
    caption = f"{html.escape(chart.description)} &middot; {files}"
    return figure(chart.spec, chart.svg, chart.name, chart.description, caption)


def _rich(output: Record) -> str:
    data = output.get("data", {})
    text = {
        key: "".join(value) if isinstance(value, list) else value for key, value in data.items()
    }
    if "text/html" in text:
        cleaned = safe_html(text["text/html"])
        if re.sub(r"<[^>]*>", "", cleaned).strip():
            return f'<div class="scroll">{cleaned}</div>'
    if "image/svg+xml" in text:
        return _picture(data_address(text["image/svg+xml"].encode(), "image/svg+xml"))
    for mime in ("image/png", "image/jpeg"):
        if mime in text:
            return _picture(data_address(base64.b64decode(text[mime]), mime))
    if "text/markdown" in text:
        return f'<div class="prose">{markdown_html(text["text/markdown"])}</div>'
    if "text/latex" in text:
        return math_html(text["text/latex"].strip("$ \n"), True)
    return f'<pre class="plain">{html.escape(outputs.text_of(output))}</pre>'


def _picture(address: str) -> str:
    return f'<img alt="Picture made by the cell above" src="{address}">'


def _uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def _footer(record: Record) -> str:
    origin = record["provenance"]
    rows = [
        ["notebook", f"{record['notebook']}, SHA-256 {origin['notebook_sha256']}"],
        ["parameters id", record["parameters_id"]],
        ["seed", "none" if origin["seed"] is None else str(origin["seed"])],
        ["commit", origin["commit"] or "not from a git checkout"],
        ["code and data SHA-256", origin["code_sha256"]],
        ["versions", ", ".join(f"{name} {text}" for name, text in origin["versions"].items())],
    ]
    parts = ["<footer>", "<h2>Provenance</h2>", table(["", ""], rows, ["", "hash"])]
    if record["inputs"]:
        parts.append(_input_table(record["inputs"]))
    block = '<a href="block.json">Print block as JSON</a>' if record["block_sha256"] else ""
    parts.append(
        f'<p class="links"><a href="notebook.ipynb">Executed notebook</a>{block}'
        '<a href="run.json">This run as JSON</a><a href="../index.html">All results</a></p>'
    )
    return "\n".join([*parts, "</footer>"])
