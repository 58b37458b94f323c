"""Fetching from a local server that cuts, truncates, refuses and lies."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from cascadelab import history
from cascadelab.cli import main
from cascadelab.errors import MissingExtraError, ParameterError, UnknownFormatError
from cascadelab.history import fetch as fetching
from cascadelab.history.archives import ARCHIVES, Remote, days, locate, remote_of
from cascadelab.history.fetch import Cache, FetchError, Policy, fetch

CONTENT = b"".join(b"%d,abcdefgh\n" % number for number in range(40_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers by the first folder of the path; remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []
        self.counts: dict[str, int] = {}
        self.is_released = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    """Good files, and every way a server can fail."""

    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.path, wanted))
        count = self.server.counts[self.path] = self.server.counts.get(self.path, 0) + 1
        way = self.path.split("/")[1]
        if self.path.endswith(".CHECKSUM"):
            self.checksum(way)
        elif way in ("403", "404"):
            self.plain(int(way), b"no")
        elif way == "busy" and count <= 2:
            self.plain(429, b"slow down", {"Retry-After": "7"})
        elif way in ("date", "long"):
            wait = "Fri, 10 Oct 2025 21:20:40 GMT" if way == "date" else "86400"
            self.send_busy_at("Fri, 10 Oct 2025 21:20:00 GMT", wait)
        elif way == "stuck" and count == 1:
            self.send_half_and_hold()
        elif way == "down":
            self.plain(503, b"down")
        elif way == "lengthless":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT)
        else:
            self.send_file(wanted, is_cut=(way == "cut" and count <= 2) or way == "always-cut")

    def send_busy_at(self, now: str, wait: str) -> None:
        self.send_response_only(429)
        for name, value in (("Date", now), ("Retry-After", wait), ("Content-Length", "0")):
            self.send_header(name, value)
        self.end_headers()

    def send_half_and_hold(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("ETag", '"tag"')
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])
        self.wfile.flush()
        self.server.is_released.wait(20.0)

    def checksum(self, way: str) -> None:
        if way == "none":
            self.plain(404, b"no")
        elif way == "odd":
            self.plain(200, b"<html>hello</html>")
        else:
            told = "0" * 64 if way == "wrong" else SHA256
            self.plain(200, f"{told}  file.csv\n".encode())

    def send_file(self, wanted: str, *, is_cut: bool) -> None:
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        is_rest = bool(wanted) and self.headers.get("If-Range") == '"tag"'
        start = start if is_rest else 0
        body = CONTENT[start:]
        self.send_response(206 if is_rest else 200)
        if is_rest:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"tag"')
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if is_cut else body)

    def plain(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def policy(waits: list[float]) -> Policy:
    return Policy(n_attempts=3, backoff_s=1.0, timeout_s=5.0, sleep=waits.append)


def remote(server: Server, way: str, *, has_checksum: bool = True) -> Remote:
    url = server.url(f"{way}/file.csv")
    return Remote(
        url=url, name=f"{way}/file.csv", checksum_url=url + ".CHECKSUM" if has_checksum else ""
    )


def test_a_file_is_fetched_checked_and_recorded(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    cache = Cache(tmp_path)
    (got,) = fetch([remote(server, "good")], cache, policy)
    assert (got.status, got.sha256, got.check) == ("fetched", SHA256, "checksum of the venue")
    assert got.path is not None
    assert got.path.read_bytes() == CONTENT
    assert cache.verify() == [("good/file.csv", "good")]


def test_a_second_run_asks_the_server_for_nothing(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    fetch([remote(server, "good")], Cache(tmp_path), policy)
    server.asked.clear()
    (got,) = fetch([remote(server, "good")], Cache(tmp_path), policy)
    assert got.status == "kept"
    assert server.asked == []


def test_a_cut_connection_is_resumed_where_it_broke(
    server: Server, policy: Policy, waits: list[float], tmp_path: Path
) -> None:
    (got,) = fetch([remote(server, "cut")], Cache(tmp_path), policy)
    assert got.status == "fetched"
    assert got.path is not None
    assert got.path.read_bytes() == CONTENT
    ranges = [wanted for path, wanted in server.asked if path == "/cut/file.csv"]
    half = len(CONTENT) // 2
    assert ranges[0] == ""
    assert ranges[1] == f"bytes={half}-"
    assert waits == [1.0, 2.0]


def test_what_was_received_is_kept_for_the_next_run_and_never_looks_complete(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    cache = Cache(tmp_path)
    (got,) = fetch([remote(server, "always-cut")], cache, policy)
    assert got.status == "failed"
    assert "the connection was cut" in got.problem
    assert not cache.place("always-cut/file.csv").exists()
    part = cache.place("always-cut/file.csv.part")
    assert 0 < part.stat().st_size < len(CONTENT)
    assert CONTENT.startswith(part.read_bytes())
    assert cache.verify() == [("always-cut/file.csv.part", "unfinished")]


@pytest.mark.parametrize(("way", "words"), [("403", "refused"), ("404", "no such file")])
def test_absent_and_forbidden_files_are_told_at_once(
    way: str, words: str, server: Server, policy: Policy, waits: list[float], tmp_path: Path
) -> None:
    (got,) = fetch([remote(server, way, has_checksum=False)], Cache(tmp_path), policy)
    assert got.status == "failed"
    assert way in got.problem
    assert words in got.problem
    assert waits == []
    assert list(tmp_path.rglob("file.csv*")) == []


def test_a_busy_server_is_given_the_time_it_asks_for(
    server: Server, policy: Policy, waits: list[float], tmp_path: Path
) -> None:
    (got,) = fetch([remote(server, "busy")], Cache(tmp_path), policy)
    assert got.status == "fetched"
    assert waits == [7.0, 7.0]


def test_a_server_that_stays_down_is_left_alone_after_the_last_try(
    server: Server, policy: Policy, waits: list[float], tmp_path: Path
) -> None:
    (got,) = fetch([remote(server, "down", has_checksum=False)], Cache(tmp_path), policy)
    assert "503 after 3 tries" in got.problem
    assert waits == [1.0, 2.0]


def test_a_wrong_checksum_is_tried_twice_and_nothing_is_left(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    (got,) = fetch([remote(server, "wrong")], Cache(tmp_path), policy)
    assert got.status == "failed"
    assert "twice; the venue publishes 0000" in got.problem
    assert server.counts["/wrong/file.csv"] == 2
    assert list(tmp_path.rglob("file.csv*")) == []


def test_a_missing_checksum_is_told_and_an_odd_one_refused(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    none, odd = fetch([remote(server, "none"), remote(server, "odd")], Cache(tmp_path), policy)
    assert (none.status, none.check) == ("fetched", "length only")
    assert odd.status == "failed"
    assert "is no checksum" in odd.problem


def test_a_file_without_checksum_and_length_is_told_to_be_unchecked(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    (got,) = fetch([remote(server, "lengthless", has_checksum=False)], Cache(tmp_path), policy)
    assert (got.sha256, got.check) == (SHA256, "nothing: no length was told")


def test_one_failure_does_not_stop_the_others(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    wanted = [remote(server, way) for way in ("404", "good", "a", "b", "c")]
    got = fetch(wanted, Cache(tmp_path), policy)
    assert [item.status for item in got] == ["failed", *["fetched"] * 4]


def test_an_old_part_of_unknown_origin_is_not_continued(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    cache = Cache(tmp_path)
    part = cache.place("good/file.csv.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    (got,) = fetch([remote(server, "good")], cache, policy)
    assert got.path is not None
    assert got.path.read_bytes() == CONTENT


def test_verify_finds_what_changed_vanished_or_strayed(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    cache = Cache(tmp_path)
    fetch([remote(server, way) for way in ("a", "b", "c")], cache, policy)
    cache.place("a/file.csv").write_bytes(CONTENT[:-1] + b"!")
    cache.place("b/file.csv").unlink()
    cache.place("stray.csv").write_bytes(b"x")
    assert dict(cache.verify()) == {
        "a/file.csv": "changed",
        "b/file.csv": "missing",
        "c/file.csv": "good",
        "stray.csv": "stray",
    }
    (again,) = fetch([remote(server, "b")], cache, policy)
    assert again.status == "fetched"


def test_an_address_is_read_through_the_cache(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CASCADELAB_CACHE", str(tmp_path))
    with pytest.raises(UnknownFormatError, match="fits no known format"):
        history.read(server.url("good/file.csv"))
    with pytest.raises(FetchError, match="the server answers 404"):
        history.read(server.url("404/file.csv"))


def test_the_command_fetches_finds_and_verifies(
    server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url, cache = server.url("good/file.csv"), f"--cache={tmp_path}"
    assert main(["data", "path", url, cache]) == 1
    assert "not in the cache" in capsys.readouterr().err
    assert main(["data", "fetch", url, cache]) == 0
    assert "1 of 1 files, 588,890 bytes" in capsys.readouterr().out
    assert main(["data", "path", url, cache]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.read_bytes() == CONTENT
    assert main(["data", "verify", cache]) == 0
    path.write_bytes(b"")
    assert main(["data", "verify", cache]) == 1
    assert main(["data", "fetch", server.url("404/file.csv"), cache]) == 1
    assert main(["data", "fetch", "nowhere", cache]) == 2


def test_the_command_lists_every_archive(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ARCHIVES)
    assert main(["data", "list", "binance"]) == 0
    assert "data.binance.vision" in capsys.readouterr().out


def test_addresses_follow_the_layout_of_the_archives() -> None:
    fields = {"market": "futures/um", "type": "aggTrades", "symbol": "BTCUSDT"}
    (day,) = days(date(2025, 10, 10), date(2025, 10, 10))
    got = locate("binance", fields, day)
    assert got.url == (
        "https://data.binance.vision/data/futures/um/daily/aggTrades/BTCUSDT/"
        "BTCUSDT-aggTrades-2025-10-10.zip"
    )
    assert got.checksum_url == got.url + ".CHECKSUM"
    assert locate("bitmex", {"type": "quote"}, day).name.endswith("data/quote/20251010.csv.gz")
    tardis = locate("tardis", ARCHIVES["tardis"].example, day)
    assert tardis.url.endswith("/bitmex/trades/2025/10/10/XBTUSD.csv.gz")


@pytest.mark.parametrize("value", ["../x", "/x", "a b", "a?b", ""])
def test_a_field_cannot_lead_out_of_the_cache(value: str) -> None:
    with pytest.raises(ParameterError, match="plain name"):
        locate("bitmex", {"type": value}, date(2025, 10, 10))


@pytest.mark.parametrize("url", ["ftp://host/file", "https://host", "https://host/../file", "x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ParameterError, match="no address"):
        remote_of(url)


def test_answers_to_two_queries_are_two_files() -> None:
    first, second = (remote_of(f"https://host/v1/history?symbol={name}") for name in ("A", "B"))
    assert first.name != second.name
    assert {Path(item.name).name for item in (first, second)} == {"history"}
    assert remote_of("https://host/v1/history#part").name == "host/v1/history"


def test_requester_pays_files_come_through_the_extra(
    monkeypatch: pytest.MonkeyPatch, policy: Policy, tmp_path: Path
) -> None:
    import io

    asked: dict[str, str] = {}

    def get_object(**given: str) -> dict[str, object]:
        asked.update(given)
        return {"Body": io.BytesIO(CONTENT), "ContentLength": len(CONTENT)}

    monkeypatch.setattr(fetching, "_s3_client", lambda: SimpleNamespace(get_object=get_object))
    (got,) = fetch([remote_of("s3://bucket/folder/21.lz4")], Cache(tmp_path), policy)
    assert got.status == "fetched"
    assert asked == {"Bucket": "bucket", "Key": "folder/21.lz4", "RequestPayer": "requester"}


def test_without_the_extra_the_message_names_it(
    monkeypatch: pytest.MonkeyPatch, policy: Policy, tmp_path: Path
) -> None:
    def missing() -> object:
        raise MissingExtraError.of("boto3", "s3")

    monkeypatch.setattr(fetching, "_s3_client", missing)
    (got,) = fetch([remote_of("s3://bucket/folder/21.lz4")], Cache(tmp_path), policy)
    assert got.status == "failed"
    assert "cascadelab[s3]" in got.problem


def test_a_wait_until_a_date_is_counted_from_the_clock_of_the_server(
    server: Server, policy: Policy, waits: list[float], tmp_path: Path
) -> None:
    (got,) = fetch([remote(server, "date", has_checksum=False)], Cache(tmp_path), policy)
    assert got.status == "failed"
    assert waits == [40.0, 40.0]


def test_a_server_that_asks_for_a_day_is_not_waited_for(
    server: Server, policy: Policy, waits: list[float], tmp_path: Path
) -> None:
    (got,) = fetch([remote(server, "long", has_checksum=False)], Cache(tmp_path), policy)
    assert "asks to wait 86,400 s" in got.problem
    assert waits == []


def in_process(server: Server, way: str, folder: Path, setup: str = "") -> subprocess.Popen[str]:
    url = server.url(f"{way}/file.csv")
    code = (
        f"{setup}\nimport sys\nfrom cascadelab.cli import main\n"
        f"sys.exit(main(['data', 'fetch', {url!r}]))"
    )
    told = os.environ | {"CASCADELAB_CACHE": str(folder), "NO_PROXY": "127.0.0.1"}
    root = Path(__file__).resolve().parent.parent.parent
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, env=told, text=True, stdout=pipe, stderr=pipe
    )


def test_a_fetch_that_was_killed_goes_on_in_the_next_run(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    running = in_process(server, "stuck", tmp_path)
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        parts = list(tmp_path.rglob("*.part"))
        if parts and parts[0].stat().st_size > 0:
            break
        time.sleep(0.02)
    running.kill()
    running.communicate()
    server.is_released.set()
    (part,) = tmp_path.rglob("*.part")
    n_kept = part.stat().st_size
    assert 0 < n_kept <= len(CONTENT) // 2
    assert not list(tmp_path.rglob("*.csv"))
    url = remote_of(server.url("stuck/file.csv"))
    (got,) = fetch([url], Cache(tmp_path), policy)
    assert (got.status, got.sha256, got.n_resumed) == ("fetched", SHA256, n_kept)
    assert server.asked[-1][1] == f"bytes={n_kept}-"
    assert [word for _, word in Cache(tmp_path).verify()] == ["good"]


def test_a_second_process_waits_for_the_first_and_downloads_nothing(
    server: Server, tmp_path: Path
) -> None:
    first = in_process(server, "stuck", tmp_path)
    deadline = time.monotonic() + 20.0
    while not server.asked and time.monotonic() < deadline:
        time.sleep(0.02)
    second = in_process(server, "stuck", tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(2.0)
    server.is_released.set()
    told = [process.communicate(timeout=30)[0].split()[0] for process in (first, second)]
    assert told == ["fetched", "kept"]
    assert len(server.asked) == 2  # the first was cut, and went on where it had stopped
    assert [word for _, word in Cache(tmp_path).verify()] == ["good"]


def test_a_full_disk_is_told_at_once_and_the_rest_comes_when_there_is_room(
    server: Server, policy: Policy, tmp_path: Path
) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    running = in_process(server, "good", tmp_path, limit)
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "the file cannot be written (File too large). Make room" in out
    assert len(server.asked) == 1
    (got,) = fetch([remote_of(server.url("good/file.csv"))], Cache(tmp_path), policy)
    assert (got.status, got.sha256, got.n_resumed) == ("fetched", SHA256, 100_000)
