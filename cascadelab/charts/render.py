"""Charts as data and as pictures: canonical Vega-Lite JSON, its hash, and files.

A chart of this package never needs a network: the notebook output holds its specification, data
included, and an SVG of it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cascadelab.errors import ParameterError, nearest
from cascadelab.files import write_whole

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "MAX_ROWS",
    "canonical_json",
    "chart_hash",
    "display",
    "pdf",
    "png",
    "save",
    "specification",
    "svg",
]

#: Rows of data one chart may hold.
MAX_ROWS = 5_000

Specification = dict[str, Any]

_AUTO_NAME = re.compile(r"\b(param|view)_(\d+)\b")
_UTC_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?))?(Z|\+00:?00)?"
)


def specification(chart: alt.TopLevelMixin | Specification) -> Specification:
    """Vega-Lite specification of a chart in one canonical form.

    Parameters
    ----------
    chart : Altair chart or dict
        A dict is taken as a Vega-Lite specification.

    Returns
    -------
    dict
        Data sets are called ``rows_1``, ``rows_2`` ... and automatic parameter names are counted
        from 1, in order of appearance, so that equal charts give equal bytes. Times are written
        without zone and show as UTC whatever the reader's own zone.

    Raises
    ------
    ParameterError
        If the chart holds more than :data:`MAX_ROWS` rows, or a number that is not finite.
    """
    if isinstance(chart, dict):
        spec = copy.deepcopy(chart)
    else:
        from cascadelab.charts import theme

        theme.enable()
        spec = chart.to_dict()
    _check_rows(spec)
    spec = _stable_names(spec)
    _as_utc_wall_clock(spec)
    return spec


def canonical_json(spec: Specification) -> str:
    """JSON text with sorted keys and no spaces; equal specifications give equal text.

    Raises
    ------
    ParameterError
        If a number is NaN or infinite.
    """
    try:
        return json.dumps(
            spec, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
    except ValueError as error:
        raise ParameterError(
            f"Chart {_name(spec)!r} holds a number that is not finite; JSON has no word for it. "
            f"Drop such rows or write null."
        ) from error


def chart_hash(chart: alt.TopLevelMixin | Specification) -> str:
    """SHA-256 of the canonical JSON: data and specification, not pixels."""
    return hashlib.sha256(canonical_json(specification(chart)).encode()).hexdigest()


def svg(spec: Specification) -> str:
    """SVG of a specification; data behind an address are refused."""
    import vl_convert

    try:
        text: str = vl_convert.vegalite_to_svg(canonical_json(spec), allowed_base_urls=[])
    except ValueError as error:
        reason = str(error).replace("\n", " ").split("    at ")[0].split("Error: ")[-1].strip()
        raise ParameterError(
            f"Chart {_name(spec)!r} cannot be drawn: {reason}. "
            f"Check its encodings; every named panel needs a name of its own."
        ) from error
    return text


def png(spec: Specification, scale: float = 2.0) -> bytes:
    """PNG of a specification; `scale` 2 gives two device pixels per point."""
    import vl_convert

    data: bytes = vl_convert.svg_to_png(svg(spec), scale=scale)
    return data


def pdf(spec: Specification) -> bytes:
    """PDF of a specification, one page of the size of the chart."""
    import vl_convert

    data: bytes = vl_convert.svg_to_pdf(svg(spec))
    return data


def display(spec: Specification, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Altair renderer: the specification for JupyterLab and our pages, an SVG for the rest.

    Parameters
    ----------
    spec : dict
        Vega-Lite specification, as Altair hands it to a renderer.

    Returns
    -------
    (dict, dict)
        Notebook outputs by mime type, and their metadata.
    """
    canonical = json.loads(canonical_json(specification(spec)))
    version = re.search(r"/v(\d+)", str(canonical.get("$schema", "/v6")))
    mime = f"application/vnd.vegalite.v{version[1] if version else 6}+json"
    bundle = {mime: canonical, "image/svg+xml": svg(canonical), "text/plain": _words(canonical)}
    return bundle, {}


def save(chart: alt.TopLevelMixin | Specification, path: Path | str) -> Path:
    """Write a chart to a file whose suffix names the format.

    Parameters
    ----------
    chart : Altair chart or dict
    path : Path or str
        ``.svg``, ``.png``, ``.pdf``, ``.json`` (Vega-Lite, data included) or ``.html`` (one file
        with the chart library inside). Its folder must exist.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ParameterError
        If the suffix is another one.
    OSError
        As the file system says; no half-written file is left.
    """
    target = Path(path)
    writer = _WRITERS.get(target.suffix.lower())
    if writer is None:
        raise ParameterError(
            f"{target.name} ends in {target.suffix!r}; expected one of {', '.join(_WRITERS)}. "
            f"{nearest(target.suffix, _WRITERS)}"
        )
    write_whole(target, writer(specification(chart)))
    return target


def _json_file(spec: Specification) -> str:
    return canonical_json(spec) + "\n"


def _html_file(spec: Specification) -> str:
    from cascadelab.charts.document import chart_document

    return chart_document(spec)


_WRITERS: dict[str, Callable[[Specification], bytes | str]] = {
    ".svg": svg,
    ".png": png,
    ".pdf": pdf,
    ".json": _json_file,
    ".html": _html_file,
}


def _check_rows(spec: Specification) -> None:
    n_rows = sum(len(rows) for rows in spec.get("datasets", {}).values() if isinstance(rows, list))
    n_rows += sum(len(values) for values in _inline_data(spec))
    if n_rows > MAX_ROWS:
        raise ParameterError(
            f"Chart {_name(spec)!r} holds {n_rows:,} rows; expected at most {MAX_ROWS:,}. "
            f"Aggregate the frame in polars before charting (bars, quantiles, a sample)."
        )


def _inline_data(spec: Specification) -> Iterator[list[object]]:
    for node in _nodes(spec):
        data = node.get("data")
        if isinstance(data, dict) and isinstance(data.get("values"), list):
            yield data["values"]


def _nodes(value: object) -> Iterator[dict[str, Any]]:
    """Every dict of a specification, data sets left out."""
    if isinstance(value, dict):
        yield value
        for key, child in value.items():
            if key not in ("datasets", "values"):
                yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)


def _stable_names(spec: Specification) -> Specification:
    """Rename data sets and automatic parameters by order of appearance."""
    body = {key: value for key, value in spec.items() if key != "datasets"}
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    old = [name for name in spec.get("datasets", {}) if json.dumps(name) in text]
    old.sort(key=lambda name: text.index(json.dumps(name)))
    new = {name: f"rows_{number}" for number, name in enumerate(old, start=1)}
    for name in old:
        text = text.replace(f'"name": {json.dumps(name)}', f'"name": "{new[name]}"')
    seen: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        count = sum(1 for name in seen if name.startswith(match[1]))
        return seen.setdefault(match[0], f"{match[1]}_{count + 1}")

    result: Specification = json.loads(_AUTO_NAME.sub(renamed, text))
    if old:
        result["datasets"] = {new[name]: spec["datasets"][name] for name in old}
    return result


def _as_utc_wall_clock(spec: Specification) -> None:
    """Strip the zone of UTC times, which a browser would otherwise move to the reader's zone."""
    fields = {
        str(node["field"])
        for node in _nodes(spec)
        if "field" in node and (node.get("type") == "temporal" or "timeUnit" in node)
    }
    if not fields:
        return
    tables = [rows for rows in spec.get("datasets", {}).values() if isinstance(rows, list)]
    for rows in [*tables, *_inline_data(spec)]:
        for row in rows:
            if isinstance(row, dict):
                row.update({key: _wall_clock(row[key]) for key in fields & row.keys()})


def _wall_clock(value: object) -> object:
    match = _UTC_TIME.fullmatch(value) if isinstance(value, str) else None
    return f"{match[1]}T{match[2] or '00:00:00'}" if match else value


def _name(spec: Specification) -> str:
    return str(spec.get("name") or title_text(spec) or "without a name")


def title_text(spec: Specification) -> str:
    """Title of a specification as one line of text; empty where there is none."""
    title = spec.get("title", "")
    text = title.get("text", "") if isinstance(title, dict) else title
    return " ".join(map(str, text)) if isinstance(text, list) else str(text or "")


def _words(spec: Specification) -> str:
    description = spec.get("description") or title_text(spec) or "no description"
    return f"Chart: {description}"
