"""One notebook in one fresh kernel, by papermill, from the calling thread.

The kernel is this Python, whatever kernel the notebook names and whatever kernels the user has
installed: one BLAS thread and one polars thread, encrypted TCP, its own scratch folder for
connection files and IPython settings. It dies with this process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cascadelab.errors import ReportError
from cascadelab.report.spec import Run

__all__ = ["Execution", "Kernels", "execute"]

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
}

_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """What came of one run: the executed notebook, and the error if it failed.

    Parameters
    ----------
    content : NotebookNode
        The notebook with the outputs there are.
    error : ReportError or None
        Notebook, cell, parameters and reason in one line.
    traceback : str
        Traceback of the failed cell, without colours; empty otherwise.
    """

    content: Any
    error: ReportError | None = None
    traceback: str = ""


@dataclass(slots=True)
class Kernels:
    """The kernels of a batch that are alive, so that they can be stopped together.

    Parameters
    ----------
    scratch : Path
        Folder for connection files and IPython settings.
    """

    scratch: Path
    is_stopped: bool = False
    _pids: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, pid: int) -> None:
        """Remember a kernel; one that starts after the stop is ended at once."""
        with self._lock:
            self._pids.add(pid)
        if self.is_stopped:
            self.stop()

    def forget(self, pid: int) -> None:
        """Drop a kernel that has ended."""
        with self._lock:
            self._pids.discard(pid)

    def stop(self) -> None:
        """End every kernel now; notebooks that run in them fail as stopped."""
        self.is_stopped = True
        with self._lock:
            for pid in self._pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


def execute(run: Run, kernels: Kernels, timeout_s: float, on_cell: Callable[[], None]) -> Execution:
    """Run a notebook from top to bottom in a fresh kernel.

    Parameters
    ----------
    run : Run
    kernels : Kernels
        Where the kernel is registered while it lives.
    timeout_s : float
        Longest time one cell may take, seconds.
    on_cell : callable
        Called after every cell.

    Returns
    -------
    Execution
        A failing cell, a dead kernel and a cell that takes too long are all in ``error``.
    """
    import nbformat
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    read: Any = nbformat.from_dict  # type: ignore[attr-defined,unused-ignore]
    upgrade: Any = nbformat.v4.upgrade
    node = upgrade(read(run.notebook.content))
    cells = _Cells(node=node, on_cell=on_cell)
    try:
        _papermill(run, node, cells, kernels, timeout_s)
    except PapermillExecutionError as error:
        reason = _COLOUR_CODES.sub("", f"{error.ename}: {error.evalue}").split("\n")[0]
        trace = _COLOUR_CODES.sub("", "\n".join(error.traceback))
        return Execution(content=cells.node, error=_failure(run, cells, reason), traceback=trace)
    except CellTimeoutError:
        reason = f"the cell took longer than timeout_s = {timeout_s:g} seconds and was stopped"
        return Execution(content=cells.node, error=_failure(run, cells, reason))
    except DeadKernelError:
        return Execution(content=cells.node, error=_failure(run, cells, _death(kernels)))
    except RuntimeError as error:
        # nbclient and jupyter_client say by RuntimeError that a kernel did not start.
        reason = _death(kernels) if kernels.is_stopped else f"the kernel did not start ({error})"
        return Execution(content=cells.node, error=_failure(run, cells, reason))
    return Execution(content=cells.node)


def _death(kernels: Kernels) -> str:
    if kernels.is_stopped:
        return "stopped"
    return "the kernel died (out of memory, or a crash in a compiled library)"


@dataclass(slots=True)
class _Cells:
    """The notebook while it runs, and the cell it has reached."""

    node: Any
    on_cell: Callable[[], None]
    position: int = 0

    def start(self, cell_index: int, **_: object) -> None:
        self.position = cell_index

    def done(self, **_: object) -> None:
        self.on_cell()


def _papermill(run: Run, node: Any, cells: _Cells, kernels: Kernels, timeout_s: float) -> None:
    """Call papermill; nothing is written, the outputs arrive in ``cells.node``."""
    import papermill
    from papermill.engines import NBClientEngine, papermill_engines

    class Engine(NBClientEngine):  # type: ignore[misc]
        """Papermill's own engine; keeps hold of the notebook in case it fails half-way."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            cells.node = nb_man.nb
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    for name in ("papermill", "traitlets", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    engine = f"cascadelab-{uuid.uuid4().hex}"
    papermill_engines.register(engine, Engine)
    try:
        papermill.execute_notebook(
            node,
            None,
            parameters=run.parameters,
            engine_name=engine,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            autosave_cell_every=0,
            start_timeout=120,
            execution_timeout=timeout_s,
            kernel_manager_class=_manager_class(kernels),
            shutdown_kernel="immediate",
            on_cell_start=cells.start,
            on_cell_complete=cells.done,
        )
    finally:
        papermill_engines._engines.pop(engine, None)
        _close_loop()


def _close_loop() -> None:
    """Close the event loop that jupyter made for this thread, and what still waits in it."""
    import asyncio

    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    asyncio.set_event_loop(None)


def _manager_class(kernels: Kernels) -> type:
    """Kernel manager of this batch: our Python, our environment, our scratch folder."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class Manager(AsyncKernelManager):
        """Starts this interpreter with encrypted TCP; registers the kernel while it lives."""

        @property
        def kernel_spec(self) -> Any:
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                display_name="cascadelab",
                language="python",
                metadata={"supported_encryption": ["curve"]},
            )

        async def _async_start_kernel(self, **options: Any) -> None:
            self.connection_file = str(kernels.scratch / f"kernel-{uuid.uuid4().hex}.json")
            own = {**_ENVIRONMENT, "IPYTHONDIR": str(kernels.scratch / "ipython")}
            options["env"] = {**os.environ, **options.pop("env", {}), **own}
            options["env"].pop("PYTHONSTARTUP", None)
            await super()._async_start_kernel(**options)
            self._kernel_pid = int(getattr(self.provisioner, "pid", -1))
            kernels.add(self._kernel_pid)

        start_kernel = _async_start_kernel

        async def _async_cleanup_resources(self, restart: bool = False) -> None:
            kernels.forget(getattr(self, "_kernel_pid", -1))
            await super()._async_cleanup_resources(restart=restart)

        cleanup_resources = _async_cleanup_resources

    Manager.transport_encryption.default_value = "required"
    return Manager


def _failure(run: Run, cells: _Cells, reason: str) -> ReportError:
    is_marker = "papermill-error-cell-tag"
    cells.node.cells = [
        cell for cell in cells.node.cells if is_marker not in cell.metadata.get("tags", [])
    ]
    code = [index for index, cell in enumerate(cells.node.cells) if cell.cell_type == "code"]
    number = sum(1 for index in code if index <= cells.position)
    given = ", ".join(f"{name}={value!r}" for name, value in run.parameters.items()) or "none"
    end = "" if reason.endswith((".", "?")) else "."
    return ReportError(
        f"Notebook {run.notebook.name!r}, code cell {number} of {len(code)}, "
        f"parameters {given}: {reason}{end}"
    )
