"""A folder of files looked at together."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cascadelab.errors import DataError
from cascadelab.history.surveys import files_of, survey

HEAD = "time,open,high,low,close,volume\n"


def bars(folder: Path, name: str, day: int, n_hours: int) -> Path:
    path = folder / name
    lines = [f"2025-10-{day:02d} {hour:02d}:00:00,1,2,1,2,3\n" for hour in range(n_hours)]
    path.write_text(HEAD + "".join(lines))
    return path


def test_a_set_has_a_row_per_file_and_one_calendar(tmp_path: Path) -> None:
    bars(tmp_path, "a.csv", 10, 24)
    bars(tmp_path, "b.csv", 12, 3)
    (tmp_path / "c.csv").write_text("")
    (tmp_path / "a.csv.CHECKSUM").write_text("0 a.csv\n")
    (tmp_path / ".hidden").write_text("x")
    files = files_of(tmp_path)
    assert [file.name for file in files] == ["a.csv", "b.csv", "c.csv"]
    looked = survey(files)
    assert looked.files["n_rows"].to_list() == [24, 3, None]
    assert looked.files["last_at"][1] == datetime(2025, 10, 12, 2, tzinfo=UTC)
    assert "empty (0 bytes)" in looked.files["problem"][2]
    assert looked.largest.quality.source == "a.csv"
    rows = {
        (row["period"], row["part"]): row["n_rows"] for row in looked.calendar.iter_rows(named=True)
    }
    assert len(rows) == 3 * 24
    assert sum(n for (day, _), n in rows.items() if day == "2025-10-11") == 0
    assert (rows["2025-10-12", 2], rows["2025-10-12", 3]) == (1, 0)


def test_a_set_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no file"):
        files_of(tmp_path)
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(DataError, match=r"a\.csv: The file is empty"):
        survey(files_of(tmp_path))
    assert files_of(tmp_path / "a.csv") == [tmp_path / "a.csv"]
