"""An executed notebook made the same on every run, and what it published.

Times, process numbers, memory addresses and message ids go; everything a reader looks at stays.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from cascadelab.charts.render import canonical_json, display, title_text
from cascadelab.fingerprint import text_hash
from cascadelab.report.parameters import source_of
from cascadelab.report.publish import MIME

__all__ = ["Chart", "Published", "chart_of", "facts_of", "read_published", "stable_notebook"]

_VEGALITE = re.compile(r"application/vnd\.vegalite\.v\d+\+json")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_CELL_FILE = re.compile(r"(?:/[^\s:]*)?/ipykernel_\d+/\d+\.py")
_KEPT_METADATA = ("kernelspec", "language_info")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A chart of an executed notebook.

    Parameters
    ----------
    name : str
        Stable name: the one given, or made from the title or the position.
    title, description : str
        As the specification says.
    spec : dict
        Vega-Lite specification.
    svg : str
        Its picture.
    is_thumbnail : bool
        Whether it was marked to stand on the index page.
    """

    name: str
    title: str
    description: str
    spec: dict[str, Any]
    svg: str
    is_thumbnail: bool

    @property
    def sha256(self) -> str:
        """Hash of data and specification, not of pixels."""
        return text_hash(canonical_json(self.spec))


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Everything a notebook published, in order.

    Parameters
    ----------
    charts : tuple of Chart
    headlines, inputs, quality, provenance : tuple of dict
        Facts as :mod:`cascadelab.report.publish` wrote them.
    input_paths : dict
        Full path by SHA-256 of each input; for the next run only, never shown.
    block : dict or None
        Content of the print block; the last one if there are several, None if there is none.
    """

    charts: tuple[Chart, ...]
    headlines: tuple[dict[str, Any], ...]
    inputs: tuple[dict[str, Any], ...]
    quality: tuple[dict[str, Any], ...]
    provenance: tuple[dict[str, Any], ...]
    input_paths: dict[str, str]
    block: dict[str, Any] | None = None


def stable_notebook(content: Any, parameters: dict[str, Any]) -> Any:
    """Notebook without times, ids and addresses: equal runs give equal bytes.

    Parameters
    ----------
    content : dict or NotebookNode
        Executed notebook; changed in place.
    parameters : dict
        Kept in the notebook's metadata, where papermill puts them.

    Returns
    -------
    dict or NotebookNode
        The same notebook.
    """
    metadata = {key: content.metadata[key] for key in _KEPT_METADATA if key in content.metadata}
    metadata["papermill"] = {"parameters": parameters}
    content.metadata = metadata
    for number, cell in enumerate(content.cells, start=1):
        tags = list(cell.metadata.get("tags", []))
        cell.metadata = {"tags": tags} if tags else {}
        cell.id = "injected-parameters" if "injected-parameters" in tags else f"cell-{number}"
        if cell.cell_type == "code":
            cell.outputs = _stable_outputs(list(cell.outputs))
    return content


def read_published(content: Any) -> Published:
    """Charts and facts of an executed notebook.

    Parameters
    ----------
    content : dict
        Notebook JSON.

    Returns
    -------
    Published
    """
    facts: list[dict[str, Any]] = []
    charts: list[Chart] = []
    paths: dict[str, str] = {}
    for output in outputs_of(content):
        facts += facts_of(output)
        chart = chart_of(output, {chart.name for chart in charts}, len(charts) + 1)
        charts += [chart] if chart else []
    for output in outputs_of(content):
        private = output.get("metadata", {}).pop(MIME, None)
        if private:
            paths.update({fact["sha256"]: private["path"] for fact in facts_of(output)})

    def kind(name: str) -> tuple[dict[str, Any], ...]:
        return tuple(fact for fact in facts if fact["kind"] == name)

    blocks = kind("block")
    return Published(
        charts=tuple(charts),
        headlines=kind("headline"),
        inputs=kind("input"),
        quality=kind("quality"),
        provenance=kind("provenance"),
        input_paths=paths,
        block=blocks[-1]["content"] if blocks else None,
    )


def outputs_of(content: Any) -> list[dict[str, Any]]:
    """Every output of every code cell."""
    return [
        output
        for cell in content["cells"]
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
    ]


def facts_of(output: dict[str, Any]) -> list[dict[str, Any]]:
    """The published fact in an output: a list of one, or empty."""
    fact = output.get("data", {}).get(MIME)
    return [fact] if isinstance(fact, dict) and "kind" in fact else []


def chart_of(output: dict[str, Any], taken: set[str], position: int) -> Chart | None:
    """The chart in an output, named so that no name in `taken` is used twice; or None."""
    data = output.get("data", {})
    mime = next((key for key in data if _VEGALITE.fullmatch(key)), None)
    if mime is None:
        return None
    spec = data[mime]
    title = title_text(spec)
    given = str(spec.get("name") or title or f"chart-{position}")
    base = re.sub(r"[^A-Za-z0-9_]+", "-", given).strip("-")[:60] or f"chart-{position}"
    name, count = base, 2
    while name in taken:
        name, count = f"{base}-{count}", count + 1
    usermeta = spec.get("usermeta")
    return Chart(
        name=name,
        title=title,
        description=str(spec.get("description") or title or name),
        spec=spec,
        svg=_joined(data.get("image/svg+xml", "")),
        is_thumbnail=bool(isinstance(usermeta, dict) and usermeta.get("thumbnail")),
    )


def text_of(output: dict[str, Any]) -> str:
    """Text of a stream or of the plain-text form of an output."""
    if output["output_type"] == "stream":
        return _joined(output["text"])
    return _joined(output.get("data", {}).get("text/plain", ""))


def code_of(cell: dict[str, Any]) -> str:
    """Source of a cell as one text."""
    return source_of(cell)


def _joined(text: object) -> str:
    return "".join(text) if isinstance(text, list) else str(text)


def _stable_outputs(outputs: list[Any]) -> list[Any]:
    """Merge neighbouring streams, standard output first: their order is a race."""
    merged: list[Any] = []
    for is_stream, group in groupby(outputs, key=lambda output: output.output_type == "stream"):
        if not is_stream:
            merged += [_stable_output(output) for output in group]
            continue
        members = list(group)
        for name in ("stdout", "stderr"):
            same = [output for output in members if output.name == name]
            if same:
                same[0].text = _stable_text("".join(output.text for output in same))
                merged.append(same[0])
    return merged


def _stable_output(output: Any) -> Any:
    _take_chart_out_of_html(output)
    if "text/plain" in output.get("data", {}):
        output.data["text/plain"] = _stable_text(output.data["text/plain"])
    if output.output_type == "error":
        output.traceback = [_stable_text(line) for line in output.traceback]
        output.evalue = _stable_text(output.evalue)
    return output


def _take_chart_out_of_html(output: Any) -> None:
    """Turn what Altair's own renderer shows, which needs a network, into our form of a chart."""
    page = _joined(output.get("data", {}).get("text/html", ""))
    start = re.search(r"\}\)\((?=\{)", page)
    if "vegaEmbed" not in page or start is None:
        return
    try:
        spec, _ = json.JSONDecoder().raw_decode(page, start.end())
    except ValueError:
        return
    if "vega-lite" in str(spec.get("$schema", "")):
        output.data = display(spec)[0]


def _stable_text(text: str) -> str:
    return _CELL_FILE.sub("<cell>", _ADDRESS.sub("at 0x...", text))
