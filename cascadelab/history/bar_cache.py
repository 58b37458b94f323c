"""A folder of tables, each under the hash of the file and of the settings it was made from."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl

from cascadelab.files import write_whole
from cascadelab.history.source import open_source

__all__ = ["load_or_make"]


def load_or_make(
    path: Path, folder: Path, key: str, make: Callable[[], pl.DataFrame]
) -> pl.DataFrame:
    """Return the cached table of a file under a key, made and stored first where it is missing.

    Parameters
    ----------
    path : Path
        The file the table is made from.
    folder : Path
        Made where missing.
    key : str
        Everything else the table depends on.
    make : callable
        Makes the table.

    Raises
    ------
    DataError
        If the file is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = open_source(path)
    name = hashlib.sha256(f"{_known_hash(source.path, folder)} {key}".encode()).hexdigest()[:32]
    kept = folder / f"{name}.parquet"
    if kept.is_file():
        try:
            return pl.read_parquet(kept)
        except (pl.exceptions.PolarsError, OSError):
            kept.unlink(missing_ok=True)  # damaged on disk: made anew below
    table = make()
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="lz4")  # read in half the time of zstd
    write_whole(kept, buffer.getvalue())
    return table


def _known_hash(path: Path, folder: Path) -> str:
    """SHA-256 of a file, remembered with its size and time of change."""
    state = path.stat()
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
    note = folder / f"{place}.hash"
    facts = [state.st_size, state.st_mtime_ns]
    try:
        told = json.loads(note.read_text())
        if told["facts"] == facts:
            return str(told["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    sha256 = open_source(path).sha256()
    write_whole(note, json.dumps({"facts": facts, "sha256": sha256}))
    return sha256
