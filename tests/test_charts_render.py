"""Charts: one theme, canonical data, files, and a watermark nobody can overlook."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import pytest

from cascadelab.charts import render, theme
from cascadelab.errors import ParameterError

MINUTES = pl.DataFrame(
    {
        "traded_at": [datetime(2025, 10, 10, 21, minute, tzinfo=UTC) for minute in (19, 20)],
        "day": [date(2025, 10, 10)] * 2,
        "price_usd": [110_000.0, 106_000.0],
        "side": ["long", "short"],
    }
)


@pytest.fixture(autouse=True)
def altair_as_found() -> Iterator[None]:
    before = alt.theme.active, alt.renderers.active, alt.data_transformers.active
    theme.enable()
    yield
    alt.theme.enable(before[0])
    alt.renderers.enable(before[1])
    alt.data_transformers.enable(before[2])


def price_chart(frame: pl.DataFrame = MINUTES) -> Any:
    return (
        alt.Chart(frame)
        .mark_line()
        .encode(x=alt.X("traded_at", title="Time (UTC)"), y=alt.Y("price_usd", title="Price (USD)"))
        .properties(name="price", title="Price", description="Price falls by 4,000 USD.")
    )


def luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def test_importing_the_package_does_not_import_altair() -> None:
    code = "import sys, cascadelab, cascadelab.charts.theme, cascadelab.charts.render;"
    code += "assert not {'altair', 'vl_convert', 'papermill'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_equal_charts_have_equal_hashes_however_many_charts_came_before() -> None:
    first = render.chart_hash(price_chart().interactive())
    price_chart().interactive()
    assert render.chart_hash(price_chart().interactive()) == first


def test_one_changed_price_changes_the_hash() -> None:
    other = MINUTES.with_columns(price_usd=pl.Series([110_000.0, 106_001.0]))
    assert render.chart_hash(price_chart(other)) != render.chart_hash(price_chart())


def test_parameters_in_expressions_are_renamed_with_their_definitions() -> None:
    spec = {
        "params": [{"name": "param_7", "value": 2}, {"name": "param_12", "value": 3}],
        "transform": [{"calculate": "datum.price_usd * param_7 + param_12", "as": "twice"}],
    }
    text = render.canonical_json(render.specification(spec))
    assert '"name":"param_1","value":2' in text
    assert "* param_1 + param_2" in text


def test_times_show_as_utc_in_every_zone() -> None:
    rows = render.specification(price_chart())["datasets"]["rows_1"]
    assert rows[0]["traded_at"] == "2025-10-10T21:19:00"


def test_a_date_written_as_text_does_not_move_to_the_day_before() -> None:
    spec = {
        "data": {"values": [{"day": "2025-10-10", "label": "2025-10-10"}]},
        "mark": "point",
        "encoding": {"x": {"field": "day", "type": "temporal"}, "text": {"field": "label"}},
    }
    row = render.specification(spec)["data"]["values"][0]
    assert row == {"day": "2025-10-10T00:00:00", "label": "2025-10-10"}


def test_more_rows_than_allowed_are_refused_with_the_cure() -> None:
    frame = pl.DataFrame({"traded_at": range(5_001), "price_usd": range(5_001)})
    with pytest.raises(ParameterError, match=r"'price' holds 5,001 rows.*at most 5,000.*Aggregate"):
        render.specification(price_chart(frame))
    render.specification(price_chart(frame.head(5_000)))


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ParameterError, match="not finite"):
        render.canonical_json({"name": "x", "width": float("inf")})


def test_a_chart_that_cannot_be_drawn_is_named_in_one_line() -> None:
    twice = alt.hconcat(price_chart(), price_chart())
    with pytest.raises(ParameterError, match="cannot be drawn") as caught:
        render.svg(render.specification(twice))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".svg", b"<svg"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".json", b"{")],
)
def test_each_format_is_written_by_its_suffix(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = render.save(price_chart(), tmp_path / f"price{suffix}")
    assert path.read_bytes().startswith(start)
    assert [item.name for item in tmp_path.iterdir()] == [f"price{suffix}"]


def test_json_and_svg_files_have_the_same_bytes_twice(tmp_path: Path) -> None:
    for suffix in (".json", ".svg", ".html"):
        one = render.save(price_chart(), tmp_path / f"a{suffix}").read_bytes()
        assert render.save(price_chart(), tmp_path / f"b{suffix}").read_bytes() == one


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"'\.sgv'.*Did you mean '\.svg'"):
        render.save(price_chart(), tmp_path / "price.sgv")


def test_a_displayed_chart_carries_its_specification_and_its_picture() -> None:
    bundle, _ = price_chart()._repr_mimebundle_()
    assert sorted(bundle) == ["application/vnd.vegalite.v6+json", "image/svg+xml", "text/plain"]
    assert bundle["text/plain"] == "Chart: Price falls by 4,000 USD."
    assert "Price (USD)" in bundle["image/svg+xml"]


def test_the_theme_is_in_the_specification() -> None:
    config = render.specification(price_chart())["config"]
    assert config["range"]["category"] == list(theme.CATEGORIES)


def test_enabling_twice_is_harmless() -> None:
    theme.enable()
    theme.enable()
    assert alt.theme.active == "cascadelab"


def test_neighbouring_categories_differ_in_grey() -> None:
    greys = [luminance(colour) for colour in theme.CATEGORIES]
    pairs = itertools.pairwise(greys[:5])
    assert min(abs(one - other) for one, other in pairs) > 0.15
    assert abs(luminance(theme.colour("long")) - luminance(theme.colour("short"))) > 0.15


def test_an_unknown_colour_suggests_the_nearest() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'liquidation'"):
        theme.colour("liquidaton")


@pytest.mark.parametrize("kind", ["single", "layer", "row", "beside", "facet", "encoded"])
def test_synthetic_data_is_written_on_every_kind_of_chart(kind: str) -> None:
    base = price_chart()
    plain = base.properties(name="other", title="")
    charts = {
        "single": base,
        "layer": alt.layer(base, plain).properties(title="Both"),
        "row": alt.vconcat(base, plain),
        "beside": alt.hconcat(base, plain),
        "facet": plain.facet("side"),
        "encoded": base.encode(column="side"),
    }
    chart = charts[kind]
    before = json.dumps(chart.to_dict(), sort_keys=True)
    picture = render.svg(render.specification(theme.watermark(chart)))
    panels = {"row": 2, "beside": 2, "facet": 2}.get(kind, 1)
    assert picture.count(f">{theme.WATERMARK}<") == panels
    assert json.dumps(chart.to_dict(), sort_keys=True) == before


def test_a_watermarked_chart_keeps_name_title_and_description() -> None:
    spec = render.specification(theme.watermark(price_chart()))
    assert (spec["name"], spec["title"]) == ("price", "Price")
    assert spec["description"] == "Price falls by 4,000 USD."


def test_the_words_stand_in_the_middle_of_their_panel() -> None:
    panels = [price_chart().properties(name=name, width=250, height=120) for name in "ab"]
    picture = render.svg(render.specification(theme.watermark(alt.vconcat(*panels))))
    places = re.findall(r"translate\((\d+),(\d+)\)[^>]*>SYNTHETIC", picture)
    assert [place[0] for place in places] == ["125", "125"]
    assert all(55 <= int(place[1]) <= 75 for place in places)


def test_only_charts_can_be_watermarked() -> None:
    with pytest.raises(ParameterError, match="asked for str"):
        theme.watermark("chart")
