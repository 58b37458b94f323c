"""Damaged and wrong files: one sentence that names the file, the line and the rule."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascadelab import history
from cascadelab.errors import CascadelabError, DataError, ParameterError
from cascadelab.history.source import open_source

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "history"
KLINES = (SAMPLES / "um_klines_1m.csv").read_text()
TRADES = (SAMPLES / "tardis_trades_coin_margined.csv").read_text()
DEPTH = (SAMPLES / "book_depth_frozen.csv").read_text()


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.dat"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def archive(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members:
            target.writestr(name, content)
    return buffer.getvalue()


def many_rows() -> bytes:
    head, first = KLINES.splitlines()[:2]
    rest = first.split(",", 1)[1]
    rows = [f"{1704067200000 + 60_000 * index},{rest}" for index in range(5000)]
    return "\n".join([head, *rows, ""]).encode()


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.zip: There is no such file"):
        history.read(tmp_path / "none.zip")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: This is a pipe or a device"):
        history.read(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"^[^(]*: This is a folder\. Pass one file in it\.$"):
        history.read(tmp_path)


@pytest.mark.parametrize("address", [5, None, b"file.zip"])
def test_what_is_no_path_is_refused(address: object) -> None:
    with pytest.raises(ParameterError, match="expected a file on disk"):
        history.read(address)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n \n", "unpacks to nothing"),
        (gzip.compress(b"", mtime=0), "unpacks to nothing"),
        (archive(("a.csv", b"")), "unpacks to nothing"),
        (KLINES.splitlines()[0] + "\n", "a header and no rows"),
        (bytes(range(256)) * 50, "is binary"),
        (b"\x00" * 1000, "is binary"),
        (gzip.compress(b"\x00" * 10_000_000, mtime=0), "is binary"),
        (KLINES.encode("utf-16"), "UTF-16"),
        ("<html><body>403</body></html>", "a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid x\n", "Git LFS"),
        (b"PK\x03\x04rubbish", "cut off or damaged"),
        (b"\x1f\x8brubbish", "cut off or damaged"),
        (gzip.compress(many_rows(), mtime=0)[:-2000], "cut off or damaged"),
        (archive(("a.csv", many_rows()))[:-500], "cut off or damaged"),
        (gzip.compress(many_rows(), mtime=0) + b"xx", "cut off or damaged"),
        (archive(), "holds 0 files"),
        (archive(("a.csv", KLINES.encode()), ("b.csv", b"x")), "holds 2 files"),
        (archive(("../a.csv", KLINES.encode())), "a path outside"),
        (archive(("/etc/a.csv", KLINES.encode())), "a path outside"),
        (archive(("x\\..\\..\\a.csv", KLINES.encode())), "a path outside"),
        ("a,b,c\n1,2,3\n", "belongs to no known format"),
        ("1,2,3\n", "fits no known format"),
        ("hello\n", "no known format"),
        (KLINES.replace(",", ";"), "separated by semicolons"),
        (KLINES.replace(",", "\t"), "separated by tabs"),
        (KLINES.replace("quote_volume", "qv", 1), "lacks 'quote_volume' of binance_klines"),
        (KLINES.replace("close_time", "open_time", 1), "lacks 'close_time'"),
    ],
)
def test_a_damaged_file_gives_one_specific_error(
    content: str | bytes, words: str, tmp_path: Path
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=words) as caught:
        history.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_byte_inside_a_zip_is_found_by_its_checksum(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        target.writestr("a.csv", many_rows())
    data = bytearray(buffer.getvalue())
    data[2000] = ord("7") if data[2000] != ord("7") else ord("8")
    with pytest.raises(DataError):
        history.read(written(tmp_path, bytes(data)))


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    honest = written(tmp_path, archive(("a.csv", many_rows())))
    with pytest.raises(DataError, match="the limit is 1,000 bytes"):
        open_source(honest, limit_bytes=1000)
    packed = written(tmp_path, gzip.compress(many_rows(), mtime=0))
    with pytest.raises(DataError, match="the limit is 1,000 bytes"):
        list(open_source(packed, limit_bytes=1000).blocks())


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused_early(tmp_path: Path) -> None:
    rows = many_rows()
    lines = rows.splitlines(keepends=True)
    bomb = lines[0] + lines[1] * 1_000_000  # 75 MB in one line over and over
    for packed in (gzip.compress(bomb, mtime=0), archive(("a.csv", bomb))):
        with pytest.raises(DataError, match="the limit is 250 times its size"):
            history.read(written(tmp_path, packed))


def test_a_zip_that_claims_ten_gigabytes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    data = archive(("a.csv", b"0" * 1000))
    central = data.index(b"PK\x01\x02")
    claimed = bytearray(data)
    claimed[central + 24 : central + 28] = struct.pack("<I", 0xFFFFFFFE)
    path = written(tmp_path, bytes(claimed))
    with pytest.raises(DataError, match=r"cut off|damaged|limit|fits no"):
        history.read(path)
    with pytest.raises(DataError, match="the limit is 1,000,000 bytes"):
        open_source(path, limit_bytes=1_000_000)


@pytest.mark.parametrize(
    ("text", "old", "new", "line", "words"),
    [
        (KLINES, ",100.5,102.0", ",abc,102.0", 3, "'open' is 'abc'; expected a finite number"),
        (KLINES, ",100.5,102.0", ",NaN,102.0", 3, "'open' is 'NaN'"),
        (KLINES, ",100.5,102.0", ",inf,102.0", 3, "'open' is 'inf'"),
        (KLINES, ",100.5,102.0", ",,102.0", 3, "'open' is empty"),
        (KLINES, ",100.5,102.0", ",None,102.0", 3, "'open' is 'None'"),
        (KLINES, ",100.5,102.0", ",-100.5,102.0", 3, "a finite number above zero"),
        (KLINES, ",100.5,102.0", ",0,102.0", 3, "a finite number above zero"),
        (KLINES, ",101.0,20.0,", ",101.0,-20.0,", 3, "at least zero"),
        (KLINES, "1704067260000", "99999999999999999999", 3, "'open_time' is '9999"),
        (KLINES, "1704067260000", "12", 3, "a time since 1970"),
        (KLINES, "1704067260000", "-1704067260000", 3, "a time since 1970"),
        (KLINES, ",1515.0,0", "", 3, "the line has 10 fields; 12 are expected"),
        (KLINES, ",1515.0,0", ",1515.0,0,0,0", 3, "the line has 14 fields"),
        (KLINES, ",8.0,792.0,0\n", "", 4, "The file may be cut off"),
        (TRADES, ",4.0,8", ",-4.0,8", 2, "'price' is '-4.0'"),
        (TRADES, ",4.0,8", ",4.0,0", 2, "'amount' is '0'; expected a finite number above zero"),
        (TRADES, ",buy,", ",Buy,", 2, "one of buy, sell, unknown"),
        (TRADES, ",buy,", ",,", 2, "'side' is empty"),
        (DEPTH, "2024-01-01 00:01:30,-1,", "2024-13-01 00:01:30,-1,", 15, "a UTC time such as"),
        (DEPTH, "2024-01-01 00:01:30,-1,53", "2024-01-01 00:01:30,-1,-53", 15, "'depth'"),
    ],
)
def test_a_bad_value_is_named_with_its_line(
    text: str, old: str, new: str, line: int, words: str, tmp_path: Path
) -> None:
    assert old in text
    path = written(tmp_path, text.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        history.read(path)
    message = str(caught.value)
    assert f"{path}, line {line}:" in message
    assert words.lower() in message.lower()


def test_the_line_is_counted_in_the_file_across_blanks_and_blocks(tmp_path: Path) -> None:
    head, *rows = many_rows().decode().splitlines()
    rows[4321] = rows[4321].replace(",100.0,", ",x,", 1)
    path = written(tmp_path, "\n".join(["", head, "", *rows]))
    with pytest.raises(DataError, match=r"line 4325: Field 'open' is 'x'"):
        history.read(path)


def test_a_bad_byte_is_named_with_its_line(tmp_path: Path) -> None:
    data = KLINES.encode().replace(b"1704067260000,100.5", b"1704067260000,\xff00.5")
    with pytest.raises(DataError, match="line 3: Byte 0xff is not UTF-8"):
        history.read(written(tmp_path, data))


def test_volumes_that_give_no_price_are_refused(tmp_path: Path) -> None:
    lines = [KLINES.splitlines()[0]]
    lines += ["1704067200000,100,101,99,100,10,1704067259999,77777,3,1,1,0"]
    with pytest.raises(DataError, match="give no price between low and high"):
        history.read(written(tmp_path, "\n".join(lines)))


READERS: list[tuple[Callable[..., history.Reading], str]] = [
    (history.binance.read_klines, "binance_klines is expected"),
    (history.binance.read_agg_trades, "binance_agg_trades is expected"),
    (history.binance.read_book_depth, "binance_book_depth is expected"),
]


@pytest.mark.parametrize(("reader", "words"), READERS)
def test_an_explicit_reader_names_what_the_file_is_instead(
    reader: Callable[..., history.Reading], words: str, tmp_path: Path
) -> None:
    path = written(tmp_path, TRADES)
    with pytest.raises(DataError, match=r"holds trades \(tardis_trades\)") as caught:
        reader(path)
    assert words in str(caught.value)


@given(st.binary(min_size=0, max_size=300), st.sampled_from(["", "PK\x03\x04", "header"]))
def test_no_bytes_whatever_raise_anything_but_our_errors(noise: bytes, lead: str) -> None:
    import tempfile

    start = KLINES.splitlines()[0] + "\n" if lead == "header" else lead
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), start.encode("latin-1") + noise)
        with pytest.raises(CascadelabError):
            history.read(path)


@pytest.mark.parametrize(
    ("head", "row", "n_cut"),
    [
        # The volume may be empty: without the check the close 43.51 would be 43.
        ("time,open,high,low,close,volume\n", "16330464{:02d},43,44,42,43.51,20\n", 6),
        # The last column is not looked at: without it the last value would be 1 for 17.
        (
            "time,open,high,low,close,volume,remark\n",
            "16330464{:02d},43,44,42,43,17,x\n",
            4,
        ),
    ],
)
def test_a_last_line_cut_inside_a_number_is_no_shorter_number(
    head: str, row: str, n_cut: int, tmp_path: Path
) -> None:
    text = head + "".join(row.format(second) for second in range(50))
    assert history.read(written(tmp_path, text)).quality.n_rows == 50
    with pytest.raises(DataError, match=r"line 51: The line has \d fields; \d are expected"):
        history.read(written(tmp_path, text[:-n_cut]))
