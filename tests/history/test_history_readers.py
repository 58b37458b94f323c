"""Readers on small hand-made files: numbers worked by hand."""

from __future__ import annotations

import gzip
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from numpy.testing import assert_allclose

from cascadelab import history
from cascadelab.errors import DataError, ParameterError
from cascadelab.history.tables import KINDS, conform, table_of

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "history"


def sample(name: str) -> Path:
    return SAMPLES / name


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def zipped(path: Path, member: str, folder: Path) -> Path:
    target = folder / f"{member}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, path.read_bytes())
    return target


def test_every_sample_is_recognised_by_content_and_fits_its_table() -> None:
    kinds = {
        "um_klines_1m.csv": ("bars", "binance_klines"),
        "spot_klines_1m_us_no_header.csv": ("bars", "binance_klines"),
        "cm_klines_1m.csv": ("bars", "binance_klines"),
        "mark_klines_5m.csv": ("bars", "binance_klines"),
        "premium_klines_1m.csv": ("bars", "binance_klines"),
        "agg_trades_spot_us_no_header.csv": ("trades", "binance_agg_trades"),
        "tardis_trades_coin_margined.csv": ("trades", "tardis_trades"),
        "book_depth_frozen.csv": ("depth", "binance_book_depth"),
    }
    for name, (kind, format_name) in kinds.items():
        reading = history.read(sample(name))
        assert (reading.kind, reading.quality.format) == (kind, format_name), name
        frame = reading.frame()
        assert frame.columns == KINDS[kind].names
        assert [column.dtype for column in KINDS[kind].columns] == frame.dtypes
        for column in KINDS[kind].columns:
            assert column.is_nullable or frame[column.name].null_count() == 0, column.name


def test_klines_give_signed_flow_and_bar_ends() -> None:
    frame = history.binance.read_klines(sample("um_klines_1m.csv")).frame()
    assert frame["opened_at"][0] == utc(2024, 1, 1, 0, 0)
    assert frame["closed_at"][0] == utc(2024, 1, 1, 0, 1)
    assert_allclose(frame["flow_base"], [-2.0, 10.0, -24.0])  # 2 * taker bought - volume
    assert_allclose(frame["volume_quote"], [1000.0, 2020.0, 3960.0])


def test_a_missing_minute_is_a_gap_and_a_short_day_is_partial() -> None:
    quality = history.read(sample("um_klines_1m.csv")).quality
    assert quality.step_s == 60.0
    assert quality.n_missing == 1
    assert quality.gaps[0].from_at == utc(2024, 1, 1, 0, 1)
    assert quality.gaps[0].until_at == utc(2024, 1, 1, 0, 3)
    assert quality.is_partial_day
    assert not quality.is_clean
    assert quality.gaps_frame().rows() == [(utc(2024, 1, 1, 0, 1), utc(2024, 1, 1, 0, 3), 1)]


def test_microseconds_and_a_missing_header_are_seen_not_assumed() -> None:
    reading = history.read(sample("spot_klines_1m_us_no_header.csv"))
    assert reading.quality.time_units == (("us", 2),)
    assert not reading.quality.has_header
    frame = reading.frame()
    assert frame["opened_at"][1] == utc(2025, 1, 1, 0, 1)
    assert frame["closed_at"][1] == utc(2025, 1, 1, 0, 2)


def test_coin_margined_klines_are_known_by_content_and_turned_into_coins() -> None:
    reading = history.read(sample("cm_klines_1m.csv"))
    frame = reading.frame()
    # 1000 contracts of 10 USD at about 20 USD are 500 coins, 10,000 USD.
    assert reading.quality.contract_size == 10.0
    assert reading.quality.quantity_unit == "contracts of 10 quote units"
    assert_allclose(frame["volume_base"], [500.0, 100.0])
    assert_allclose(frame["volume_quote"], [10_000.0, 2_020.0])
    assert_allclose(frame["flow_base"], [2 * 200.0 - 500.0, 0.0])


def test_the_symbol_decides_where_volumes_fit_coins_and_contracts(tmp_path: Path) -> None:
    # At the root of 10 USD, contracts per coin and coins per contract agree.
    path = tmp_path / "klines.csv"
    header = sample("cm_klines_1m.csv").read_text().splitlines()[0]
    path.write_text(
        f"{header}\n1704067200000,3.16,3.17,3.15,3.16,100,1704067259999,316,5,40,126,0\n"
    )
    assert history.read(path, symbol="XUSDT").frame()["volume_base"][0] == 100.0
    assert history.read(path, symbol="XUSD_PERP").frame()["volume_base"][0] == 316.0


def test_one_bad_price_does_not_make_a_mark_series_a_premium(tmp_path: Path) -> None:
    path = tmp_path / "klines.csv"
    text = sample("mark_klines_5m.csv").read_text()
    path.write_text(text.replace(",98.0,0", ",-98.0,0"))
    with pytest.raises(DataError, match=r"line 3: Field 'close' is '-98.0'"):
        history.read(path)


def test_mark_klines_have_samples_and_no_volume() -> None:
    reading = history.binance.read_mark_klines(sample("mark_klines_5m.csv"))
    frame = reading.frame()
    assert frame["series"].to_list() == ["mark", "mark"]
    assert frame["volume_base"].null_count() == 2
    assert frame["n_samples"].to_list() == [300, 299]
    assert "1 bars have fewer than 300 price samples." in reading.quality.notes


def test_index_and_mark_cannot_be_told_apart_by_content_and_the_reader_says_so() -> None:
    reading = history.read(sample("mark_klines_5m.csv"))
    assert reading.frame()["series"][0] == "mark or index"
    assert any("does not tell mark from index" in note for note in reading.quality.notes)
    assert history.binance.read_index_klines(sample("mark_klines_5m.csv")).frame()["series"][0] == "index"  # fmt: skip # noqa: E501


def test_the_premium_index_may_be_negative() -> None:
    frame = history.read(sample("premium_klines_1m.csv")).frame()
    assert frame["series"][0] == "premium"
    assert_allclose(frame["low"], [-0.0001, -0.0011])


@pytest.mark.parametrize("reader", ["read_mark_klines", "read_premium_klines"])
def test_traded_klines_are_refused_where_another_series_is_expected(reader: str) -> None:
    with pytest.raises(DataError, match=r"series 'trade'; '(mark|premium)' is expected"):
        getattr(history.binance, reader)(sample("um_klines_1m.csv"))


def test_mark_klines_are_refused_as_klines() -> None:
    with pytest.raises(DataError, match="'trade' is expected"):
        history.binance.read_klines(sample("mark_klines_5m.csv"))


def test_aggregate_trades_are_signed_by_the_taker_and_missing_identifiers_counted() -> None:
    reading = history.binance.read_agg_trades(sample("agg_trades_spot_us_no_header.csv"))
    frame = reading.frame()
    # is_buyer_maker False: the buyer was the taker.
    assert_allclose(frame["quantity_base"], [0.5, -0.2, -1.0])
    assert frame["side"].to_list() == ["buy", "sell", "sell"]
    assert frame["n_trades"].to_list() == [3, 1, 1]
    assert frame["traded_at"][0] == utc(2025, 1, 1, 0, 0, 0, 100)
    assert reading.quality.venue == "binance-spot"
    assert any(note.startswith("1 aggregate identifiers") for note in reading.quality.notes)


def test_coin_margined_aggregates_take_the_contract_of_the_symbol(tmp_path: Path) -> None:
    path = zipped(sample("agg_trades_cm.csv"), "AVAXUSD_PERP-aggTrades-2024-01-01.csv", tmp_path)
    reading = history.read(path)
    assert_allclose(reading.frame()["quantity_base"], [40 * 10 / 20.0, -19 * 10 / 19.0])
    assert (reading.quality.venue, reading.quality.symbol) == ("binance-cm", "AVAXUSD_PERP")
    bitcoin = history.read(sample("agg_trades_cm.csv"), symbol="BTCUSD_240329").frame()
    assert_allclose(bitcoin["quantity_base"], [40 * 100 / 20.0, -100.0])


def test_whole_quantities_without_a_symbol_are_refused_rather_than_guessed() -> None:
    with pytest.raises(DataError, match=r"coins or contracts\? Pass symbol="):
        history.read(sample("agg_trades_cm.csv"))


def test_tardis_contracts_become_signed_coins() -> None:
    reading = history.tardis.read_trades(sample("tardis_trades_coin_margined.csv"))
    frame = reading.frame()
    # 8 contracts of 10 USD at 4 USD are 20 coins bought; 5 at 2 USD are 25 sold.
    assert frame["quantity_base"].to_list() == [20.0, -25.0, None]
    assert_allclose(frame["size_base"], [20.0, 25.0, 4.0])
    assert frame["traded_at"][0] == utc(2024, 1, 1, 0, 0, 0, 100_000)
    assert frame["arrived_at"][0] == utc(2024, 1, 1, 0, 0, 0, 150_000)
    assert any("no taker side" in note for note in reading.quality.notes)


def test_an_unknown_contract_is_asked_for_and_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    text = sample("tardis_trades_coin_margined.csv").read_text()
    path.write_text(text.replace("binance-delivery", "somewhere"))
    with pytest.raises(DataError, match="contract size of 'ATOMUSD_PERP' at 'somewhere'"):
        history.read(path)
    linear = history.Contract(face=0.5)
    frame = history.read(path, contract=linear).frame()
    assert frame["quantity_base"].to_list() == [4.0, -2.5, None]


def test_frozen_bands_are_masked_and_named() -> None:
    reading = history.binance.read_book_depth(sample("book_depth_frozen.csv"))
    (band,) = reading.quality.frozen_bands
    assert (band.band_fraction, band.n_snapshots, band.depth_base) == (-0.01, 6, 53.0)
    assert band.from_at == utc(2024, 1, 1, 0, 1, 30)
    assert band.until_at == utc(2024, 1, 1, 0, 4, 0)
    frame = reading.frame()
    frozen = frame.filter("is_frozen")
    assert frozen["band_fraction"].unique().to_list() == [-0.01]
    assert frozen["depth_base"].null_count() == frozen["depth_quote"].null_count() == 6
    assert frame.filter(~pl.col("is_frozen"))["depth_base"].null_count() == 0
    assert reading.quality.n_masked == 6
    assert reading.quality.n_crossed == 0


def test_four_equal_snapshots_are_not_frozen_and_five_are(tmp_path: Path) -> None:
    for n_equal, n_bands in ((4, 0), (5, 1)):
        lines = ["timestamp,percentage,depth,notional"]
        for index in range(8):
            depth = 10 + max(0, index - n_equal + 1)
            lines += [f"2024-01-01 00:0{index}:00,-1.00,{depth},{depth * 99}"]
            lines += [f"2024-01-01 00:0{index}:00,1.00,{20 + index},{(20 + index) * 101}"]
        path = tmp_path / f"{n_equal}.csv"
        path.write_text("\n".join(lines) + "\n")
        assert len(history.read(path).quality.frozen_bands) == n_bands


@pytest.mark.parametrize("text", ["-5", "-5.00", "-5.0"])
def test_the_texts_of_a_band_mean_one_band(text: str, tmp_path: Path) -> None:
    path = tmp_path / "depth.csv"
    rows = [f"2026-09-01 00:00:01,{text},1,95", "2026-09-01 00:00:01,0.20,1,100"]
    path.write_text("\n".join(["timestamp,percentage,depth,notional", *rows]))
    assert history.read(path).frame()["band_fraction"].to_list() == [-0.05, 0.002]


def test_a_crossed_snapshot_is_flagged_but_kept(tmp_path: Path) -> None:
    path = tmp_path / "depth.csv"
    rows = ["2024-01-01 00:00:00,-1,10,990", "2024-01-01 00:00:00,1,10,1010"]
    rows += ["2024-01-01 00:00:30,-1,11,1210", "2024-01-01 00:00:30,1,10,1005"]  # bids at 110
    path.write_text("timestamp,percentage,depth,notional\n" + "\n".join(rows) + "\n")
    reading = history.read(path)
    assert reading.quality.n_crossed == 1
    assert reading.quality.crossed_from == utc(2024, 1, 1, 0, 0, 30)
    assert reading.frame()["is_crossed"].to_list() == [False, False, True, True]
    assert reading.frame()["depth_base"].to_list() == [10.0, 10.0, 11.0, 10.0]


def test_bands_are_checked_against_the_mark_price() -> None:
    bars = pl.DataFrame(
        {
            "opened_at": [utc(2024, 1, 1)],
            "closed_at": [utc(2024, 1, 2)],
            "high": [100.2],
            "low": [99.8],
        }
    )
    right = history.binance.read_book_depth(sample("book_depth_frozen.csv"), marks=bars)
    assert any(note.startswith("0 of 36 band readings") for note in right.quality.notes)
    moved = bars.with_columns(high=pl.lit(90.0), low=pl.lit(89.0))
    wrong = history.binance.read_book_depth(sample("book_depth_frozen.csv"), marks=moved)
    assert any(note.startswith("36 of 36 band readings") for note in wrong.quality.notes)
    with pytest.raises(ParameterError, match="marks are not bars"):
        history.binance.read_book_depth(sample("book_depth_frozen.csv"), marks=pl.DataFrame())


def test_zip_gz_and_plain_give_the_same_rows(tmp_path: Path) -> None:
    plain = sample("um_klines_1m.csv")
    packed = tmp_path / "any.name"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    archive = zipped(plain, "XYZUSDT-1m-2024-01-01.csv", tmp_path)
    frame = history.read(plain).frame().drop("symbol")
    assert history.read(packed).frame().drop("symbol").equals(frame)
    assert history.read(archive).frame().drop("symbol").equals(frame)
    assert history.read(archive).quality.symbol == "XYZUSDT"
    assert history.read(plain, symbol="ABCUSDT").quality.symbol == "ABCUSDT"


def test_blocks_of_any_size_give_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from cascadelab.history.source import Source

    whole = history.read(sample("book_depth_frozen.csv")).frame()
    original = Source.blocks
    monkeypatch.setattr("cascadelab.history.source._CHUNK_BYTES", 50)
    monkeypatch.setattr(Source, "blocks", lambda self: original(self, 100))
    assert history.read(sample("book_depth_frozen.csv")).frame().equals(whole)


def test_blocks_give_the_rows_of_a_file_without_holding_it() -> None:
    whole = history.read(sample("um_klines_1m.csv")).frame()
    assert pl.concat(history.blocks(sample("um_klines_1m.csv"), kind="bars")).equals(whole)


def test_exact_duplicates_are_removed_and_counted_and_disorder_is_sorted(tmp_path: Path) -> None:
    lines = sample("um_klines_1m.csv").read_text().splitlines()
    path = tmp_path / "klines.csv"
    path.write_text("\n".join([lines[0], lines[3], lines[1], lines[1], lines[2]]) + "\n")
    reading = history.read(path)
    quality = reading.quality
    assert (quality.n_rows_read, quality.n_rows, quality.n_exact_duplicates) == (4, 3, 1)
    assert quality.n_out_of_order == 3
    assert reading.frame().equals(history.read(sample("um_klines_1m.csv")).frame())


def test_a_unit_switch_inside_a_file_is_read_by_magnitude_and_noted(tmp_path: Path) -> None:
    lines = sample("um_klines_1m.csv").read_text().splitlines()
    cells = lines[2].split(",")
    cells[0], cells[6] = cells[0] + "000", cells[6] + "999"
    lines[2] = ",".join(cells)
    path = tmp_path / "klines.csv"
    path.write_text("\n".join(lines) + "\n")
    reading = history.read(path)
    assert reading.quality.has_unit_switch
    assert dict(reading.quality.time_units) == {"ms": 2, "us": 1}
    assert reading.frame().equals(history.read(sample("um_klines_1m.csv")).frame())


def test_byte_order_mark_carriage_returns_blanks_and_padding_are_read_and_noted(
    tmp_path: Path,
) -> None:
    lines = sample("um_klines_1m.csv").read_text().splitlines()
    lines[2] = lines[2].replace(",", ", ")
    path = tmp_path / "klines.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, "", ""]).encode())
    reading = history.read(path)
    assert reading.frame().equals(history.read(sample("um_klines_1m.csv")).frame())
    notes = " ".join(reading.quality.notes)
    assert "byte order mark" in notes
    assert "1 lines had spaces" in notes
    assert "blank line" in notes


def test_columns_may_be_in_another_order_and_unknown_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text(
        "symbol,exchange,extra,side,price,amount,id,timestamp,local_timestamp\n"
        "ATOM-USD,coinbase,x,sell,4.0,2.5,7,1704067200100000,1704067200150000\n"
    )
    reading = history.read(path)
    assert reading.frame()["quantity_base"].to_list() == [-2.5]
    assert "Columns not used: extra." in reading.quality.notes


def test_quality_is_plain_deterministic_and_printable() -> None:
    first = history.read(sample("book_depth_frozen.csv")).quality
    second = history.read(sample("book_depth_frozen.csv")).quality
    assert first == second
    assert json.dumps(first.to_dict()) == json.dumps(second.to_dict())
    assert first.to_dict()["first_at"] == "2024-01-01T00:00:00Z"
    assert str(first) == str(second)
    assert "band_fraction" in str(first)
    assert "<table" in first._repr_mimebundle_()["text/html"]


def test_kind_may_be_stated_and_a_wrong_one_is_told() -> None:
    assert history.read(sample("um_klines_1m.csv"), kind="bars").kind == "bars"
    assert history.read(sample("um_klines_1m.csv"), kind="binance_klines").kind == "bars"
    with pytest.raises(DataError, match=r"holds bars \(binance_klines\)"):
        history.read(sample("um_klines_1m.csv"), kind="trades")
    with pytest.raises(ParameterError, match="Did you mean 'trades'"):
        history.read(sample("um_klines_1m.csv"), kind="trade")


def test_every_column_of_every_kind_has_a_meaning() -> None:
    for table in KINDS.values():
        assert len(set(table.names)) == len(table.names)
        assert all(column.meaning for column in table.columns), table.name
        assert conform(pl.DataFrame({"x": []}), table.name).columns == table.names
    with pytest.raises(ParameterError, match="Did you mean 'funding'"):
        table_of("fundings")
