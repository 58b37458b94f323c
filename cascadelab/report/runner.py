"""A batch from specification to report: what is done stays, the rest runs in parallel.

Papermill, the page renderer and polars are imported only when there is something to run, so that
a second call with nothing to do returns at once.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cascadelab.errors import ParameterError, ReportError
from cascadelab.fingerprint import json_hash
from cascadelab.report import store
from cascadelab.report.key import run_key
from cascadelab.report.spec import Run, Specification, read_specification

if TYPE_CHECKING:
    from cascadelab.report.kernel import Kernels

__all__ = ["Outcome", "run_report"]

Record = dict[str, Any]

#: Pages are made one at a time: it is Python work, and not every renderer is made for threads.
_BUILDING = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a batch came to.

    Parameters
    ----------
    index : Path
        The page to open.
    n_run, n_unchanged : int
        Runs made now, and runs found finished.
    failures : tuple of str
        One line for each failed run.
    """

    index: Path
    n_run: int
    n_unchanged: int
    failures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    specification: Specification
    out: Path
    keys: dict[str, str]
    records: dict[str, Record]

    @property
    def key(self) -> str:
        return json_hash([self.specification.title, self.keys])

    @property
    def pending(self) -> list[Run]:
        return [run for run in self.specification.runs if run.id not in self.records]


def run_report(path: Path, out: Path, n_jobs: int = 2) -> Outcome:
    """Run the notebooks of a specification and write their report.

    Parameters
    ----------
    path : Path
        YAML specification; see :mod:`cascadelab.report.spec`.
    out : Path
        Output folder, made if it is not there. Finished runs in it are kept and used again.
    n_jobs : int
        Notebooks at a time, at least 1.

    Returns
    -------
    Outcome
        A failing notebook is in ``failures``; the others still run.

    Raises
    ------
    ParameterError, DataError, ReportError
        If the specification is wrong: before any kernel starts. If the folder cannot be
        written: finished runs are kept.
    KeyboardInterrupt
        Passed on after the kernels have been stopped; finished runs are kept.
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs < 1:
        raise ParameterError(
            f"jobs is {n_jobs!r}; expected at least 1. Pass --jobs 2, for example."
        )
    specification = read_specification(path)
    keys = {run.id: run_key(run, specification.title) for run in specification.runs}
    with store.locked(out) as work:
        found = {
            run.id: store.finished_record(out / run.id, keys[run.id]) for run in specification.runs
        }
        records = {name: record for name, record in found.items() if record}
        batch = _Batch(specification=specification, out=out, keys=keys, records=records)
        n_unchanged = len(records)
        if batch.pending or not store.is_current(out, batch.key):
            try:
                _finish(batch, work, n_jobs)
            except OSError as error:
                raise store.cannot_write(out, error) from error
    failures = [batch.records[run.id] for run in specification.runs]
    return Outcome(
        index=out / "index.html",
        n_run=len(specification.runs) - n_unchanged,
        n_unchanged=n_unchanged,
        failures=tuple(record["error"] for record in failures if record["status"] == "failed"),
    )


def _finish(batch: _Batch, work: Path, n_jobs: int) -> None:
    """Run what is pending; keep the index true at every moment."""
    from cascadelab.report.summary import write_summary

    def summarise() -> None:
        write_summary(batch.specification, batch.records, batch.out)

    summarise()
    try:
        if batch.pending:
            _run_pending(batch, work, n_jobs)
    finally:
        summarise()
    store.remember(
        batch.out, batch.key, ["index.html", "numbers.csv", "numbers.parquet", "provenance.json"]
    )


def _run_pending(batch: _Batch, work: Path, n_jobs: int) -> None:
    from cascadelab.report.kernel import Kernels

    kernels = Kernels(scratch=work)
    pending = batch.pending
    with _progress(pending) as on_cell, ThreadPoolExecutor(min(n_jobs, len(pending))) as pool:
        futures = {
            pool.submit(_run_one, run, batch, work, kernels, on_cell): run for run in pending
        }
        try:
            _collect(futures, batch)
        except BaseException:
            # Ctrl-C or a disk that is full: end the kernels, so that their threads end.
            pool.shutdown(wait=False, cancel_futures=True)
            kernels.stop()
            raise


def _collect(futures: dict[Future[tuple[Record, float]], Run], batch: _Batch) -> None:
    seconds = store.read_times(batch.out)
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            record, run_s = future.result()
            batch.records[record["id"]] = record
            seconds[record["id"]] = round(run_s, 2)
        if done:
            store.write_times(batch.out, seconds)


def _run_one(
    run: Run, batch: _Batch, work: Path, kernels: Kernels, on_cell: Callable[[], None]
) -> tuple[Record, float]:
    """Execute, build and install one run; the work of one thread."""
    from cascadelab.report.build import build_run
    from cascadelab.report.kernel import execute

    started = time.monotonic()
    execution = execute(run, kernels, batch.specification.timeout_s, on_cell)
    if execution.error and kernels.is_stopped:
        raise ReportError(f"Notebook {run.notebook.name!r} was stopped before its end.")
    staged = work / run.id
    title, key = batch.specification.title, batch.keys[run.id]
    with _BUILDING:
        record = build_run(run, title, key, execution, staged)
    store.install(staged, batch.out / run.id)
    return record, time.monotonic() - started


@contextlib.contextmanager
def _progress(pending: list[Run]) -> Iterator[Callable[[], None]]:
    """A bar over all cells on a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from tqdm import tqdm

    n_cells = sum(len(run.notebook.content["cells"]) + 1 for run in pending)
    with tqdm(total=n_cells, desc="report", unit="cell", file=sys.stderr, leave=False) as bar:
        yield lambda: bar.update(1) and None
