"""The one look of all charts: colours that survive colour blindness and grey print, legible sizes.

The eight colours are those of Okabe and Ito. Their lightness differs too, in the order of
:data:`CATEGORIES`, so that neighbours stay apart when printed in grey; give lines the dashes of
:data:`DASHES` in the same order where there are more than two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cascadelab.errors import ParameterError, nearest

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "CATEGORIES",
    "COLOURS",
    "DASHES",
    "WATERMARK",
    "colour",
    "enable",
    "row_axis",
    "watermark",
]

#: Colours by meaning. A chart asks for the meaning, never for a colour.
COLOURS: dict[str, str] = {
    "price": "#1A1A1A",
    "long": "#0072B2",
    "short": "#E69F00",
    "liquidation": "#D55E00",
    "deleveraging": "#CC79A7",
    "depth": "#56B4E9",
    "model": "#009E73",
    "calm": "#56B4E9",
    "cascade": "#D55E00",
    "critical": "#D55E00",
    "threshold": "#595959",
    "uncertainty": "#BFBFBF",
    "reference": "#8C8C8C",
    "synthetic": "#7F7F7F",
}

#: Colours of unordered categories: dark and light take turns.
CATEGORIES: tuple[str, ...] = (
    "#0072B2",
    "#E69F00",
    "#1A1A1A",
    "#56B4E9",
    "#D55E00",
    "#009E73",
    "#CC79A7",
)

#: Dashes of lines, in the order of :data:`CATEGORIES`.
DASHES: tuple[tuple[int, ...], ...] = (
    (1, 0),
    (6, 3),
    (2, 2),
    (8, 2, 2, 2),
    (4, 4),
    (10, 4),
    (1, 3),
)

#: Text laid over every chart of synthetic data.
WATERMARK = "SYNTHETIC DATA"

_NAME = "cascadelab"
_FONT = "Arial, Helvetica, Liberation Sans, sans-serif"
_INK = "#262626"
#: The panel a mark stands in; the plain ``width`` of Vega is that of the whole figure.
_PANEL = "item.mark.group"
#: Size of the words, as wide as the panel allows and at most a third of its height.
_WATERMARK_SIZE = f"max(13, min({_PANEL}.width / 11, {_PANEL}.height / 3))"


def colour(meaning: str) -> str:
    """Colour of a meaning, as ``#RRGGBB``.

    Raises
    ------
    ParameterError
        If the meaning has no colour.

    Examples
    --------
    >>> colour("long")
    '#0072B2'
    """
    if meaning not in COLOURS:
        raise ParameterError.unknown("colour", meaning, COLOURS)
    return COLOURS[meaning]


def enable() -> None:
    """Make Altair use our theme and renderer in this process; safe to call again.

    Every chart function of the package calls it first; a notebook that makes its own Altair chart
    calls it in the set-up cell. Charts then show as a Vega-Lite specification with an SVG beside
    it, so that nothing is fetched from a network.
    """
    import altair as alt

    from cascadelab.charts import render

    if _NAME not in alt.theme.names():
        alt.theme.register(_NAME, enable=False)(lambda: alt.theme.ThemeConfig(config=_config()))
        alt.renderers.register(_NAME, render.display)
    if alt.theme.active != _NAME:
        alt.theme.enable(_NAME)
    if alt.renderers.active != _NAME:
        alt.renderers.enable(_NAME)
    # Rows are counted by the renderer, whose message says what to do.
    alt.data_transformers.enable("default", max_rows=None)


def row_axis(title: str) -> alt.Axis:
    """Axis of rows with its title lying above the labels, where few rows leave it no height."""
    import altair as alt

    return alt.Axis(
        title=title, titleAngle=0, titleAlign="right", titleAnchor="end", titleX=-8, titleY=-10
    )


def _config() -> Any:
    """Vega-Lite configuration of the theme."""
    text = {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 12, "titleFontSize": 13}
    return {
        "font": _FONT,
        "background": "#FFFFFF",
        "padding": 8,
        "view": {"continuousWidth": 640, "continuousHeight": 320, "stroke": None},
        "title": {
            "anchor": "start",
            "color": _INK,
            "fontSize": 16,
            "fontWeight": 600,
            "offset": 12,
            "subtitleColor": "#595959",
            "subtitleFontSize": 13,
        },
        "axis": {
            **text,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "gridColor": "#E6E6E6",
            "domainColor": "#8C8C8C",
            "tickColor": "#8C8C8C",
            "labelOverlap": "greedy",
            "labelSeparation": 6,
            "labelFlush": False,
        },
        "legend": {**text, "titleFontWeight": "normal", "symbolSize": 120, "orient": "top"},
        "header": {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 12},
        "range": {
            "category": list(CATEGORIES),
            "heatmap": {"scheme": "cividis"},
            "ramp": {"scheme": "cividis"},
            "diverging": {"scheme": "blueorange"},
        },
        "mark": {"color": CATEGORIES[0]},
        "line": {"strokeWidth": 2},
        "rule": {"color": COLOURS["threshold"], "strokeWidth": 1.5},
        "point": {"size": 50, "filled": True},
        "text": {"color": _INK, "fontSize": 12},
    }


def watermark(chart: Any) -> Any:
    """Return the chart with "SYNTHETIC DATA" laid across every panel.

    Parameters
    ----------
    chart : Altair chart
        Single, layered, concatenated or faceted. A chart whose panels come from a ``row``,
        ``column`` or ``facet`` encoding carries the words in its title instead.

    Returns
    -------
    Altair chart
        A copy; name, description, title and size are kept.

    Raises
    ------
    ParameterError
        If the chart is of another kind.
    """
    import altair as alt

    if isinstance(chart, alt.HConcatChart | alt.VConcatChart | alt.ConcatChart):
        return _mark_panels(chart)
    if isinstance(chart, alt.FacetChart):
        marked = chart.copy(deep=True)
        marked.spec = watermark(marked.spec)
        return marked
    if isinstance(chart, alt.Chart) and _has_facets(chart):
        return _mark_title(chart)
    if isinstance(chart, alt.Chart | alt.LayerChart):
        return _mark_layer(chart)
    kinds = ["Chart", "LayerChart", "HConcatChart", "VConcatChart", "ConcatChart", "FacetChart"]
    found = type(chart).__name__
    msg = f"A watermark was asked for {found}; expected an Altair chart. {nearest(found, kinds)}"
    raise ParameterError(msg)


def _mark_panels(chart: Any) -> Any:
    marked = chart.copy(deep=True)
    key = next(name for name in ("hconcat", "vconcat", "concat") if name in marked._kwds)
    marked[key] = [watermark(panel) for panel in marked[key]]
    return marked


def _has_facets(chart: Any) -> bool:
    import altair as alt

    if chart.encoding is alt.Undefined:
        return False
    channels = ("row", "column", "facet")
    return any(
        getattr(chart.encoding, name, alt.Undefined) is not alt.Undefined for name in channels
    )


def _mark_title(chart: Any) -> Any:
    import altair as alt

    title = chart.title
    if isinstance(title, alt.TitleParams):
        marked = title.copy(deep=True)
        marked.subtitle = WATERMARK
        return chart.properties(title=marked)
    text = "" if title is alt.Undefined else title
    return chart.properties(title=alt.TitleParams(text=text, subtitle=WATERMARK))


def _mark_layer(chart: Any) -> Any:
    """Layer the words over a chart; what belongs to the whole is moved to the layered chart."""
    import altair as alt

    inner = chart.copy(deep=True)
    whole = {}
    for name in ("title", "name", "description", "usermeta", "width", "height", "config"):
        value = getattr(inner, name, alt.Undefined)
        if value is not alt.Undefined:
            whole[name] = value
            inner[name] = alt.Undefined
    words = alt.Chart(alt.InlineData(values=[{}])).mark_text(
        text=WATERMARK,
        x=alt.expr(f"{_PANEL}.width / 2"),
        # In a panel of one row the middle is where its bar or point stands.
        y=alt.expr(f"{_PANEL}.height * ({_PANEL}.height < 70 ? 0.8 : 0.5)"),
        fontSize=alt.expr(_WATERMARK_SIZE),
        fontWeight="bold",
        color=COLOURS["synthetic"],
        # The pale edge keeps the words legible on dark cells, the grey body on white.
        stroke="#FFFFFF",
        strokeWidth=alt.expr(f"max(0.7, {_WATERMARK_SIZE} / 28)"),
        opacity=alt.expr(f"{_WATERMARK_SIZE} < 24 ? 0.8 : 0.4"),
        tooltip=None,
    )
    marked = alt.layer(inner, words)
    for name, value in whole.items():
        marked[name] = value
    return marked
