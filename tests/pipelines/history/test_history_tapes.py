"""Recorder tapes of OKX and Bybit give the tables that a Binance tape of the same market gives."""

import gzip

import polars as pl
import pytest

from pipelines.history.imports import import_paths
from pipelines.history.partitions import Partition, read_beside
from pipelines.history.read import read
from tests.market import venue_frames as frames
from tests.market.venue_frames import BYBIT_SYMBOL, MS, OKX_SYMBOL, BybitTeller, OkxTeller, bybit_push, okx_push
from tests.pipelines.history.test_history_faults import workspace

NAMES = {"okx": OKX_SYMBOL, "bybit": BYBIT_SYMBOL}
TELLERS = {"okx": lambda: OkxTeller(reset_at=0), "bybit": BybitTeller}
RECV_NS = (MS + 7) * 1_000_000
EVENT_NS = MS * 1_000_000


def written(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(b"%d %s\n" % line for line in lines), mtime=0))
    return path


def taped(tmp_path, *raws):
    return read(written(tmp_path / "tape.gz", [(RECV_NS + i, raw) for i, raw in enumerate(raws)]))


def only(reading, kind):
    assert all(bad.is_empty() for bad in reading.rejected.values())
    (table,) = [table for key, table in reading.tables.items() if key.kind == kind]
    return table.drop("line")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A quarter of a minute of one market as Binance told it, and the frames."""
    found = frames.market(tmp_path_factory.mktemp("market"), 0.25)
    folder = tmp_path_factory.mktemp("tapes")
    return read(written(folder / "binance.gz", [(frame.recv_ns, frame.raw) for frame in found])), found


@pytest.mark.parametrize("venue", NAMES)
def test_one_market_gives_the_same_tables_in_every_venues_words(tmp_path, told, venue):
    ours, recorded = told
    theirs = read(written(tmp_path / f"{venue}.gz", frames.told(recorded, TELLERS[venue]())))
    assert {(key.venue, key.symbol) for key in theirs.tables} == {(venue, NAMES[venue])}
    for kind, columns in (("trades", ("px", "qty", "side")), ("depth", ("is_snapshot", "px", "qty", "side"))):
        mine, yours = only(ours, kind), only(theirs, kind)
        assert mine.height > 100
        assert yours.select("ts_recv", *columns).equals(mine.select("ts_recv", *columns))
    assert only(theirs, "quotes").height > 50
    if venue == "okx":
        assert only(theirs, "trades")["trade_id"].equals(only(ours, "trades")["trade_id"])


def test_okx_channels_become_rows(tmp_path):
    reading = taped(
        tmp_path,
        frames.okx_bbo(7, "10.1", "3", "10.2", "4"),
        frames.okx_trade(9, "10.2", "2", "buy"),
        frames.okx_book(-1, 5, [("10.1", "3")], [("10.2", "4")], "snapshot"),
        frames.okx_book(5, 8, [("10.1", "0")], []),
        okx_push("mark-price", [{"instId": OKX_SYMBOL, "markPx": "10.15", "ts": str(MS)}]),
        okx_push("funding-rate", [{"fundingRate": "0.0002", "fundingTime": str(MS + 5), "ts": str(MS + 1)}]),
        okx_push("open-interest", [{"instId": OKX_SYMBOL, "oi": "500", "oiUsd": "5075", "ts": str(MS)}]),
        okx_push("liquidation-orders", [{"instId": OKX_SYMBOL, "details": [forced()]}]),
    )
    at = (EVENT_NS, RECV_NS)
    assert only(reading, "quotes").rows() == [(*at, 7, 10.1, 3.0, 10.2, 4.0)]
    assert only(reading, "trades").rows() == [(EVENT_NS, RECV_NS + 1, 9, None, 10.2, 2.0, 1, False, True)]
    depth = only(reading, "depth").select("is_snapshot", "first_id", "last_id", "prev_id", "px", "qty", "side").rows()
    assert depth == [
        (True, 5, 5, None, 10.1, 3.0, 1),
        (True, 5, 5, None, 10.2, 4.0, -1),
        (False, 8, 8, 5, 10.1, 0.0, 1),
    ]
    funding = (EVENT_NS + 10**6, RECV_NS + 5, 0.0002, None, 10.15, None, EVENT_NS + 5 * 10**6, False)
    assert only(reading, "funding").rows() == [funding]
    assert only(reading, "open_interest").rows() == [(EVENT_NS, RECV_NS + 6, 500.0, 5075.0, None, None, None, None)]
    assert only(reading, "liquidations").rows() == [(EVENT_NS, RECV_NS + 7, 9.9, 3.0, -1, None, None, None)]


def forced():
    return {"side": "sell", "bkPx": "9.9", "sz": "3", "ts": str(MS)}


def test_bybit_topics_become_rows(tmp_path):
    whole = {"symbol": BYBIT_SYMBOL, "markPrice": "10.15", "indexPrice": "10.14", "fundingRate": "0.0002"}
    whole |= {"nextFundingTime": str(MS + 5), "openInterest": "500", "openInterestValue": "5075"}
    reading = taped(
        tmp_path,
        frames.bybit_book(3, 70, [("10.1", "3")], [("10.2", "4")], "snapshot", depth=1),
        frames.bybit_trade("0a1b-c", "10.2", "2", "Buy"),
        frames.bybit_trade("0a1b-d", "10.2", "2", "Sell", BT=True),
        frames.bybit_book(4, 71, [("10.1", "0")], []),
        bybit_push("tickers", whole),
        bybit_push("tickers", {"symbol": BYBIT_SYMBOL, "markPrice": "10.16"}, "delta"),
        bybit_push("tickers", {"symbol": BYBIT_SYMBOL, "fundingRate": "0.0003"}, "delta"),
        bybit_push("allLiquidation", [{"T": MS, "s": BYBIT_SYMBOL, "S": "Buy", "v": "3", "p": "9.9"}]),
    )
    assert only(reading, "quotes").rows() == [(EVENT_NS, RECV_NS, 70, 10.1, 3.0, 10.2, 4.0)]
    trades = only(reading, "trades").select("trade_id", "trade_key", "side", "is_market").rows()
    assert trades == [(None, "0a1b-c", 1, True), (None, "0a1b-d", -1, False)]
    depth = only(reading, "depth").select("is_snapshot", "first_id", "last_id", "prev_id", "px", "qty", "side").rows()
    assert depth == [(False, None, 4, None, 10.1, 0.0, 1)]
    funding = only(reading, "funding").select("funding_rate", "mark_px", "index_px", "next_funding_ns").rows()
    due_ns = EVENT_NS + 5 * 10**6
    assert funding == [(0.0002, 10.15, 10.14, due_ns), (0.0003, 10.16, 10.14, due_ns)]
    assert only(reading, "open_interest").select("open_interest", "open_interest_usd").rows() == [(500.0, 5075.0)]
    assert only(reading, "liquidations").select("px", "qty", "side").rows() == [(9.9, 3.0, -1)]


def test_trades_that_okx_sums_are_no_hole_among_the_single_ones(tmp_path):
    summed = [
        okx_push(
            "trades", [{"tradeId": str(at), "px": "1.5", "sz": "2", "side": "buy", "ts": str(MS + at), "count": "3"}]
        )
        for at in (10, 13, 16)
    ]
    path = written(tmp_path / "tape.gz", [(RECV_NS + i, raw) for i, raw in enumerate(summed)])
    home = workspace(tmp_path)
    (outcome,) = import_paths(home, [path]).partitions
    gaps = read_beside(home, Partition("trades", "okx", OKX_SYMBOL, outcome.day), "gaps")
    assert (outcome.rows, set(gaps["reason"])) == (3, {"silence"})
    (table,) = read(path).tables.values()
    assert table.select("trade_id", "trade_key", "is_aggregate").rows() == [
        (None, str(at), True) for at in (10, 13, 16)
    ]


@pytest.mark.parametrize(
    ("lost", "missing"), [((), []), ((3,), [(3, 9)]), ((2,), [(8, 6)])], ids=["whole", "after", "reset"]
)
def test_okx_books_that_start_their_numbers_anew_leave_no_gap_but_what_is_lost(tmp_path, lost, missing):
    chain = [(-1, 5), (5, 8), (8, 3), (3, 6), (6, 9)]
    lines = []
    for i, (prev, seq) in enumerate(chain):
        sides = {"asks": [["10.2", "4", "0", "1"]], "bids": [], "ts": str(MS + 100 * i)}
        row = sides | {"checksum": 0, "seqId": seq, "prevSeqId": prev}
        push = okx_push("books", [row], "snapshot" if prev < 0 else "update")
        lines += [] if i in lost else [(RECV_NS + 10**8 * i, push)]
    home = workspace(tmp_path)
    (outcome,) = import_paths(home, [written(tmp_path / "tape.gz", lines)]).partitions
    gaps = read_beside(home, Partition("depth", "okx", OKX_SYMBOL, outcome.day), "gaps")
    found = gaps.filter(pl.col("reason") == "missing_ids")
    assert found.select("after_id", "before_id").rows() == missing
