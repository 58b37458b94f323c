"""A set of files looked at together: what each holds, and what all of them cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.coverage import calendar, times_of
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading
from cascadelab.history.registry import read

__all__ = ["Survey", "files_of", "survey"]

#: Ends of names of files that lie beside data and hold none.
_BESIDE = (".part", ".part.json", ".checksum", ".md", ".html")
_FILES = pl.Schema(
    {
        "file": pl.String(),
        "kind": pl.String(),
        "venue": pl.String(),
        "symbol": pl.String(),
        "n_rows": pl.Int64(),
        "first_at": pl.Datetime("us", "UTC"),
        "last_at": pl.Datetime("us", "UTC"),
        "n_missing": pl.Int64(),
        "n_exact_duplicates": pl.Int64(),
        "n_masked": pl.Int64(),
        "is_lower_bound": pl.Boolean(),
        "problem": pl.String(),
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """What the files of a set hold.

    Parameters
    ----------
    files : polars.DataFrame
        One row per file: ``file``, ``kind``, ``venue``, ``symbol``, ``n_rows``, ``first_at``,
        ``last_at``, ``n_missing`` (rows of its grid), ``n_exact_duplicates``, ``n_masked``,
        ``is_lower_bound``, ``problem`` (why it could not be read; null where it was).
    calendar : polars.DataFrame
        Rows of all files by time, as :func:`cascadelab.history.coverage.calendar`.
    qualities : tuple of Quality
        Of the files that were read.
    largest : Reading
        The file with the most rows.
    """

    files: pl.DataFrame
    calendar: pl.DataFrame
    qualities: tuple[Quality, ...]
    largest: Reading


def files_of(path: str | Path) -> list[Path]:
    """All files of a folder and its folders by name, without checksums, parts and hidden ones.

    Parameters
    ----------
    path : str or Path
        A folder; a file stands for itself.

    Raises
    ------
    DataError
        If the folder holds no file.
    """
    folder = Path(path)
    if not folder.is_dir():
        return [folder]
    found = [
        item
        for item in sorted(folder.rglob("*"))
        if item.is_file()
        and not any(part.startswith(".") for part in item.relative_to(folder).parts)
        and not item.name.lower().endswith(_BESIDE)
    ]
    if not found:
        raise DataError.in_file(folder, "The folder holds no file.", "Pass another folder.")
    return found


def survey(paths: Sequence[str | Path], kind: str | None = None) -> Survey:
    """Read files one after the other and say what each holds and all cover.

    Parameters
    ----------
    paths : sequence of str or Path
    kind : str, optional
        As :func:`cascadelab.history.read`.

    Returns
    -------
    Survey
        Files that cannot be read are told, with the reason. Only the times of the rows and the
        largest file stay in memory.

    Raises
    ------
    DataError
        If none of the files can be read; that of the first.
    """
    rows: list[dict[str, object]] = []
    times = [pl.Series("at", [], pl.Datetime("us", "UTC"))]
    qualities: list[Quality] = []
    errors: list[DataError] = []
    largest: Reading | None = None
    for path in paths:
        try:
            reading = read(path, kind)
        except DataError as error:
            errors.append(error)
            rows.append({"file": Path(path).name, "problem": str(error)})
            continue
        quality = reading.quality
        told = {name: getattr(quality, name, None) for name in _FILES.names()}
        rows.append({**told, "file": Path(path).name})
        times.append(times_of(reading))
        qualities.append(quality)
        if largest is None or quality.n_rows > largest.quality.n_rows:
            largest = reading
    if largest is None:
        raise errors[0] if errors else DataError("No file is named. Pass at least one.")
    return Survey(
        files=pl.DataFrame(rows, schema=_FILES),
        calendar=calendar(pl.concat(times)),
        qualities=tuple(qualities),
        largest=largest,
    )
