"""The output folder: whole run folders or none, what is finished, one writer at a time.

A run is built in ``.work/`` and renamed when complete, so a kill at any moment leaves either the
old folder, the new one, or none; never a half-written page under a name that a reader sees.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cascadelab.errors import ReportError
from cascadelab.files import write_whole
from cascadelab.fingerprint import file_hash

__all__ = [
    "as_json",
    "cannot_write",
    "finished_record",
    "install",
    "is_current",
    "locked",
    "read_times",
    "remember",
    "seal",
    "write_times",
]

Record = dict[str, Any]

_WORK = ".work"
_STATE = ".state.json"
_RECORD = "run.json"
_CHECK = ".check.json"
_TIMES = "times.json"


def cannot_write(out: Path, error: OSError) -> ReportError:
    """Error for an output folder that does not take what is written; finished work is kept."""
    reason = error.strerror or str(error)
    return ReportError(
        f"{out}: cannot write the report here ({reason}). A folder with room that you may write to "
        f"was expected. Free space or pass another folder with --out; finished runs are kept."
    )


@contextlib.contextmanager
def locked(out: Path) -> Iterator[Path]:
    """Make the output folder, hold it alone, and give an empty scratch folder inside it.

    Raises
    ------
    ReportError
        If the folder cannot be written, or another report is being written to it.
    """
    work = out / _WORK
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise cannot_write(out, error) from error
    with lock:
        _lock(lock, out)
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
        except OSError as error:
            raise cannot_write(out, error) from error
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _lock(lock: IO[str], out: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; two writers at once are then not noticed
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ReportError(
            f"{out}: another report is being written here. Wait for it or pass another --out."
        ) from error


def install(staged: Path, target: Path) -> None:
    """Move a complete run folder to its place, in exchange for an older one.

    `staged` must lie in the scratch folder, on the same file system.
    """
    old = staged.with_name(f"old-{target.name}")
    if target.exists():
        target.rename(old)
    staged.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def seal(folder: Path, record: Record, input_paths: dict[str, str]) -> None:
    """Write ``run.json`` and the hash of every file of a run folder; the last step of a run.

    Hashes and input paths go to a file of their own: PDF bytes and paths differ between runs and
    machines, the record does not.
    """
    write_whole(folder / _RECORD, as_json(record))
    names = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {path.relative_to(folder).as_posix(): file_hash(path) for path in names}
    write_whole(folder / _CHECK, as_json({"files": files, "inputs": input_paths}))
    _sync(folder)


def _sync(folder: Path) -> None:
    """Flush names to the disk, where the system can: a power cut after this changes nothing."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def finished_record(folder: Path, key: str) -> Record | None:
    """Record of a run that is done, whole and still valid; else None.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    key : str
        Hash of everything the run depends on. A run with another key, with a file missing or
        altered, or whose input files have changed since, is not finished.
    """
    record, check = _read(folder / _RECORD), _read(folder / _CHECK)
    if not record or not check or record.get("status") != "done" or record.get("key") != key:
        return None
    inputs = {str(path): digest for digest, path in check["inputs"].items()}
    is_valid = _are_intact(folder, check["files"]) and _are_intact(Path(), inputs)
    return record if is_valid else None


def remember(out: Path, key: str, names: list[str]) -> None:
    """Note that the files on top of the folder belong to the batch `key`."""
    files = {name: file_hash(out / name) for name in names}
    write_whole(out / _STATE, as_json({"key": key, "files": files}))


def is_current(out: Path, key: str) -> bool:
    """Whether index, numbers and provenance are those of the batch `key`, unaltered."""
    state = _read(out / _STATE)
    return bool(state and state.get("key") == key and _are_intact(out, state["files"]))


def read_times(out: Path) -> Record:
    """Seconds each run took, by run id; kept apart because they differ from run to run."""
    return _read(out / _TIMES) or {}


def write_times(out: Path, seconds: Record) -> None:
    """Write the seconds each run took."""
    write_whole(out / _TIMES, as_json(seconds))


def as_json(value: object) -> str:
    """Readable JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n"


def _read(path: Path) -> Record | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _are_intact(folder: Path, files: dict[str, str]) -> bool:
    try:
        return all(file_hash(folder / name) == digest for name, digest in files.items())
    except OSError:
        return False
