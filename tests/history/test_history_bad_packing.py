"""Packed files that are cut, poisoned or far larger than they look; JSON that is no data."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cascadelab import history
from cascadelab.errors import DataError
from cascadelab.history.source import open_source

HEAD = "time,coin,funding,open_interest,day_ntl_vlm,premium,oracle_px,mark_px,mid_px,"
HEAD += "impact_bid_px,impact_ask_px\n"


def written(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def rows(n_rows: int) -> bytes:
    rng = random.Random(1)
    lines = [
        f"2025-10-10T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z,BTC,{rng.random():.9f},"
        f"{rng.random():.6f},1,0,1,1,1,1,1\n"
        for n in range(n_rows)
    ]
    return (HEAD + "".join(lines)).encode()


def tar(*members: tuple[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def linked(kind: bytes = tarfile.SYMTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("book.data")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    return buffer.getvalue()


def packers() -> dict[str, Callable[[bytes], bytes]]:
    lz4 = pytest.importorskip("lz4.frame")
    zstandard = pytest.importorskip("zstandard")
    return {
        "gz": lambda data: gzip.compress(data, mtime=0),
        "lz4": lz4.compress,
        "zst": zstandard.compress,
        "tar": lambda data: tar(("a.csv", data)),
    }


@pytest.mark.parametrize("name", ["gz", "lz4", "zst", "tar"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.97])
def test_a_cut_file_is_said_to_be_cut(name: str, part: float, tmp_path: Path) -> None:
    packed = packers()[name](rows(3000))
    assert history.read(written(tmp_path, "whole", packed)).quality.n_rows == 3000
    path = written(tmp_path, "cut", packed[: int(len(packed) * part)])
    with pytest.raises(DataError, match=r"is cut off or damaged|unpacks to nothing") as caught:
        history.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gz", "lz4", "zst", "tar"])
def test_a_flipped_byte_inside_is_found(name: str, tmp_path: Path) -> None:
    whole = history.read(written(tmp_path, "whole", packers()[name](rows(3000)))).frame()
    for seed in range(12):
        packed = bytearray(packers()[name](rows(3000)))
        packed[random.Random(seed).randrange(len(packed) // 4, len(packed) - 20)] ^= 0x55
        try:
            frame = history.read(written(tmp_path, "flipped", bytes(packed))).frame()
        except DataError:
            continue
        # zstandard writes no checksum by default; what it lets through is not for us to see.
        assert name == "zst" or frame.equals(whole)


@pytest.mark.parametrize("name", ["gz", "lz4", "zst", "tar"])
def test_no_packing_may_grow_beyond_the_limits(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, "some", packers()[name](rows(3000)))
    with pytest.raises(DataError, match="the limit is 20,000 bytes"):
        list(open_source(path, limit_bytes=20_000).blocks())
    if name != "lz4":  # which packs no better than 1 to 255
        line = rows(1)
        bomb = line + line.split(b"\n")[1].ljust(200) * 400_000
        with pytest.raises(DataError, match=r"the limit is 250 times its size|longer than"):
            history.read(written(tmp_path, "bomb", packers()[name](bomb)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tar(("../../book.data", b"x")), r"The tar holds a path outside its folder, '\.\./\.\./b"),
        (tar(("/etc/book.data", b"x")), r"The tar holds a path outside its folder, '/etc/book"),
        (tar(("a.csv", rows(3)), ("b.csv", rows(3))), r"several files \('a\.csv', 'b\.csv'\)"),
        (tar(), "is binary"),
        (linked(tarfile.DIRTYPE), "The tar holds no file"),
        (tar(("a.csv", b"")), "unpacks to nothing"),
        (linked(), "The tar holds a link, 'book.data', instead of a file"),
        (tar(("a.csv", rows(3)), ("b.csv", rows(3)), mode="w"), "holds several files"),
    ],
    # Packed bytes hold the time they were made: as names of tests they would differ by process.
    ids=["parent", "root", "two", "nothing", "folder", "empty", "link", "two unpacked"],
)
def test_a_tar_that_is_not_one_file_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        history.read(written(tmp_path, "book.tar.gz", data))


def feather(n_rows: int = 5000, **columns: Any) -> bytes:
    moments = pl.datetime_range(datetime(2024, 1, 1), datetime(2026, 1, 1), "1m", eager=True)
    frame = pl.DataFrame({"date": moments.head(n_rows).dt.replace_time_zone("UTC")})
    names = ("open", "high", "low", "close", "volume")
    values = {name: pl.Series(range(n_rows), dtype=pl.Float64) + 1.0 for name in names}
    frame = frame.with_columns(**(values | columns))
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def test_cut_and_poisoned_feather_files_give_one_error_and_never_a_panic(tmp_path: Path) -> None:
    whole = feather()
    assert history.read(written(tmp_path, "BTC_USDT-1m.feather", whole)).quality.n_rows == 5000
    for seed in range(40):
        rng = random.Random(seed)
        data = bytearray(whole[: rng.randrange(8, len(whole))] if seed % 2 else whole)
        if not seed % 2:
            for _ in range(8):
                data[rng.randrange(len(data) - 1500, len(data) - 6)] = rng.randrange(256)
        path = written(tmp_path, "BTC_USDT-1m.feather", bytes(data))
        with pytest.raises(DataError) as caught:
            history.read(path)
        assert str(path) in str(caught.value)


def test_a_feather_file_that_unpacks_to_far_more_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "BTC_USDT-1m.feather", feather())
    source = open_source(path, limit_bytes=100_000)
    from cascadelab.history.unpack_feather import read_feather

    with pytest.raises(DataError, match="unpacks to 240,000 bytes or more; the limit is 100,000"):
        read_feather(source, ["date", "open", "high", "low", "close", "volume"])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"open": pl.lit("x")}, "The columns are .*open String.*; a time and five numbers"),
        ({"date": pl.lit(7)}, "In record 1, 'date' is None; expected a time"),
        ({"date": pl.lit("2024")}, "date String.*; a time and five numbers are expected"),
        ({"close": pl.lit(None, dtype=pl.Float64)}, "In record 1, 'close' is None; expected"),
        ({"high": pl.lit(float("nan"))}, "In record 1, 'high' is nan; expected"),
    ],
)
def test_a_feather_file_of_other_types_is_refused(
    columns: dict[str, pl.Expr], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        history.read(written(tmp_path, "BTC_USDT-1m.feather", feather(**columns)))


def test_a_feather_file_of_another_table_is_named_by_its_columns(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"time": [1], "open": [2.0]}).write_ipc(buffer)
    with pytest.raises(DataError, match="The columns 'time,open' fit no feather table"):
        history.read(written(tmp_path, "x.feather", buffer.getvalue()))


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        (b"PAR1", "a Parquet file"),
        (b"FEA1", "a Feather file of the first version"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"\xfd7zXZ\x00", "packed with xz"),
        (b"BZh91AY", "packed with bzip2"),
        (b"SQLite format 3\x00", "an SQLite database"),
    ],
)
def test_known_files_of_other_kinds_are_called_by_their_name(
    magic: bytes, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        history.read(written(tmp_path, "x", magic + bytes(range(256)) * 4))


def candles() -> str:
    return json.dumps([[1704067200000 + 60_000 * n, 1.0, 2.0, 0.5, 1.5, 9.0] for n in range(50)])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[1704067260000, 1.0", "[1704067260000, NaN", "In record 2, field 'open' is 'nan'"),
        ("[1704067260000, 1.0", "[1704067260000, -Infinity", "In record 2, field 'open' is '-inf'"),
        ("[1704067260000, 1.0", "[1704067260000, 1e400", "In record 2, field 'open' is 'inf'"),
        ("[1704067260000, 1.0", "[1704067260000, null", "In record 2, field 'open' is empty"),
        ("[1704067260000, 1.0", '[1704067260000, {"a": 1}', "In record 2, field 'open' is '{"),
        ("[1704067260000, 1.0,", "[1704067260000,", "has another shape than its format"),
        ("[1704067260000", "[17040672600000000000000", "In record 2, field 'date' is '17040672"),
        ("9.0]]", "9.0]", "is not JSON"),
        ("9.0]]", "9.0]]]", "is not JSON"),
        ("9.0]]", "9.0", "is not JSON"),
    ],
)
def test_a_document_that_is_cut_or_holds_no_numbers_is_refused(
    old: str, new: str, words: str, tmp_path: Path
) -> None:
    assert old in candles()
    with pytest.raises(DataError, match=words):
        history.read(written(tmp_path, "BTC_USDT-1m.json", candles().replace(old, new, 1)))


def test_a_deeply_nested_document_is_refused(tmp_path: Path) -> None:
    data = candles().replace("1.5, 9.0]]", "1.5, " + "[" * 200_000 + "]" * 200_000 + "]]")
    with pytest.raises(DataError):
        history.read(written(tmp_path, "BTC_USDT-1m.json", data))


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ("NaN", "'nan'"),
        ("Infinity", "'inf'"),
        ("null", "empty"),
        ("-1", "'-1'"),
        ("true", "'true'"),
    ],
)
def test_a_line_of_a_stream_with_no_price_is_named(price: str, words: str, tmp_path: Path) -> None:
    item = '{"T":1704067200000,"s":"XRPUSDT","S":"Buy","v":"1","p":PRICE}'
    line = '{"topic":"allLiquidation.XRPUSDT","data":[' + item + "]}\n"
    text = line.replace("PRICE", "1") + line.replace("PRICE", price)
    with pytest.raises(DataError, match=f"line 2: Field 'price' is {words}"):
        history.read(written(tmp_path, "rec.jsonl", text))
    cut = line.replace("PRICE", "1") + line[:40]
    with pytest.raises(DataError, match="line 2: The line is not JSON"):
        history.read(written(tmp_path, "rec.jsonl", cut))
