"""One function over many points, on any executor, with the same rows on each and after a kill.

``run(function, points)`` works on one core; give it a ``ThreadPoolExecutor``, the pool of
:func:`spawned`, or ``Client.get_executor()`` of ``dask.distributed``, and the rows stay the same
to the last bit: each point draws from its own stream, which depends on the seed and on what the
point says, not on where or when it is worked on.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cascadelab.errors import DataError, ParameterError
from cascadelab.files import write_whole

__all__ = ["run", "spawned"]

Row = Mapping[str, object]
Function = Callable[[dict[str, Any], np.random.Generator], Row | Sequence[Row]]

#: Tasks a grid is cut into: enough to spread and to lose little when killed.
_N_TASKS = 128
#: Column of a stored part that names the point a row belongs to.
_KEY = "__point__"
#: One thread each for the libraries that would otherwise start one per core in every worker.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclass(frozen=True)
class _Item:
    """One point on its way to a worker: its key, what it says and the key of its stream."""

    key: str
    point: dict[str, Any]
    stream: tuple[int, ...]


def run(
    function: Function,
    points: Sequence[Mapping[str, object]] | pl.DataFrame,
    executor: Executor | None = None,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    data: str = "",
) -> pl.DataFrame:
    """Rows of a function at every point.

    Parameters
    ----------
    function : callable
        Takes a point (a dict) and a ``numpy.random.Generator``; returns a row, or several, as
        mappings of plain values. For processes and clusters it must be importable.
    points : sequence of mappings, or polars.DataFrame
        Plain values: numbers, text, booleans, None. A point may occur more than once; each
        occurrence has its own random stream.
    executor : concurrent.futures.Executor, optional
        None: one after the other, here.
    seed : int
        Seed of all streams.
    folder : path, optional
        Where finished points are kept, and ``rows.parquet`` at the end. A second call with the
        same function, points, seed and data only does what is missing. None: nothing is kept.
        The function's source counts, and the numbers, text, arrays and records that it encloses
        or is given as defaults or by ``functools.partial``. Functions it calls, globals, lists
        and tables do not: name a change of those in `data`, or take a new folder.
    data : str
        Fingerprint of the data the function reads, if any; a change makes stored points void.

    Returns
    -------
    polars.DataFrame
        Columns of the point, then those of the rows, in the order of the points. The same bits
        whatever the executor, its number of workers, the order of work or interruptions.

    Raises
    ------
    ParameterError
        If a point is not made of plain values, the function returns something else than rows of
        them, a column mixes kinds, or a row repeats a name of its point.
    DataError
        If a stored part is damaged.
    Exception
        What the function raised, with a note naming the point. Points finished before stay
        stored.

    Examples
    --------
    >>> run(lambda point, rng: {"square": point["x"] ** 2}, [{"x": 2}, {"x": 3}]).rows()
    [(2, 4), (3, 9)]
    """
    listed = points.to_dicts() if isinstance(points, pl.DataFrame) else [dict(p) for p in points]
    items = _items(function, listed, seed, data)
    seed = int(seed)
    parts = None if folder is None else Path(folder) / "parts"
    done = {} if parts is None else _stored(parts, {item.key for item in items})
    pending = [item for item in items if item.key not in done]
    for result in _work_all(function, seed, pending, executor):
        if parts is not None:
            _store(parts, result)
        done.update(result)
    frame = _frame(items, done)
    if folder is not None:
        write_whole(Path(folder) / "rows.parquet", _parquet(frame))
    return frame


@contextmanager
def spawned(n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Pool of spawned processes with one library thread each, for :func:`run`.

    Parameters
    ----------
    n_workers : int
        Processes. Never forked: polars does not survive a fork.
    """
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn")) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _items(function: Function, points: list[dict[str, Any]], seed: int, data: str) -> list[_Item]:
    """Points with their keys: hash of function, point, how often it occurred, seed and data."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ParameterError(f"seed is {seed!r}; expected an integer of at least 0. Pass one.")
    version = _version(function)
    seen: Counter[str] = Counter()
    items = []
    for row, point in enumerate(points):
        text = _text(point, row)
        said = f"{text}#{seen[text]}"
        seen[text] += 1
        digest = hashlib.sha256(said.encode()).digest()
        stream = tuple(np.frombuffer(digest, dtype=np.uint32).tolist())
        whole = "\n".join((version, said, str(seed), data))
        items.append(_Item(hashlib.sha256(whole.encode()).hexdigest(), point, stream))
    return items


def _text(point: dict[str, Any], row: int) -> str:
    """Canonical text of a point; numbers keep every bit and their kind."""
    for name, value in point.items():
        if not isinstance(name, str):
            raise ParameterError(f"Point {row} has the name {name!r}; expected text. Rename it.")
        if isinstance(value, np.generic):
            point[name] = value.item()
        elif not (value is None or isinstance(value, bool | int | float | str)):
            raise ParameterError(
                f"Point {row}, {name!r} is a {type(value).__name__}; expected a number, text, "
                f"boolean or None. Pass plain values and let the function build the rest."
            )
    return json.dumps(point, sort_keys=True)


def _version(function: object) -> str:
    """What a function is: name, source and what it holds, so that a change voids stored points.

    Held are defaults, values of enclosing functions and arguments of ``functools.partial``. What
    it calls or reads as a module's global is not looked into, nor are lists, dicts and other
    objects that change: a function may keep notes in them.
    """
    import cascadelab

    if isinstance(function, partial):
        held: list[object] = [function.args, tuple(sorted(function.keywords.items()))]
        return f"{_version(function.func)} {_held(held)}"
    try:
        source = inspect.getsource(function)  # type: ignore[arg-type]
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        source = repr(type(function)) if code is None else f"{code.co_code!r}{code.co_consts!r}"
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    held = [*cells, *(getattr(function, name, None) for name in ("__defaults__", "__kwdefaults__"))]
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    digest = hashlib.sha256(source.encode()).hexdigest()
    return f"{cascadelab.__version__} {name} {digest} {_held(held)}"


def _held(values: Iterable[object]) -> str:
    """Hash of those values that do not change by themselves."""
    digest = hashlib.sha256()
    for value in values:
        if inspect.isroutine(value) or isinstance(value, partial):
            text = _version(value)
        elif isinstance(value, tuple):
            text = _held(value)
        elif isinstance(value, np.ndarray) and value.dtype != object:
            text = f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
        elif is_dataclass(value) and not isinstance(value, type):
            text = type(value).__qualname__ + _held(
                getattr(value, item.name) for item in fields(value)
            )
        elif value is None or isinstance(value, bool | int | float | str | bytes | np.generic):
            text = repr(value)
        else:
            text = type(value).__qualname__
        digest.update(f"{len(text)} {text}".encode())
    return digest.hexdigest()


Result = dict[str, list[dict[str, object]]]


def _work_all(
    function: Function, seed: int, items: list[_Item], executor: Executor | None
) -> Iterator[Result]:
    """Results of tasks as they finish, with a progress bar on a terminal."""
    from tqdm import tqdm

    size = max(1, -(-len(items) // _N_TASKS))
    tasks = [items[start : start + size] for start in range(0, len(items), size)]
    with tqdm(total=len(items), unit="point", disable=None) as bar:
        for result in _results(function, seed, tasks, executor):
            bar.update(len(result))
            yield result


def _results(
    function: Function, seed: int, tasks: list[list[_Item]], executor: Executor | None
) -> Iterator[Result]:
    if executor is None:
        for task in tasks:
            yield _work(function, seed, task)
        return
    futures: list[Future[Result]] = [executor.submit(_work, function, seed, task) for task in tasks]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _work(function: Function, seed: int, items: list[_Item]) -> Result:
    """Rows of a few points; runs in the worker."""
    out: Result = {}
    for item in items:
        stream = np.random.SeedSequence(entropy=seed, spawn_key=item.stream)
        try:
            found = function(dict(item.point), np.random.default_rng(stream))
        except Exception as error:
            error.add_note(f"at the point {item.point}")
            raise
        out[item.key] = [
            {name: _plain(name, value, item.point) for name, value in row.items()}
            for row in _rows(found, item.point)
        ]
    return out


def _rows(found: object, point: dict[str, Any]) -> list[Row]:
    """What a function returned at a point, as rows."""
    is_one = isinstance(found, Mapping) or not isinstance(found, Iterable)
    rows: list[Any] = [found] if is_one else list(found)  # type: ignore[call-overload]
    if not all(isinstance(row, Mapping) for row in rows):
        raise ParameterError(
            f"The function returned a {type(found).__name__} at the point {point}; expected a "
            f"mapping of names to plain values, or several. Return frame.to_dicts() for a frame."
        )
    if not rows:
        raise ParameterError(
            f"The function returned no row at the point {point}; expected at least one. "
            f"Return a row that says so."
        )
    return rows


def _plain(name: str, value: object, point: dict[str, Any]) -> object:
    if isinstance(value, np.ndarray) and value.size != 1:
        raise ParameterError(
            f"{name!r} has the shape {value.shape} at the point {point}; expected one plain value. "
            f"Return a row for each, or a list."
        )
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def _store(parts: Path, result: Result) -> None:
    """Keep a finished task, whole or not at all."""
    parts.mkdir(parents=True, exist_ok=True)
    rows = [{_KEY: key, **row} for key, found in result.items() for row in found]
    name = hashlib.sha256("".join(result).encode()).hexdigest()[:32]
    write_whole(parts / f"{name}.parquet", _parquet(pl.DataFrame(rows, infer_schema_length=None)))


def _stored(parts: Path, wanted: set[str]) -> Result:
    """Rows of finished points among the wanted ones."""
    out: Result = {}
    for path in sorted(parts.glob("*.parquet")):
        try:
            frame = pl.read_parquet(path)
        except pl.exceptions.PolarsError as error:
            raise DataError.in_file(
                path, f"is damaged ({error}).", "Delete it; its points are done again."
            ) from None
        found: Result = {}
        for row in frame.iter_rows(named=True):
            key = row.pop(_KEY)
            if key in wanted:
                found.setdefault(key, []).append(row)
        out.update(found)  # two runs at once may both have stored a point: the same rows
    return out


def _frame(items: list[_Item], done: Result) -> pl.DataFrame:
    """All rows in the order of the points; a column is of the widest kind found in it."""
    rows = []
    for item in items:
        for row in done[item.key]:
            twice = set(row) & set(item.point)
            if twice:
                raise ParameterError(
                    f"The rows of the point {item.point} repeat its {sorted(twice)}; expected "
                    f"other names. Rename them in the function."
                )
            rows.append({**item.point, **row})
    filled = (name for row in rows for name, value in row.items() if value is not None)
    names = list(dict.fromkeys(filled))
    names += sorted({name for row in rows for name in row} - set(names))
    columns = {name: _column(name, [row.get(name) for row in rows]) for name in names}
    return pl.DataFrame(columns)


def _column(name: str, values: list[object]) -> pl.Series:
    has_float = any(isinstance(value, float) for value in values)
    dtype = pl.Float64 if has_float else None
    try:
        return pl.Series(name, values, dtype=dtype, strict=not has_float)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise ParameterError(
            f"The column {name!r} holds {kinds}; expected one kind. Return the same kind at every "
            f"point."
        ) from None


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
