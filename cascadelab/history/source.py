"""Bytes of a data file, whatever it is packed in: checked, counted, in blocks of whole lines.

A file is recognised by its first bytes. Nothing is unpacked to disk; a packed file is inflated one
block ahead of the reader, so that inflating and parsing overlap.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from threading import Thread

import numpy as np

from cascadelab.errors import DataError, ParameterError
from cascadelab.history.unpack import DAMAGED, Packing, opened, packing_of, zip_chunks
from cascadelab.history.unpack_feather import feather_schema

__all__ = [
    "BLOCK_BYTES",
    "RATIO_LIMIT",
    "UNPACKED_LIMIT_BYTES",
    "Block",
    "Head",
    "Source",
    "open_source",
    "refuse_bomb",
]

#: A block holds about this many bytes, cut after a line.
BLOCK_BYTES = 16 * 2**20
#: No file may unpack to more than this.
UNPACKED_LIMIT_BYTES = 8 * 2**30
#: Tables unpack to 5 to 30 times their size; a larger file that exceeds this is a bomb.
RATIO_LIMIT = 250
_RATIO_FROM_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**20
_HEAD_BYTES = 2**16
_DOCUMENT_LIMIT_BYTES = 2**30
_AGAIN = "Download the file again."
#: Names of columns in brackets, as trading terminals write them: no web page.
_BRACKETED = re.compile(rb"<[A-Z_]+>[,;\t]")
#: What the file manager of macOS puts beside the file that was packed.
_NO_DATA = ("__MACOSX/", ".DS_Store")
#: First bytes of files that are often met and never read.
_FOREIGN = (
    (b"PAR1", "a Parquet file"),
    (b"FEA1", "a Feather file of the first version"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xfd7zXZ", "packed with xz"),
    (b"7z\xbc\xaf", "packed with 7z"),
    (b"BZh", "packed with bzip2"),
    (b"Rar!", "packed with rar"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF document"),
)


@dataclass(frozen=True)
class Block:
    """Whole lines of a file, and the number (from 1) of the first of them."""

    data: bytes
    first_line: int

    @cached_property
    def n_lines(self) -> int:
        """Number of lines; the last one of a file may lack its end."""
        # numpy releases the interpreter, which bytes.count does not.
        n_ends = int(np.count_nonzero(np.frombuffer(self.data, dtype=np.uint8) == 10))
        return n_ends + (not self.data.endswith(b"\n"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The first lines of a file, unpacked.

    Parameters
    ----------
    lines : tuple of str
        Without line ends; blank lines are kept.
    has_byte_order_mark : bool
    """

    lines: tuple[str, ...]
    has_byte_order_mark: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A data file that was found, is not empty and can be unpacked.

    Parameters
    ----------
    path : Path
    packing : {"plain", "zip", "gzip", "tar", "lz4", "zstd", "feather"}
        By the first bytes of the file, not by its name.
    member : str
        Name inside the zip; empty otherwise.
    limit_bytes : int
        Unpacked bytes after which reading stops with an error.
    """

    path: Path
    packing: Packing
    member: str = ""
    limit_bytes: int = UNPACKED_LIMIT_BYTES

    @property
    def names(self) -> tuple[str, ...]:
        """Names that may tell the symbol: the member's, then the file's."""
        return tuple(name for name in (PurePosixPath(self.member).name, self.path.name) if name)

    def sha256(self) -> str:
        """Return the SHA-256 of the file as it lies on disk, in hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def head(self) -> Head:
        """First lines of the unpacked file (64 KiB).

        Raises
        ------
        DataError
            If the file is damaged, unpacks to nothing, or is not text.
        """
        if self.packing == "feather":
            names = ",".join(feather_schema(self).names())
            return Head(lines=(names,), has_byte_order_mark=False)
        data = b""
        for chunk in self._chunks():
            data += chunk
            if len(data) >= _HEAD_BYTES:
                break
        if not data.strip():
            raise DataError.in_file(self.path, "The file unpacks to nothing.", _AGAIN)
        self._refuse_binary(data)
        is_cut = len(data) >= _HEAD_BYTES
        data = data[:_HEAD_BYTES]
        has_mark = data.startswith(b"\xef\xbb\xbf")
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
        lines = text.split("\n")
        complete = lines[:-1] if len(lines) > 1 and is_cut else lines
        return Head(
            lines=tuple(line.removesuffix("\r") for line in complete),
            has_byte_order_mark=has_mark,
        )

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
        """Blocks of whole lines, the next one being inflated while one is worked on.

        Raises
        ------
        DataError
            If the file is damaged or larger than the limit, or a line is longer than a block.
        """
        return _one_ahead(self._blocks(block_bytes))

    def whole(self) -> bytes:
        """All bytes, unpacked, without a byte order mark; for documents, at most 1 GiB.

        Raises
        ------
        DataError
            If the file is damaged or larger.
        """
        kept: list[bytes] = []
        size = 0
        for chunk in self._chunks():
            kept.append(chunk)
            size += len(chunk)
            if size > _DOCUMENT_LIMIT_BYTES:
                problem = f"The document is larger than {_DOCUMENT_LIMIT_BYTES:,} bytes."
                raise DataError.in_file(self.path, problem, "Split it.")
        return b"".join(kept).removeprefix(b"\xef\xbb\xbf")

    def _blocks(self, block_bytes: int) -> Iterator[Block]:
        kept: list[bytes] = []
        size, line = 0, 1
        for index, chunk in enumerate(self._chunks()):
            piece = chunk.removeprefix(b"\xef\xbb\xbf") if index == 0 else chunk
            size += len(piece)
            cut = piece.rfind(b"\n") + 1 if size >= block_bytes else 0
            if cut == 0:
                kept.append(piece)
                if size >= 2 * block_bytes:  # no line ended since the block was full
                    problem = f"One line is longer than {block_bytes:,} bytes; lines are short."
                    raise DataError.in_file(self.path, problem, _AGAIN, line)
                continue
            block = Block(b"".join([*kept, piece[:cut]]), line)
            line += block.n_lines
            yield block
            kept, size = [piece[cut:]], len(piece) - cut
        rest = b"".join(kept)
        if rest:
            yield Block(rest, line)

    def _chunks(self) -> Iterator[bytes]:
        n_bytes = 0
        try:
            for chunk in self._unpacked():
                n_bytes += len(chunk)
                refuse_bomb(self.path, n_bytes, self.limit_bytes)
                yield chunk
        except DAMAGED as error:
            raise self._damaged(error) from error
        except RuntimeError as error:  # zipfile says so of an unknown compression
            # isal, lz4 and zstandard have errors of their own, or plain RuntimeErrors.
            if self.packing in ("lz4", "zstd"):
                raise self._damaged(error) from error
            problem = f"The {self.packing} file cannot be unpacked ({_words(error)})."
            cure = "Unpack it with another program and pass the CSV."
            raise DataError.in_file(self.path, problem, cure) from error
        except OSError as error:
            raise _unreadable(self.path, error) from error
        except Exception as error:
            if type(error).__module__.split(".")[0] in ("isal", "lz4", "zstandard", "zstd"):
                raise self._damaged(error) from error
            raise

    def _damaged(self, error: BaseException) -> DataError:
        problem = f"The {self.packing} file is cut off or damaged ({_words(error)})."
        return DataError.in_file(self.path, problem, _AGAIN)

    def _unpacked(self) -> Iterator[bytes]:
        if self.packing == "zip":
            yield from zip_chunks(self.path, self.member, _CHUNK_BYTES)
            return
        with opened(self.path, self.packing) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk

    def _refuse_binary(self, data: bytes) -> None:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            problem = "The text is UTF-16; UTF-8 is expected."
            raise DataError.in_file(self.path, problem, "Save the file as UTF-8.")
        named = next((name for magic, name in _FOREIGN if data.startswith(magic)), "")
        if named:
            problem = f"The file is {named}, which is not read here; a text table is expected."
            raise DataError.in_file(self.path, problem, "Save it as CSV, plain, zip or gz.")
        if b"\x00" in data or not _is_text(data):
            problem = "The content is binary; a text table, plain, zip or gz, is expected."
            raise DataError.in_file(self.path, problem, _AGAIN)
        if data.lstrip()[:1] == b"<" and not _BRACKETED.match(data.lstrip()):
            problem = "The content is a web page or an XML error, not a table."
            raise DataError.in_file(self.path, problem, _AGAIN)
        if data.startswith(b"version https://git-lfs"):
            problem = "The content is a Git LFS pointer, not the data."
            raise DataError.in_file(self.path, problem, "Fetch the file itself with git lfs pull.")


def open_source(path: str | Path, limit_bytes: int = UNPACKED_LIMIT_BYTES) -> Source:
    """Find a data file and see how it is packed.

    Parameters
    ----------
    path : str or Path
        A plain text file, a gzip, or a zip with one file in it.
    limit_bytes : int
        Most bytes the file may unpack to.

    Returns
    -------
    Source

    Raises
    ------
    ParameterError
        If `path` is not a path, or is an address.
    DataError
        If there is no such file, it is empty or a folder, or the zip is damaged, holds not exactly
        one file, names a path outside, or unpacks to more than the limit.
    """
    if not isinstance(path, str | Path) or str(path).startswith(("http://", "https://", "s3://")):
        raise ParameterError(f"path is {path!r}; expected a file on disk. Download it first.")
    file = Path(path)
    try:
        _require_file(file)
        packing = packing_of(file)
    except FileNotFoundError as error:
        raise DataError.in_file(file, "There is no such file.", "Check the path.") from error
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error
    if packing is None:
        raise DataError.in_file(file, "The file is empty (0 bytes).", _AGAIN)
    member = _only_member(file, limit_bytes) if packing == "zip" else ""
    return Source(path=file, packing=packing, member=member, limit_bytes=limit_bytes)


def _require_file(path: Path) -> None:
    """Refuse a folder, and what would never end: a pipe or a device."""
    if path.is_dir():
        raise DataError.in_file(path, "This is a folder.", "Pass one file in it.")
    if path.exists() and not path.is_file():
        raise DataError.in_file(path, "This is a pipe or a device.", "Pass a file on disk.")


def _only_member(path: Path, limit_bytes: int) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                entry
                for entry in archive.infolist()
                if not entry.is_dir() and not entry.filename.startswith(_NO_DATA)
            ]
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        problem = f"The zip file is cut off or damaged ({_words(error)})."
        raise DataError.in_file(path, problem, _AGAIN) from error
    for entry in members:
        if _leads_outside(entry.filename):
            problem = f"The zip holds a path outside its folder, {entry.filename!r}."
            raise DataError.in_file(path, problem, "Do not trust this file; " + _AGAIN.lower())
    if len(members) != 1:
        names = ", ".join(repr(entry.filename) for entry in members[:3]) or "nothing"
        problem = f"The zip holds {len(members)} files ({names}); exactly one is expected."
        raise DataError.in_file(path, problem, "Unpack it and pass the file you want.")
    entry = members[0]
    if entry.flag_bits & 1:
        problem = f"The file {entry.filename!r} in the zip is encrypted."
        raise DataError.in_file(path, problem, "Unpack it and pass the CSV.")
    refuse_bomb(path, entry.file_size, limit_bytes)
    return entry.filename


def _leads_outside(name: str) -> bool:
    parts = name.replace("\\", "/")
    return parts.startswith("/") or ".." in parts.split("/") or parts[1:2] == ":"


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A cut through the last character is not an error; one bad byte in a later line is for
        # the parser, which can name the line.
        line_end = data.find(b"\n")
        if error.start >= len(data) - 4 or (0 <= line_end < error.start):
            return True
        return _is_bilingual_header(data[:line_end])
    return True


def _is_bilingual_header(line: bytes) -> bool:
    """Whether a line is a header of OKX: ``trade_id/...`` with the Chinese names in GBK."""
    try:
        words = [word.partition("/")[0] for word in line.decode("gb18030").split(",")]
    except UnicodeDecodeError:
        return False
    return len(words) > 1 and all(word.isascii() and word.isidentifier() for word in words)


def refuse_bomb(path: Path, n_bytes: int, limit_bytes: int) -> None:
    """Refuse a file that unpacks to `n_bytes`, if that is beyond the limit or out of proportion.

    Raises
    ------
    DataError
        Names both sizes.
    """
    if n_bytes > limit_bytes:
        problem = (
            f"The file unpacks to {n_bytes:,} bytes or more; the limit is {limit_bytes:,} bytes."
        )
        raise DataError.in_file(path, problem, "Unpack it and pass parts of it.")
    packed = path.stat().st_size
    if n_bytes > max(_RATIO_FROM_BYTES, RATIO_LIMIT * packed):
        problem = (
            f"The file unpacks to {n_bytes:,} bytes or more from {packed:,}; the limit is "
            f"{RATIO_LIMIT} times its size."
        )
        raise DataError.in_file(path, problem, "Do not trust this file; download it again.")


def _unreadable(path: Path, error: Exception) -> DataError:
    problem = f"The file cannot be read ({_words(error)})."
    return DataError.in_file(path, problem, "Check the path and its permissions.")


def _words(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).rstrip(".")


def _one_ahead(blocks: Iterator[Block]) -> Iterator[Block]:
    """Yield blocks, a thread making the next one while one is worked on.

    No executor: an abandoned iterator is closed by the garbage collector, in whatever thread that
    runs, and must take no lock there; a SimpleQueue is safe in destructors.
    """
    orders: SimpleQueue[bool] = SimpleQueue()
    made: SimpleQueue[Block | BaseException | None] = SimpleQueue()

    def work() -> None:
        while orders.get():
            try:
                made.put(next(blocks, None))
            except BaseException as error:  # handed to the reader, which raises it
                made.put(error)

    Thread(target=work, daemon=True, name="cascadelab-inflate").start()
    try:
        orders.put(True)
        while (block := made.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            orders.put(True)
            yield block
    finally:
        orders.put(False)
