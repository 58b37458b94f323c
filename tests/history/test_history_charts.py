"""Pictures of data quality: the right rows, units and words, and holes that look like holes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import altair as alt
import polars as pl
import pytest

from cascadelab.charts import history as charts
from cascadelab.charts import render, theme

START = datetime(2025, 10, 10, 21, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def altair_as_found() -> Iterator[None]:
    before = alt.theme.active, alt.renderers.active, alt.data_transformers.active
    yield
    alt.theme.enable(before[0])
    alt.renderers.enable(before[1])
    alt.data_transformers.enable(before[2])


def rows_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    if "values" in spec["data"]:
        return list(spec["data"]["values"])
    (rows,) = spec["datasets"].values()
    return list(rows)


def calendar() -> pl.DataFrame:
    hours = pl.DataFrame({"hour": pl.Series(range(24), dtype=pl.Int8)})
    days = pl.DataFrame({"day": [date(2025, 10, 10), date(2025, 10, 11)]})
    n_rows = pl.when(pl.col("hour") == 5).then(0).otherwise(60).cast(pl.Int64)
    return days.join(hours, how="cross").with_columns(n_rows=n_rows)


def capped() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "minute_at": [START + timedelta(minutes=n) for n in range(3)],
            "n_seconds": [10, 4, 7],
            "n_capped": [9, 0, 7],
        }
    )


def spells() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "band_fraction": [-0.01, -0.01, 0.002],
            "from_at": [START, START + timedelta(minutes=30), START],
            "until_at": [START + timedelta(minutes=20), START + timedelta(hours=3), START],
            "n_snapshots": [40, 300, 5],
            "depth_base": [53.0, 17.65, 2.0],
        }
    )


CHARTS = {
    "coverage": lambda: charts.coverage_calendar(calendar()),
    "capped_seconds": lambda: charts.capped_seconds(capped()),
    "frozen_bands": lambda: charts.frozen_bands(spells()),
}


def test_the_calendar_has_a_cell_per_hour_and_leaves_holes_white() -> None:
    spec = render.specification(CHARTS["coverage"]())
    rows = rows_of(spec)
    assert len(rows) == 48
    assert {(row["day"], row["hour"]) for row in rows if row["n_rows"] == 0} == {
        ("2025-10-10", 5),
        ("2025-10-11", 5),
    }
    encoding = spec["encoding"]
    assert (encoding["x"]["field"], encoding["y"]["field"]) == ("hour", "day")
    assert "UTC" in encoding["x"]["title"]
    assert "UTC" in encoding["y"]["axis"]["title"]
    assert encoding["color"]["condition"]["test"] == "datum.n_rows > 0"
    assert encoding["color"]["value"] == "white"
    picture = render.svg(spec)
    assert picture.count('fill="white"') >= 2
    assert picture.count('fill="rgb(') + picture.count('fill="#') >= 46


def test_capped_and_free_seconds_add_up_to_all_of_them() -> None:
    spec = render.specification(CHARTS["capped_seconds"]())
    found: dict[tuple[str, str], int] = {
        (row["minute_at"], row["state"]): row["n"] for row in rows_of(spec)
    }
    states = {state for _, state in found}
    assert states == {"at the limit", "below it"}
    assert sum(found.values()) == 21
    assert sum(n for (_, state), n in found.items() if state == "at the limit") == 16
    assert min(found.values()) == 0
    scale = spec["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == {
        "at the limit": theme.colour("cascade"),
        "below it": theme.colour("uncertainty"),
    }
    assert spec["encoding"]["y"]["title"] == "symbol-seconds with an order (count)"
    assert spec["encoding"]["x"]["title"] == "time (UTC), from 2025-10-10"


def test_frozen_spells_are_drawn_from_first_to_last_in_percent_of_the_price() -> None:
    spec = render.specification(CHARTS["frozen_bands"]())
    rows = rows_of(spec)
    assert [row["band"] for row in rows] == [-1.0, -1.0, 0.2]
    assert spec["encoding"]["x"]["field"] == "from_at"
    assert spec["encoding"]["x2"]["field"] == "until_at"
    assert spec["encoding"]["y"]["axis"]["title"] == "band, % from the price"
    assert [str(row["from_at"])[:19].replace("T", " ") for row in rows] == [
        "2025-10-10 21:00:00",
        "2025-10-10 21:30:00",
        "2025-10-10 21:00:00",
    ]
    picture = render.svg(spec)
    assert ">21:00<" in picture
    assert ">-1<" in picture


@pytest.mark.parametrize("name", list(CHARTS))
def test_every_picture_has_a_name_a_title_a_subtitle_and_takes_the_watermark(name: str) -> None:
    chart = CHARTS[name]()
    spec = render.specification(chart)
    assert spec["name"] == name
    assert spec["title"]["text"]
    assert spec["title"]["subtitle"]
    picture = render.svg(render.specification(theme.watermark(chart)))
    assert f">{theme.WATERMARK}<" in picture
    assert f">{theme.WATERMARK}<" not in render.svg(spec)


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (charts.coverage_calendar, calendar()),
        (charts.capped_seconds, capped()),
        (charts.frozen_bands, spells()),
    ],
)
def test_a_table_without_rows_gives_an_empty_picture_and_no_error(
    draw: Any, table: pl.DataFrame
) -> None:
    assert render.svg(render.specification(draw(table.clear()))).startswith("<svg")


def test_a_file_of_weeks_shows_days_on_its_axis() -> None:
    long = capped().with_columns(
        minute_at=pl.col("minute_at") + pl.duration(days=10 * pl.int_range(pl.len()))
    )
    spec = render.specification(charts.capped_seconds(long))
    assert spec["encoding"]["x"]["axis"]["format"] == "%Y-%m-%d"
    assert spec["encoding"]["x"]["title"] == "time (UTC)"
