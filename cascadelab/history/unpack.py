"""Streams of unpacked bytes: zip, gzip, lz4, zstd, tar inside gzip; a faster inflate if there."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Literal

from cascadelab.errors import DataError, MissingExtraError

__all__ = ["DAMAGED", "Packing", "opened", "packing_of", "zip_chunks"]

Packing = Literal["plain", "zip", "gzip", "tar", "lz4", "zstd", "feather"]
_MAGIC: tuple[tuple[bytes, Packing], ...] = (
    (b"PK", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"ARROW1", "feather"),
)
_INPUT_BYTES = 2**18
#: Small, as what it unpacks to comes at once: a bomb is seen after a few of these.
_ZSTD_BYTES = 2**12
#: What a cut or damaged file raises, besides errors that name isal, lz4 or zstandard.
DAMAGED = (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile, tarfile.TarError)


def packing_of(path: Path) -> Packing | None:
    """How a file is packed, by its first bytes; None for an empty file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(512)
    if not start:
        return None
    found = _by_magic(start)
    if found == "gzip" and _holds_tar(path):
        return "tar"
    return "tar" if start[257:262] == b"ustar" else found


def _by_magic(start: bytes) -> Packing:
    return next((name for magic, name in _MAGIC if start.startswith(magic)), "plain")


def _holds_tar(path: Path) -> bool:
    try:
        with gzip.open(path, "rb") as stream:
            return stream.read(512)[257:262] == b"ustar"
    except (OSError, EOFError, zlib.error):
        return False


@contextmanager
def opened(path: Path, packing: Packing) -> Iterator[IO[bytes] | io.BufferedIOBase]:
    """Open the unpacked bytes of a file that is no zip.

    Raises
    ------
    MissingExtraError
        If lz4 or zstandard is needed and not installed.
    """
    if packing == "gzip":
        module = _faster("igzip") or gzip
        with module.open(path, "rb") as stream:
            yield stream
    elif packing == "lz4":
        frame = _extra("lz4.frame", "lz4")
        with frame.open(path, "rb") as stream:
            yield stream
    elif packing == "zstd":
        with path.open("rb") as raw:
            yield _Frames(raw, _extra("zstandard", "zstandard").ZstdDecompressor())
    elif packing == "tar":
        # The stream of tarfile does not verify the checksum of gzip; the one of gzip does.
        module = _faster("igzip") or gzip
        with path.open("rb") as raw:
            is_packed = _by_magic(raw.read(8)) == "gzip"
            raw.seek(0)
            stream = module.open(raw, "rb") if is_packed else raw
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                yield _OneMember(archive, path, stream)
    else:
        with path.open("rb") as stream:
            yield stream


class _Frames(io.RawIOBase, IO[bytes]):
    """Frames of zstandard one after the other; a frame that does not end is an error."""

    def __init__(self, raw: IO[bytes], maker: Any) -> None:
        self._raw, self._maker = raw, maker
        self._frame: Any = None
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while True:
            packed = self._rest or self._raw.read(_ZSTD_BYTES)
            self._rest = b""
            if not packed:
                if self._frame is not None:
                    raise EOFError("the last frame does not end")
                return b""
            self._frame = self._frame or self._maker.decompressobj()
            data: bytes = self._frame.decompress(packed)
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
            if data:
                return data


class _OneMember(io.RawIOBase, IO[bytes]):
    """The only file of a tar, read as it streams by."""

    def __init__(self, archive: tarfile.TarFile, path: Path, whole: IO[bytes]) -> None:
        self._archive, self._path, self._whole = archive, path, whole
        self._name = ""
        self._stream = self._next()
        if self._stream is None:
            raise self._refused("holds no file", "Download the file again.")

    def _next(self) -> IO[bytes] | None:
        while (entry := self._archive.next()) is not None:
            parts = entry.name.replace("\\", "/")
            if parts.startswith("/") or ".." in parts.split("/"):
                found = f"holds a path outside its folder, {entry.name!r}"
                raise self._refused(found, "Do not trust this file; download it again.")
            if entry.issym() or entry.islnk():
                found = f"holds a link, {entry.name!r}, instead of a file"
                raise self._refused(found, "Unpack it and pass the file you want.")
            if entry.isfile():
                if self._name:
                    found = f"holds several files ({self._name!r}, {entry.name!r})"
                    cure = "Unpack it and pass the file you want."
                    raise self._refused(f"{found}; exactly one is expected", cure)
                self._name = entry.name
                return self._archive.extractfile(entry)
        return None

    def _refused(self, found: str, cure: str) -> DataError:
        return DataError.in_file(self._path, f"The tar {found}.", cure)

    def read(self, size: int = -1) -> bytes:
        assert self._stream is not None
        data = self._stream.read(size)
        if not data:
            self._next()
            while self._whole.read(_INPUT_BYTES):
                pass  # to the end, where the checksum stands
        return data


def zip_chunks(path: Path, member: str, chunk_bytes: int) -> Iterator[bytes]:
    """Chunks of one member of a zip, its checksum verified at the end.

    Raises
    ------
    zipfile.BadZipFile, EOFError
        If it is cut off or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(member)
        module = _faster("isal_zlib")
        if module is None or entry.compress_type != zipfile.ZIP_DEFLATED:
            with archive.open(member) as stream:
                while chunk := stream.read(chunk_bytes):
                    yield chunk
            return
    yield from _inflated(path, entry, module, chunk_bytes)


def _inflated(
    path: Path, entry: zipfile.ZipInfo, module: ModuleType, chunk_bytes: int
) -> Iterator[bytes]:
    inflate = module.decompressobj(-15)
    checksum = n_bytes = 0
    with path.open("rb") as raw:
        raw.seek(entry.header_offset)
        header = raw.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("the header of the member is not where it should be")
        name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
        raw.seek(name_bytes + extra_bytes, io.SEEK_CUR)
        left = entry.compress_size
        data = b""
        while not inflate.eof:
            if not data:
                data = raw.read(min(_INPUT_BYTES, left))
                left -= len(data)
                if not data:
                    raise EOFError("the compressed data end too early")
            try:
                chunk = inflate.decompress(data, chunk_bytes)
            except module.error as error:
                raise zipfile.BadZipFile(str(error)) from error
            data = inflate.unconsumed_tail
            checksum = module.crc32(chunk, checksum)
            n_bytes += len(chunk)
            if chunk:
                yield chunk
    if checksum != entry.CRC or n_bytes != entry.file_size:
        raise zipfile.BadZipFile(f"bad checksum of {entry.filename!r}")


def _faster(name: str) -> Any:
    """Module of the isal library (extra ``fast``); None where it is not installed."""
    try:
        import importlib

        return importlib.import_module(f"isal.{name}")
    except ImportError:
        return None


def _extra(module: str, package: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError.of(package, "fast") from error
