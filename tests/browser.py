"""A real browser for tests: opens a page with no network and tells what it did."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tornado.websocket import websocket_connect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-extensions",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1100,1400",
)

_READY = """location.protocol === 'file:' && document.readyState === 'complete'
    && document.querySelectorAll('.vega:not([data-state=live])').length === 0"""


@dataclass
class Visit:
    """Addresses asked for, what the console said, and the values of the expressions asked."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


def visit(page: Path, steps: list[Any]) -> Visit:
    """Open `page` and do `steps`: JavaScript texts, or ``(x, y)`` to move the mouse there."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [str(CHROMIUM), *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            for line in process.stderr:
                found = re.search(r"DevTools listening on ws://([^/]+)/", line)
                if found:
                    return asyncio.run(_drive(found[1], page, steps))
            raise RuntimeError("the browser did not start")
        finally:
            process.terminate()
            process.wait(timeout=20)
            process.stderr.close()


async def _drive(host: str, page: Path, steps: list[Any]) -> Visit:
    from urllib.request import urlopen

    with urlopen(f"http://{host}/json/list") as answer:
        target = next(item for item in json.load(answer) if item["type"] == "page")
    socket = await websocket_connect(target["webSocketDebuggerUrl"], max_message_size=2**26)
    seen, count = Visit(), 0

    async def call(method: str, **parameters: Any) -> Any:
        nonlocal count
        count += 1
        request = {"id": count, "method": method, "params": parameters}
        await socket.write_message(json.dumps(request))
        while True:
            message = json.loads(await socket.read_message())
            if message.get("id") == count:
                return message.get("result")
            _note(seen, message)

    for domain in ("Page", "Network", "Runtime", "Log"):
        await call(f"{domain}.enable")
    await call("Page.navigate", url=page.resolve().as_uri())
    for _ in range(100):
        await asyncio.sleep(0.05)
        answer = await call("Runtime.evaluate", expression=_READY, returnByValue=True)
        if answer["result"].get("value"):
            break
    for step in steps:
        await asyncio.sleep(0.15)
        if isinstance(step, str) and step != "last":
            answer = await call("Runtime.evaluate", expression=step, returnByValue=True)
            seen.values.append(answer["result"].get("value", answer))
        else:
            x, y = seen.values[-1] if step == "last" else step
            await call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    socket.close()
    while await socket.read_message() is not None:
        pass
    return seen


def _note(seen: Visit, message: dict[str, Any]) -> None:
    method, parameters = message.get("method"), message.get("params", {})
    if method == "Network.requestWillBeSent":
        seen.requests.append(parameters["request"]["url"])
    elif method in ("Runtime.exceptionThrown", "Log.entryAdded"):
        seen.complaints.append(json.dumps(parameters))
    elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
        seen.complaints.append(json.dumps(parameters["args"]))
