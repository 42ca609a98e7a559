"""Every archive format, as its source writes it, becomes rows of the one schema."""

import polars as pl
import pytest

from pipelines.history.names import Names
from pipelines.history.read import read
from pipelines.history.schema import SCHEMAS
from tests.pipelines.history import archives
from tests.pipelines.history.archives import DAY_MS
from tests.pipelines.tape_maker import START_NS, depth, quote, trade
from tests.pipelines.tape_maker import write as write_tape

DAY_NS = DAY_MS * 1_000_000


def only(reading):
    (key,) = reading.tables
    assert reading.rejected[key].is_empty()
    table = reading.tables[key]
    assert dict(table.drop("line").schema) == SCHEMAS[key.kind]
    return key, table


@pytest.mark.parametrize("scale", [1, 1_000], ids=["ms", "µs"])
@pytest.mark.parametrize("px", [3e-8, 30_000.0, 9e7])
@pytest.mark.parametrize(
    ("header", "spot", "venue"),
    [(archives.AGG_HEADER, False, "binanceusdm"), (None, True, "binance")],
    ids=["futures with header", "spot without header"],
)
def test_agg_trades(tmp_path, scale, px, header, spot, venue):
    rows = archives.agg_trades(scale=scale, px=px, spot=spot)
    path = archives.write(tmp_path / "XYZUSDT-aggTrades-2024-07-18.zip", rows, header)
    key, table = only(read(path))
    assert key == ("trades", venue, "XYZUSDT")
    first, cells = table.row(0, named=True), rows[0].split(",")
    assert (first["ts_event"], first["ts_recv"], first["trade_id"]) == (DAY_NS, 0, 10)
    assert (first["px"], first["qty"]) == (float(cells[1]), 0.5)
    assert first["is_aggregate"] and first["is_market"]
    sold = [row.split(",")[6] == "true" for row in rows]
    assert table["side"].to_list() == [-1 if maker else 1 for maker in sold]
    assert table["ts_event"].diff().drop_nulls().unique().to_list() == [250_000_000]
    assert table["line"].to_list()[:2] == ([2, 3] if header else [1, 2])


def test_futures_without_header_need_a_folder_or_an_option(tmp_path):
    rows = archives.agg_trades()
    archive = tmp_path / "data" / "futures" / "cm" / "daily" / "aggTrades" / "XYZUSD_PERP"
    path = archives.write(archive / "XYZUSD_PERP-aggTrades-2024-07-18.zip", rows)
    assert only(read(path))[0] == ("trades", "binancecoinm", "XYZUSD_PERP")
    loose = archives.write(tmp_path / "ABCUSDT-aggTrades-2024-07-18.csv", rows)
    assert only(read(loose, Names(venue="elsewhere")))[0] == ("trades", "elsewhere", "ABCUSDT")


@pytest.mark.parametrize("scale", [1, 1_000], ids=["ms", "µs"])
@pytest.mark.parametrize("name", ["XYZUSDT-1m-2024-07-18.zip", "XYZUSDT-1m-2024-07.csv.gz"])
def test_klines(tmp_path, scale, name):
    path = archives.write(tmp_path / name, archives.klines(scale=scale), archives.KLINE_HEADER)
    key, table = only(read(path))
    assert key == ("klines", "binanceusdm", "XYZUSDT")
    assert table["interval_ns"].unique().to_list() == [60_000_000_000]
    assert table["ts_event"][-1] == DAY_NS + 1_439 * 60_000_000_000
    assert table.select("open", "high", "low", "close", "volume", "quote_volume", "trades").row(0) == pytest.approx(
        (2.5, 2.525, 2.475, 2.5, 10, 25, 7)
    )
    assert table.select("taker_volume", "taker_quote_volume").row(0) == (4, 10)


def test_book_ticker_funding_and_metrics(tmp_path):
    files = {
        "quotes": ("bookTicker", archives.quotes(), archives.QUOTE_HEADER),
        "funding": ("fundingRate", archives.funding(), archives.FUNDING_HEADER),
        "open_interest": ("metrics", archives.metrics(), archives.METRICS_HEADER),
    }
    found = {}
    for kind, (name, rows, header) in files.items():
        for form, head in (("with", header), ("without", None)):
            path = archives.write(tmp_path / form / f"XYZUSDT-{name}-2024-07-18.zip", rows, head)
            key, found[form] = only(read(path))
            assert key == (kind, "binanceusdm", "XYZUSDT")
        assert found["with"].drop("line").equals(found["without"].drop("line"))
        found[kind] = found["with"]
    assert found["quotes"].drop("line").row(1) == (DAY_NS + 10**8, 0, 10, 30_000.0, 1.5, 30_003.0, 2.5)
    assert found["funding"]["funding_rate"].to_list() == [0.0001, 0.00011, 0.00012]
    assert found["funding"]["interval_ns"][0] == 8 * 3_600 * 10**9
    assert found["open_interest"].drop("line").row(1) == (
        DAY_NS + 300 * 10**9,
        0,
        100.5,
        200_000.25,
        1.1,
        1.2,
        1.3,
        0.9,
    )


@pytest.mark.parametrize("header", [archives.DEPTH_HEADER, None], ids=["header", "no header"])
@pytest.mark.parametrize("padded", [True, False], ids=["-5.00", "-5"])
def test_book_depth(tmp_path, header, padded):
    path = archives.write(tmp_path / "XYZUSDT-bookDepth-2024-07-18.zip", archives.book_depth(padded=padded), header)
    key, table = only(read(archives.with_checksum(path)))
    assert key == ("depth_bands", "binanceusdm", "XYZUSDT")
    assert table.height == 60 * 6
    first = [(DAY_NS + 7 * 10**9, 0, -(1 if bps > 0 else -1), bps, abs(bps), abs(bps) * 30_000) for bps in (-500, 500)]
    assert [table.drop("line").row(0), table.drop("line").row(5)] == first
    assert table["offset_bps"][:6].to_list() == [-500, -100, -20, 20, 100, 500]
    assert table["ts_event"].unique().sort().diff().drop_nulls().unique().to_list() == [30 * 10**9]


@pytest.mark.parametrize("header", [archives.FORCED_HEADER, None], ids=["header", "no header"])
@pytest.mark.parametrize(
    ("symbol", "venue"), [("XYZUSD_PERP", "binancecoinm"), ("XYZUSDT", "binanceusdm")], ids=["coin", "usd"]
)
def test_liquidation_snapshot(tmp_path, header, symbol, venue):
    path = archives.write(tmp_path / f"{symbol}-liquidationSnapshot-2024-07-18.zip", archives.liquidations(), header)
    key, table = only(read(archives.with_checksum(path)))
    assert key == ("liquidations", venue, symbol)
    px, avg_px = 63_630.0, 63_000.0
    rows = table.drop("line").rows()
    assert rows[0] == rows[1] == (DAY_NS, 0, px, 7.0, 1, avg_px, 3.0, 3.0)
    assert rows[2] == (DAY_NS, 0, px, 7.0, 1, avg_px, 7.0, 4.0)
    assert rows[4] == (DAY_NS + 60 * 10**9, 0, px, 7.0, -1, avg_px, 7.0, 7.0)


@pytest.mark.parametrize("packed", [".csv", ".csv.gz"])
def test_tardis(tmp_path, packed):
    tables = {}
    for kind in ("trades", "quotes", "incremental_book_L2", "derivative_ticker"):
        path = archives.write(tmp_path / f"binance-futures_{kind}_2024-07-18_XYZUSDT{packed}", archives.tardis(kind))
        reading = read(path)
        assert {(key.venue, key.symbol) for key in reading.tables} == {("binanceusdm", "XYZUSDT")}
        tables.update({key.kind: table.drop("line") for key, table in reading.tables.items()})
    at = DAY_NS + 1_000_000
    assert tables["trades"].row(1) == (at, at + 150_000, 101, None, 10.5, 2.0, 1, False, True)
    assert tables["quotes"].row(1) == (at, at + 150_000, None, 10.5, 2.0, 10.6, 2.0)
    assert tables["depth"].row(1) == (at, at + 150_000, True, None, None, None, 10.01, 1.0, 1)
    assert tables["open_interest"].height == 50
    assert tables["funding"].height == 25
    assert not tables["funding"]["is_settled"].any()
    assert tables["funding"]["next_funding_ns"][0] == DAY_NS + 8 * 3_600 * 10**9


def test_a_grouped_tardis_file_is_split_by_symbol_and_keeps_foreign_ids(tmp_path):
    rows = (
        archives.tardis("trades", exchange="bybit") + archives.tardis("trades", symbol="abcusd", exchange="bybit")[1:]
    )
    rows[1] = rows[1].replace(",100,", ",5f3c-uuid,")
    reading = read(archives.write(tmp_path / "bybit_trades_2024-07-18_PERPETUALS.csv.gz", rows))
    assert {key: table.height for key, table in reading.tables.items()} == {
        ("trades", "bybit", "XYZUSDT"): 50,
        ("trades", "bybit", "ABCUSD"): 50,
    }
    first = reading.tables["trades", "bybit", "XYZUSDT"].row(0, named=True)
    assert (first["trade_id"], first["trade_key"]) == (None, "5f3c-uuid")


def test_a_tape_gives_every_kind_it_holds(tmp_path):
    lines = [
        quote(START_NS, "XUSDT", 7, "10.1", "10.2", "3", "4"),
        trade(START_NS + 5, "XUSDT", 9, "10.2", "0.25", sold=True),
        depth(START_NS + 9, "XUSDT", 3, 5, 2, "10.1", "10.2"),
        "no frame\n",
    ]
    reading = read(write_tape(tmp_path, "any name.gz", lines * 1))
    tables = {key: table.drop("line") for key, table in reading.tables.items()}
    event_ns = (START_NS // 1_000_000 - 3) * 1_000_000
    venue = ("binanceusdm", "XUSDT")
    assert tables["quotes", *venue].rows() == [(event_ns, START_NS, 7, 10.1, 3.0, 10.2, 4.0)]
    assert tables["trades", *venue].rows() == [(event_ns, START_NS + 5, 9, None, 10.2, 0.25, -1, False, True)]
    assert tables["depth", *venue]["side"].to_list() == [1, -1]
    assert tables["depth", *venue].select("first_id", "last_id", "prev_id").row(0) == (3, 5, 2)
    bad = pl.concat(reading.rejected.values())
    assert bad.select("line", "reason").rows() == [(4, "bad_line")]
    assert not any(key.kind == "depth" for key in read(tmp_path / "any name.gz", kinds=("trades",)).tables)


def feather(path, rates=False, start=DAY_NS, n=120, step_ns=60_000_000_000):
    at = pl.Series("date", [start + i * step_ns for i in range(n)]).cast(pl.Datetime("ns", "UTC"))
    values = [0.0 if rates else 5.0] * n
    frame = pl.DataFrame({"date": at, "open": [0.0001 if rates else 5.0] * n})
    frame = frame.with_columns(pl.Series(name, values) for name in ("high", "low", "close", "volume"))
    frame.write_ipc(path, compression="lz4")
    return path


def test_freqtrade_feather_klines_and_funding_are_told_apart_by_content(tmp_path):
    bars = feather(tmp_path / "XYZ_USDT_USDT-5m-futures.feather", step_ns=300_000_000_000)
    key, table = only(read(bars, Names(venue="binanceusdm")))
    assert key == ("klines", "binanceusdm", "XYZUSDT")
    assert table["interval_ns"].unique().to_list() == [300_000_000_000]
    rates = feather(tmp_path / "XYZ_USDT_USDT-8h-futures.feather", rates=True, n=3, step_ns=8 * 3_600 * 10**9)
    key, table = only(read(rates, Names(venue="binanceusdm")))
    assert key.kind == "funding"
    assert table.select("funding_rate", "is_settled").rows() == [(0.0001, True)] * 3


def test_options_override_what_a_file_says_of_its_venue(tmp_path):
    path = archives.write(tmp_path / "binance_trades_2024-07-18_XYZUSDT.csv.gz", archives.tardis("trades"))
    assert only(read(path, Names(venue="mine")))[0] == ("trades", "mine", "XYZUSDT")


def test_windows_line_ends_blank_lines_byte_order_mark_and_no_last_newline(tmp_path):
    rows = archives.agg_trades(20)
    path = tmp_path / "XYZUSDT-aggTrades-2024-07-18.csv"
    path.write_bytes(
        (
            "\ufeff" + archives.AGG_HEADER + "\r\n" + "\r\n".join(rows[:10]) + "\r\n\r\n" + "\r\n".join(rows[10:])
        ).encode()
    )
    assert only(read(path))[1]["trade_id"].to_list() == list(range(10, 30))
