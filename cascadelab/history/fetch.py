"""Files of public archives into a cache: resumed, checked, and there whole or not at all.

``requests`` moves the bytes, ``tenacity`` decides when to try again. A file is written beside its
place as ``.part`` and renamed when length and checksum are right: what has its name is whole.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from cascadelab.errors import DataError, MissingExtraError, ParameterError
from cascadelab.files import write_whole
from cascadelab.history.archives import Remote
from cascadelab.history.cache import Cache, Fetched, default_folder, sha256_of

__all__ = ["Cache", "FetchError", "Fetched", "Policy", "default_folder", "fetch", "total_bytes"]

_CHUNK_BYTES = 2**18
_LENGTH, _NOTHING = "length only", "nothing: no length was told"
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
#: A server that asks for a longer wait than this is not waited for.
_LONGEST_ASKED_S = 600.0
_USER_AGENT = "cascadelab (research; polite downloader)"


class FetchError(DataError):
    """A file could not be fetched: absent, refused, cut off again and again, or not as published.

    Parameters
    ----------
    message : str
    status : int
        Status of the server; 0 where it did not answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _Transient(Exception):
    """Worth another try, after `wait_s` seconds if the server said so."""

    def __init__(self, words: str, status: int = 0, wait_s: float = 0.0) -> None:
        super().__init__(words)
        self.status = status
        self.wait_s = wait_s


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How patient and how polite a fetch is.

    Parameters
    ----------
    n_attempts : int
        Tries per file.
    backoff_s, longest_s : float
        Wait after the first failure, doubled after each further one, and its limit. A server that
        asks for a longer wait is obeyed, up to ten minutes; beyond that the file fails.
    timeout_s : float
        For a connection, and between two packets.
    n_jobs : int
        Files at a time, at most 4.
    sleep : callable
        Waits; replaced in tests.
    """

    n_attempts: int = 5
    backoff_s: float = 1.0
    longest_s: float = 60.0
    timeout_s: float = 30.0
    n_jobs: int = 2
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if not 1 <= self.n_jobs <= 4:
            raise ParameterError.out_of_range(self, "n_jobs", "1 to 4: archives are shared")
        if self.n_attempts < 1:
            raise ParameterError.out_of_range(self, "n_attempts", "at least 1")

    def wait_s(self, n_failed: int, asked_s: float = 0.0) -> float:
        """Seconds to wait after a number of failures; what the server asks for counts too."""
        return float(max(min(self.backoff_s * 2.0 ** (n_failed - 1), self.longest_s), asked_s))


def fetch(
    remotes: Sequence[Remote],
    cache: Cache,
    policy: Policy | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Fetched]:
    """Fetch files into the cache, what is there already being left alone.

    Parameters
    ----------
    remotes : sequence of Remote
    cache : Cache
    policy : Policy, optional
    progress : callable, optional
        Told the number of bytes of every packet.

    Returns
    -------
    list of Fetched
        In the order asked for. A file that could not be fetched has status ``"failed"`` and the
        reason; the others are fetched all the same.
    """
    chosen = policy or Policy()
    told = progress or (lambda _: None)

    def work(remote: Remote) -> Fetched:
        try:
            return _fetch_one(remote, cache, chosen, told)
        except (FetchError, MissingExtraError) as error:
            problem = str(error)
        except OSError as error:
            problem = _unwritable(error.filename or cache.place(remote.name), error)
        return Fetched(
            url=remote.url, name=remote.name, path=None, status="failed", problem=problem
        )

    unique = list(dict.fromkeys(remotes))
    with ThreadPoolExecutor(max_workers=chosen.n_jobs) as pool:
        results = dict(zip(unique, pool.map(work, unique), strict=True))
    return [results[remote] for remote in remotes]


def _fetch_one(
    remote: Remote, cache: Cache, policy: Policy, progress: Callable[[int], object]
) -> Fetched:
    known = cache.record_of(remote.name)
    if known is None:
        with cache.alone_with(remote.name):
            # Another process may have brought it while this one waited.
            known = cache.record_of(remote.name)
            if known is None:
                return _fetch_new(remote, cache, policy, progress)
    return Fetched(path=cache.place(remote.name), status="kept", **known)


def _fetch_new(
    remote: Remote, cache: Cache, policy: Policy, progress: Callable[[int], object]
) -> Fetched:
    place = cache.place(remote.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(place.name + ".part")
    wanted = _published(remote, policy)
    n_left = part.stat().st_size if part.is_file() else 0
    for is_last in (False, True):
        is_length_told = _with_patience(
            remote.url, policy, lambda: _transfer(remote, part, policy, progress)
        )
        sha256 = sha256_of(part)
        if wanted in ("", sha256):
            break
        _drop(part)
        n_left = 0
        if is_last:
            raise FetchError(
                f"{remote.url}: the SHA-256 is {sha256}, twice; the venue publishes {wanted}. "
                f"Do not use the file; try again on another day."
            )
    n_bytes = part.stat().st_size
    part.replace(place)
    _drop(part)
    fetched = Fetched(
        url=remote.url,
        name=remote.name,
        path=place,
        status="fetched",
        sha256=sha256,
        n_bytes=n_bytes,
        n_resumed=min(n_left, n_bytes),
        check="checksum of the venue" if wanted else _LENGTH if is_length_told else _NOTHING,
    )
    cache.keep(fetched)
    return fetched


def _with_patience(url: str, policy: Policy, work: Callable[[], Any]) -> Any:
    import tenacity

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_s if isinstance(error, _Transient) else 0.0
        return policy.wait_s(state.attempt_number, asked)

    patience = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(policy.n_attempts),
        wait=wait,
        sleep=policy.sleep,
        retry=tenacity.retry_if_exception_type(_Transient),
        reraise=True,
    )
    try:
        return patience(work)
    except _Transient as error:
        raise FetchError(
            f"{url}: {error} after {policy.n_attempts} tries. Check the network and run it again; "
            f"what was received is kept.",
            error.status,
        ) from error


def _published(remote: Remote, policy: Policy) -> str:
    """SHA-256 that the venue publishes; empty where there is none."""
    if not remote.checksum_url:
        return ""
    try:
        text = _with_patience(
            remote.checksum_url, policy, lambda: _small_text(remote.checksum_url, policy)
        )
    except FetchError as error:
        if error.status == 404:
            return ""  # the file itself says whether it is absent too
        raise
    match = re.match(r"^([0-9a-fA-F]{64})\b", text.strip())
    if match is None:
        raise FetchError(
            f"{remote.checksum_url}: {text.strip()[:60]!r} is no checksum; expected a SHA-256 and "
            f"a name. Try again later."
        )
    return match[1].lower()


def _small_text(url: str, policy: Policy) -> str:
    import requests
    import urllib3

    with _answer(url, {}, policy) as answer:
        try:
            return str(answer.raw.read(4096, decode_content=False).decode("utf-8", "replace"))
        except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as error:
            raise _Transient(f"the connection was cut ({type(error).__name__})") from error


def _answer(url: str, headers: dict[str, str], policy: Policy) -> Any:
    """Open an address; errors become "worth another try" or final."""
    import requests

    polite = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **headers}
    try:
        answer = requests.get(url, headers=polite, stream=True, timeout=policy.timeout_s)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Transient(f"no answer ({type(error).__name__})") from error
    except requests.RequestException as error:
        raise FetchError(f"{url}: {str(error).rstrip('.')}. Check the address.") from error
    status = answer.status_code
    if status in (200, 206, 416):
        return answer
    wait_s = _asked_wait_s(answer.headers)
    answer.close()
    if status in _TRY_AGAIN and wait_s <= _LONGEST_ASKED_S:
        raise _Transient(f"the server answers {status}", status, wait_s)
    if status in _TRY_AGAIN:
        raise FetchError(
            f"{url}: the server answers {status} and asks to wait {wait_s:,.0f} s. Try again then.",
            status,
        )
    words = {
        401: "The server wants a key. Archives that need one cannot be fetched here.",
        403: "Access is refused. Some archives say so for absent files, or by region.",
        404: "There is no such file. Check symbol and day; the newest days appear with a delay.",
    }
    told = words.get(status, "Check the address.")
    raise FetchError(f"{url}: the server answers {status}. {told}", status)


def _asked_wait_s(headers: Mapping[str, str]) -> float:
    """Seconds of ``Retry-After``: a number, or a date, which is taken from the server's own."""
    asked = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", asked):
        return float(asked)
    try:
        until, now = (parsedate_to_datetime(text) for text in (asked, headers.get("Date", "")))
        return max((until - now).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def _transfer(
    remote: Remote, part: Path, policy: Policy, progress: Callable[[int], object]
) -> bool:
    """Bring the rest of a file; whether its length was told, and is right."""
    if remote.url.startswith("s3://"):
        _transfer_s3(remote.url, part, progress)
        return True
    n_have = part.stat().st_size if part.is_file() else 0
    tag = _tag_of(part) if n_have else ""
    if n_have and not tag:
        _drop(part)  # nothing tells whether the rest would be of the same file
        n_have = 0
    headers = {"Range": f"bytes={n_have}-", "If-Range": tag} if n_have else {}
    with _answer(remote.url, headers, policy) as answer:
        if answer.status_code == 416:
            _drop(part)
            raise _Transient("what was received does not fit the file", 416)
        is_rest = answer.status_code == 206
        if is_rest and not answer.headers.get("Content-Range", "").startswith(f"bytes {n_have}-"):
            _drop(part)
            raise _Transient("the server sent another part than asked for", 206)
        n_start = n_have if is_rest else 0
        length = answer.headers.get("Content-Length", "")
        _keep_tag(part, answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
        _store(answer, part, n_start, progress)
        if length.isdigit() and part.stat().st_size != n_start + int(length):
            raise _Transient("the connection was cut")
        return bool(length.isdigit())


def _store(answer: Any, part: Path, n_start: int, progress: Callable[[int], object]) -> None:
    import requests
    import urllib3

    packets = answer.raw.stream(_CHUNK_BYTES, decode_content=False)
    try:
        with part.open("ab" if n_start else "wb") as file:
            while True:
                try:
                    chunk = next(packets, None)
                except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as error:
                    words = f"the connection was cut ({type(error).__name__})"
                    raise _Transient(words) from error
                if chunk is None:
                    break
                file.write(chunk)
                progress(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FetchError(_unwritable(part, error)) from error


def _unwritable(path: Path | str, error: OSError) -> str:
    return (
        f"{path}: the file cannot be written ({error.strerror or error}). Make room, or set "
        f"CASCADELAB_CACHE to another folder; what was received is kept."
    )


def _transfer_s3(url: str, part: Path, progress: Callable[[int], object]) -> None:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    client = _s3_client()
    try:
        answer = client.get_object(Bucket=bucket, Key=key, RequestPayer="requester")
        with part.open("wb") as file:
            for chunk in iter(lambda: answer["Body"].read(_CHUNK_BYTES), b""):
                file.write(chunk)
                progress(len(chunk))
    except Exception as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        if code in ("NoSuchKey", "404", "AccessDenied", "NoCredentialsError"):
            cure = "Check the day, and that your AWS account is set up and may pay."
            raise FetchError(f"{url}: S3 answers {code}. {cure}") from error
        raise _Transient(f"S3 answers {code}") from error
    if part.stat().st_size != answer["ContentLength"]:
        raise _Transient("the connection was cut")


def _s3_client() -> Any:
    try:
        boto3 = importlib.import_module("boto3")
    except ImportError as error:
        raise MissingExtraError.of("boto3", "s3") from error
    return boto3.client("s3")


def _tag_note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _tag_of(part: Path) -> str:
    try:
        tag = str(json.loads(_tag_note(part).read_text())["tag"])
    except (OSError, ValueError, KeyError):
        return ""
    return "" if tag.startswith("W/") else tag


def _keep_tag(part: Path, tag: str) -> None:
    write_whole(_tag_note(part), json.dumps({"tag": tag}))


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_note(part).unlink(missing_ok=True)


def total_bytes(results: Iterable[Fetched]) -> int:
    """Bytes that came over the network, without those resumed or kept."""
    return sum(item.n_bytes - item.n_resumed for item in results if item.status == "fetched")
