"""Recordings of every venue and packing: judged by their own ids, and the recorded frames of others as witness."""

import gzip
import json
import zipfile
import zlib

import pytest
from typer.testing import CliRunner

from infra.cli.tape import app
from market.book import Book
from market.codecs import decode_all
from market.errors import TapeError
from market.events import Depth
from market.tape import convert, find_tapes, read_frames, scan
from market.tape_stats import tape_stats
from tests.market.venue_frames import (
    OKX_SYMBOL,
    BybitTeller,
    OkxTeller,
    bybit_book,
    market,
    okx_bbo,
    okx_book,
    okx_trade,
    told,
)
from tests.market.wire import NS, data_dir, depth_frame, snapshot_frame, ticker, trade, write_tape

zstandard = pytest.importorskip("zstandard")
TELLERS = {"okx": OkxTeller, "bybit": BybitTeller}


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return market(tmp_path_factory.mktemp("market"), minutes=2.0, seed=8)


def truth(stats):
    found = stats.book_vs_ticker
    return found.events_compared, found.sides_agreeing, found.differing, found.not_comparable


def write(path, lines):
    path.write_bytes(gzip.compress(b"".join(b"%d %s\n" % line for line in lines), 1))
    return path


@pytest.mark.parametrize("venue", ["okx", "bybit"])
def test_a_whole_market_of_another_venue_is_judged_without_a_false_gap(frames, tmp_path, venue):
    lines = told(frames, TELLERS[venue]())
    stats = tape_stats(write(tmp_path / "any.gz", lines)).stats
    assert find_tapes(tmp_path)[0].venue == venue
    assert stats.frames == len(lines) and stats.quarantined == stats.chain_breaks == stats.crossed == 0
    assert stats.depth_applied == stats.depth_events > 2_000
    assert stats.trades > 300 and stats.trade_ids_duplicate == stats.trade_ids_missing == 0
    compared, agreeing, differing, not_comparable = truth(stats)
    assert compared > 2_000 and (agreeing, differing, not_comparable) == (2 * compared, 0, 0)


@pytest.mark.parametrize("venue", ["okx", "bybit"])
def test_a_fault_that_reaches_the_top_differs_at_the_next_quote(frames, tmp_path, venue):
    lines = told(frames, TELLERS[venue]())
    decode = decode_all(venue)
    at, level = next(
        (index, event.bids[-1])
        for index, (ns, raw) in enumerate(lines)
        if index > 500 and (event := next(iter(decode(raw, ns)), None)) is not None
        if isinstance(event, Depth) and event.bids and f'"{event.bids[-1][0]}"'.encode() in lines[index - 1][1]
        if event.bids[-1][1] != "0"
    )
    raw = lines[at][1].replace(f'["{level[0]}","{level[1]}"'.encode(), f'["{level[0]}","{level[1]}7"'.encode())
    assert raw != lines[at][1]
    lines[at] = lines[at][0], raw
    stats = tape_stats(write(tmp_path / "any.gz", lines)).stats
    assert stats.book_vs_ticker.differing > 0 and stats.chain_breaks == 0


BIDS, ASKS = [("1.00", "5")], [("1.01", "4")]
OKX_TAPE = [
    okx_book(-1, 10, BIDS, ASKS, "snapshot"),
    okx_book(-1, 10, BIDS, ASKS, "", "books5"),
    okx_bbo(12, "1.00", "6", "1.01", "4"),
    okx_book(10, 12, [("1.00", "6")], []),
    okx_bbo(13, "1.00", "9", "1.01", "4"),
    okx_book(12, 14, [("1.00", "8")], []),
    okx_trade(4),
    okx_trade(6),
    okx_trade(6).replace(b"trades-all", b"trades"),
]


def test_an_okx_quote_proves_only_the_book_of_its_own_id(tmp_path):
    stats = tape_stats(write_tape(tmp_path / "t", OKX_TAPE)).stats
    assert stats.symbols == [OKX_SYMBOL] and stats.by_type["books5"] == 1
    assert (stats.depth_events, stats.depth_applied, stats.chain_breaks) == (2, 2, 0)
    assert truth(stats) == (1, 2, 0, 0)
    assert (stats.trades, stats.trade_ids_missing, stats.trade_ids_duplicate) == (3, 1, 0)


def test_an_okx_gap_is_one_break_and_the_book_waits_for_a_snapshot(tmp_path):
    more = [
        okx_book(20, 22, [], []),
        okx_book(22, 24, [], []),
        okx_book(-1, 3, BIDS, ASKS, "snapshot"),
        okx_book(3, 5, [], []),
    ]
    stats = tape_stats(write_tape(tmp_path / "t", OKX_TAPE + more)).stats
    assert (stats.depth_events, stats.depth_applied, stats.chain_breaks) == (5, 3, 1)


def test_a_recording_that_starts_between_snapshots_is_judged_by_its_deltas(tmp_path):
    stats = tape_stats(write_tape(tmp_path / "t", OKX_TAPE[2:] + [okx_book(-1, 3, BIDS, ASKS, "snapshot")])).stats
    assert (stats.depth_applied, stats.chain_breaks) == (2, 0) and truth(stats) == (1, 1, 0, 1)


def test_bybit_steps_above_one_are_noted_and_not_called_a_break(tmp_path):
    frames = [bybit_book(u, u, BIDS, ASKS, "delta" if u > 1 else "snapshot") for u in (1, 2, 4, 5, 9)]
    report = tape_stats(write_tape(tmp_path / "t", frames))
    assert (report.stats.depth_applied, report.stats.chain_breaks) == (4, 0)
    assert [note for note in report.notes if "2 steps" in note and "may be missing" in note]


def record(kind, ts, data, url=""):
    return json.dumps({"t": kind, "conn": "c", "ts": ts, "data": data.decode(), "url": url}).encode()


def recorded(extra=b""):
    """Two symbols on one connection; the REST snapshot stands first in the file and was received third."""
    url = "https://x.y/fapi/v1/depth?limit=10&symbol=XYZUSDT"
    lines = [
        json.dumps({"t": "header", "format": 2, "exchange": "B"}).encode(),
        record("http", 1_700_000_000.0, b'{"symbols":[]}', "https://x.y/fapi/v1/exchangeInfo"),
        record("http", 1_700_000_002.5, snapshot_frame(100, BIDS, ASKS), url),
        json.dumps({"t": "connect", "ts": 1_700_000_000.5, "addr": "wss://x.y"}).encode(),
        record("recv", 1_700_000_001.0, ticker(7, "1", "2", "3", "4", "ABCUSDT")),
        record("recv", 1_700_000_002.0, depth_frame(95, 105, 90, [("1.00", "6")], [])),
        record("recv", 1_700_000_003.0, ticker(105, "1.00", "6", "1.01", "4")),
        record("recv", 1_700_000_004.0, trade(3)),
        record("recv", 1_700_000_005.0, b'{"result":null,"id":1}'),
    ]
    return b"\n".join(lines) + b"\n" + extra


PACKED = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "zstd in two frames": lambda data: zstandard.compress(data[:300]) + zstandard.compress(data[300:]),
}


@pytest.mark.parametrize("packing", PACKED)
def test_a_recording_of_many_symbols_is_read_as_one_tape_each(tmp_path, packing):
    path = tmp_path / "recording"
    path.write_bytes(PACKED[packing](recorded()))
    tapes = find_tapes(path)
    assert [(tape.symbol, tape.venue) for tape in tapes] == [("ABCUSDT", "binanceusdm"), ("XYZUSDT", "binanceusdm")]
    times = [[frame.recv_ns // 10**8 % 1000 for frame in read_frames(tape)] for tape in tapes]
    assert times == [[10, 50], [20, 25, 30, 40]]
    stats = tape_stats(path).stats
    assert (stats.frames, stats.quarantined, stats.depth_applied) == (5, 0, 1)
    assert stats.by_type == {"ack": 1, "bookTicker": 2, "depthSnapshot": 1, "depthUpdate": 1, "trade": 1}
    assert truth(stats) == (1, 2, 0, 0)


def test_a_zip_of_one_file_is_read_and_of_two_refused(tmp_path):
    for count in (1, 2):
        with zipfile.ZipFile(tmp_path / f"{count}.zip", "w") as archive:
            for index in range(count):
                archive.writestr(f"dir/{index}.data", bybit_book(1, 1, BIDS, ASKS, "snapshot") + b"\n")
    tape = find_tapes(tmp_path / "1.zip")[0]
    assert (tape.venue, tape.first_recv_ns) == ("bybit", NS + 2_000_000)
    with pytest.raises(TapeError, match="packs 2 files"):
        find_tapes(tmp_path / "2.zip")


@pytest.mark.parametrize("packing", ["zstd", "zip"])
def test_a_torn_packing_gives_what_is_whole_and_says_so(tmp_path, packing):
    path = tmp_path / "recording"
    data = recorded(b"".join(record("recv", 1_700_000_009.0 + i, trade(9 + i * i)) + b"\n" for i in range(40_000)))
    if packing == "zstd":
        path.write_bytes(zstandard.compress(data, level=1)[:-5_000])
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", data)
        whole = bytearray(path.read_bytes())
        whole[len(whole) // 2 : len(whole) // 2 + 50] = bytes(50)
        path.write_bytes(whole)
    report = tape_stats(path)
    assert report.stats.frames > 5_000 and any("torn" in note for note in report.notes)


@pytest.mark.parametrize("text", [b'{"t":"recv"}', b'{"t":5}', b'{"t":"recv","ts":-1,"data":"{}"}', b'{"a"'])
def test_bad_lines_of_a_recorder_are_quarantined(tmp_path, text):
    path = tmp_path / "recording"
    path.write_bytes(recorded(text + b"\n"))
    report = tape_stats(path)
    assert report.stats.quarantined >= 1 and report.stats.by_type["trade"] == 1


def test_without_the_zstd_package_the_fix_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    (tmp_path / "a").write_bytes(bytes.fromhex("28b52ffd") + b"x")
    with pytest.raises(TapeError, match="pip install zstandard"):
        find_tapes(tmp_path / "a")


def test_converted_recordings_are_native_tapes_with_the_same_frames(tmp_path):
    (tmp_path / "recording").write_bytes(recorded())
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "recording"), str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    tapes, ignored = scan(tmp_path / "out")
    assert not ignored and [tape.path.name for tape in tapes] == ["abcusdt_20231114.gz", "xyzusdt_20231114.gz"]
    for native, foreign in zip(tapes, find_tapes(tmp_path / "recording"), strict=True):
        assert list(read_frames(native)) == list(read_frames(foreign))
    with pytest.raises(TapeError, match="exists already"):
        convert(tmp_path / "recording", tmp_path / "out")


RECORDED = {
    "BINANCE_FUTURES.jsonl.zst": (1_535, 764, 752, 1_488),
    "BINANCE.jsonl.zst": (265, 177, 172, 318),
    "OKX.jsonl.zst": (410, 287, 287, 0),
    "xrpusdt-ob500.data.zip": (50, 49, 49, 0),
}


@pytest.mark.data
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_frames_of_every_venue_show_no_false_gap_and_nothing_differing(name):
    report = tape_stats(source(name))
    stats = report.stats
    found = stats.frames, stats.depth_events, stats.depth_applied, stats.book_vs_ticker.sides_agreeing
    assert found == RECORDED[name]
    assert (stats.chain_breaks, stats.crossed, stats.quarantined) == (0, 0, 0)
    assert stats.book_vs_ticker.differing == stats.book_vs_ticker.not_comparable == 0
    assert not any("may be missing" in note for note in report.notes)


def source(name):
    path = data_dir() / "wire_frames" / name
    if not path.exists():
        pytest.skip("needs the recorded wire frames (DATA_DIR)")
    return path


@pytest.mark.data
def test_recorded_okx_books_equal_the_checksums_that_were_still_alive():
    """Recorded when OKX still sent a real CRC-32 of the best 25 levels a side: it proves every book we rebuild."""
    proven = 0
    for tape in find_tapes(source("OKX.jsonl.zst")):
        book = Book(tape.symbol, "okx")
        for frame in read_frames(tape):
            for event in decode_all("okx")(frame.raw, frame.recv_ns):
                if isinstance(event, Depth):
                    book.apply(event)
                    assert checksum(book) == json.loads(frame.raw)["data"][0]["checksum"]
                    proven += 1
    assert proven == 290


def checksum(book):
    sides = [[f"{plain(px)}:{plain(qty)}" for px, qty in book.levels(side, 25)] for side in (1, -1)]
    mixed = [side[index] for index in range(25) for side in sides if index < len(side)]
    value = zlib.crc32(":".join(mixed).encode())
    return value - (1 << 32) if value >= 1 << 31 else value


def plain(value):
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
