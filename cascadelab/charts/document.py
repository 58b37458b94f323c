"""HTML documents that are one file: styles, chart library and data inside, nothing fetched.

A content policy in each document forbids the browser to load anything and to run any script but
the ones written here, named by their hash.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import threading
from pathlib import Path
from typing import Any

__all__ = ["chart_document", "chart_library", "data_address", "document", "figure"]

_FOLDER = Path(__file__).resolve().parent
_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_LIBRARY: list[str] = []
_LIBRARY_LOCK = threading.Lock()


def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script (0.9 MB), made once per process."""
    with _LIBRARY_LOCK:
        if not _LIBRARY:
            import vl_convert

            script = vl_convert.javascript_bundle(_SNIPPET)
            _LIBRARY.append(script.replace("</script", "<\\/script"))
    return _LIBRARY[0]


def document(title: str, body: str, has_charts: bool) -> str:
    """A whole HTML document.

    Parameters
    ----------
    title : str
        Escaped here.
    body : str
        HTML, already safe.
    has_charts : bool
        Whether the chart library is put in; a page without charts has no script at all.

    Returns
    -------
    str
    """
    scripts = []
    if has_charts:
        scripts = [chart_library(), (_FOLDER / "page.js").read_text(encoding="utf-8")]
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    policy = (
        f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src {allowed}; base-uri 'none'; form-action 'none'"
    )
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    tail = "".join(f"<script>{script}</script>\n" for script in scripts)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n{body}\n{tail}</body>\n</html>\n"
    )


def figure(spec: dict[str, Any], svg: str, name: str, description: str, caption: str) -> str:
    """A chart: its picture, and the data from which ``page.js`` makes it respond.

    Parameters
    ----------
    spec : dict
        Vega-Lite specification.
    svg : str
        Shown until, or if never, scripts run.
    name : str
        Unique in the page; letters, digits, ``-`` and ``_``.
    description : str
        Read aloud in place of the chart; escaped here.
    caption : str
        HTML below the chart, already safe.
    """
    inner = {key: value for key, value in spec.items() if key != "$schema"}
    data = json.dumps(inner, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    data = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    words = html.escape(description)
    picture = data_address(svg.encode(), "image/svg+xml")
    return (
        f'<figure class="chart" id="{name}">\n'
        f'<div class="vega" role="img" aria-label="{words}" data-spec="spec-{name}">'
        f'<img alt="{words}" src="{picture}"></div>\n'
        f'<script type="application/json" id="spec-{name}">{data}</script>\n'
        f"<figcaption>{caption}</figcaption>\n</figure>\n"
    )


def data_address(content: bytes, mime: str) -> str:
    """Bytes as a ``data:`` address."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def chart_document(spec: dict[str, Any]) -> str:
    """One chart as a document of its own, which responds with no network."""
    from cascadelab.charts.render import svg, title_text

    title = title_text(spec) or "Chart"
    description = str(spec.get("description") or title)
    body = figure(spec, svg(spec), "chart", description, html.escape(description))
    return document(title, f"<main>{body}</main>", has_charts=True)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
