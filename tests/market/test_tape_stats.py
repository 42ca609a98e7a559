"""The judge of tapes: exact counts, planted faults, the truth test, and the recorded data as witness."""

import gzip
import json
import random

import msgspec
import pytest
from typer.testing import CliRunner

from infra.cli.tape import app
from market.errors import TapeError
from market.tape import FrameReader
from market.tape_stats import tape_stats
from tests.market.wire import NS, data_dir, depth_frame, snapshot_frame, ticker, trade, write_tape

KEYS = [
    "frames",
    "by_type",
    "symbols",
    "first_recv_ns",
    "last_recv_ns",
    "depth_events",
    "depth_applied",
    "chain_breaks",
    "crossed",
    "trades",
    "trade_ids_duplicate",
    "trade_ids_missing",
    "recv_minus_event_ms",
    "quarantined",
    "book_vs_ticker",
]
BIDS, ASKS = [("1.00", "5"), ("0.99", "7")], [("1.01", "4"), ("1.02", "6")]


def run(tmp_path, frames):
    return tape_stats(write_tape(tmp_path / "t.gz", frames)).stats


def truth(stats):
    found = stats.book_vs_ticker
    return found.events_compared, found.sides_agreeing, found.differing, found.not_comparable


def small_market():
    """Deltas that arrive before their snapshot, and a ticker that is received after the depth event it proves."""
    return [
        depth_frame(95, 105, 90, [("1.00", "6")], []),
        snapshot_frame(100, BIDS, ASKS),
        ticker(104, "1.00", "6", "1.01", "4"),
        depth_frame(106, 110, 105, [], [("1.01", "0")]),
        trade(1),
        ticker(108, "1.00", "6.0", "1.020", "6"),
        trade(2),
    ]


def test_a_small_tape_is_counted_exactly(tmp_path):
    stats = run(tmp_path, small_market())
    assert stats.frames == 7 and stats.symbols == ["XYZUSDT"]
    assert stats.by_type == {"bookTicker": 2, "depthSnapshot": 1, "depthUpdate": 2, "trade": 2}
    assert (stats.first_recv_ns, stats.last_recv_ns) == (NS, NS + 6_000_000)
    assert (stats.depth_events, stats.depth_applied, stats.chain_breaks, stats.crossed) == (2, 2, 0, 0)
    assert (stats.trades, stats.trade_ids_duplicate, stats.trade_ids_missing, stats.quarantined) == (2, 0, 0, 0)
    assert stats.recv_minus_event_ms.min == 0.0 and stats.recv_minus_event_ms.max == 6.0
    assert truth(stats) == (2, 4, 0, 0)


def test_ids_decide_and_not_the_order_of_arrival(tmp_path):
    frames = small_market()
    late_ticker = frames.pop(5)
    assert truth(run(tmp_path, [*frames, late_ticker])) == (2, 4, 0, 0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("1.00", "6", "1.02", "6"), (0, 0)),
        (("1.00", "7", "1.02", "6"), (1, 0)),
        (("0.99", "7", "1.02", "6"), (1, 0)),
        (("1.00", "6", "1.02", "5"), (1, 0)),
        (("1.00", "6", "1.015", "9"), (1, 0)),
        (("1.005", "6", "1.02", "6"), (0, 1)),
        (("1.00", "6", "1.03", "6"), (1, 0)),
        (("1.00", "6", "1.005", "6"), (0, 1)),
    ],
)
def test_a_side_differs_agrees_or_cannot_be_compared(tmp_path, said, expected):
    frames = small_market()
    frames[5] = ticker(108, *said)
    compared, agreeing, differing, not_comparable = truth(run(tmp_path, frames))
    assert (differing, not_comparable) == expected
    assert compared == 2 and agreeing == 4 - sum(expected)


def test_a_price_becomes_comparable_only_once_a_diff_mentions_it(tmp_path):
    frames = [
        snapshot_frame(100, BIDS, ASKS),
        ticker(100, "1.005", "1", "1.01", "4"),
        depth_frame(100, 101, 99, [], []),
        depth_frame(102, 103, 101, [("1.005", "1")], []),
        depth_frame(104, 105, 103, [], []),
    ]
    assert truth(run(tmp_path, frames)) == (3, 5, 0, 1)


def test_without_a_snapshot_deltas_alone_are_compared_where_they_speak(tmp_path):
    frames = [
        depth_frame(11, 12, 10, [("1.00", "5")], []),
        ticker(12, "1.00", "5", "1.01", "4"),
        depth_frame(13, 14, 12, [], [("1.01", "4")]),
    ]
    stats = run(tmp_path, frames)
    assert (stats.depth_applied, stats.chain_breaks) == (2, 0)
    assert truth(stats) == (2, 3, 0, 1)


def test_trade_ids_are_checked_per_symbol_and_kind(tmp_path):
    frames = [trade(index) for index in (5, 6, 6, 9, 8, 12)]
    stats = run(tmp_path, frames)
    assert (stats.trades, stats.trade_ids_duplicate, stats.trade_ids_missing) == (6, 1, 3)


def test_a_silence_of_an_hour_starts_afresh_without_breaks(tmp_path):
    write_tape(tmp_path / "a", small_market())
    later = [raw.replace(b'"t":', b'"t":9000') for raw in small_market()]
    write_tape(tmp_path / "b", later, start=NS + 2 * 3_600_000_000_000)
    stats = tape_stats(tmp_path).stats
    assert (stats.frames, stats.depth_applied, stats.chain_breaks, stats.trade_ids_missing) == (14, 4, 0, 0)
    assert truth(stats) == (4, 8, 0, 0)


def test_a_gap_stops_the_book_until_the_next_snapshot(tmp_path):
    frames = [
        *small_market(),
        depth_frame(131, 140, 120, [("1.01", "1")], []),
        depth_frame(141, 150, 140, [], []),
        snapshot_frame(145, BIDS, ASKS),
        depth_frame(151, 160, 150, [], []),
    ]
    stats = run(tmp_path, frames)
    assert (stats.depth_events, stats.depth_applied, stats.chain_breaks) == (5, 4, 1)


def test_crossed_books_are_counted(tmp_path):
    stats = run(tmp_path, [*small_market(), depth_frame(111, 120, 110, [("1.02", "1")], [])])
    assert stats.crossed == 1


def test_unreadable_frames_are_quarantined_with_their_place_and_never_counted_as_data(tmp_path):
    frames = small_market()
    frames[3:3] = [b"{broken}", ticker(107, "nan", "1", "1", "1"), depth_frame(106, 110, 105, [("x", "1")], [])]
    report = tape_stats(write_tape(tmp_path / "t.gz", frames))
    assert report.stats.quarantined == 3 and report.stats.frames == 10
    assert sum(report.stats.by_type.values()) == 7
    assert [reason.line for reason in report.reasons] == [4, 5, 6]
    assert truth(report.stats) == (2, 4, 0, 0)


def test_torn_and_backward_tapes_are_read_and_noted(tmp_path):
    path = write_tape(tmp_path / "t.gz", small_market() * 400, step=-1)
    path.write_bytes(path.read_bytes()[:-20])
    report = tape_stats(path)
    assert any("torn" in note for note in report.notes) and any("backwards" in note for note in report.notes)
    assert report.stats.first_recv_ns < report.stats.last_recv_ns


def test_cli_json_has_exactly_the_promised_keys(tmp_path):
    write_tape(tmp_path / "t.gz", small_market())
    done = CliRunner().invoke(app, ["stats", str(tmp_path), "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert list(found) == KEYS
    assert list(found["recv_minus_event_ms"]) == ["min", "median", "max"]
    assert list(found["book_vs_ticker"]) == ["events_compared", "sides_agreeing", "differing", "not_comparable"]


def test_cli_table_shows_every_key(tmp_path):
    write_tape(tmp_path / "t.gz", small_market())
    done = CliRunner().invoke(app, ["stats", str(tmp_path)])
    assert done.exit_code == 0 and all(key in done.stdout for key in KEYS)


def test_cli_leaves_expected_failures_to_the_door(tmp_path):
    done = CliRunner().invoke(app, ["stats", str(tmp_path / "none")])
    assert isinstance(done.exception, TapeError)


RECORDED = [
    ("binance_usdm_ws", 215_662, 34_061, 34_051, 37_291),
    ("binance_usdm_ws/btcusdt_20230404.dat.gz", 13_384, 4_322, 4_322, 2_197),
    ("binance_spot_ws", 15_088, 3_929, 3_929, 3_144),
]


@pytest.mark.data
@pytest.mark.parametrize(("name", "frames", "depth_events", "applied", "trades"), RECORDED)
def test_recorded_books_equal_the_exchanges_own_ticker(name, frames, depth_events, applied, trades):
    path = data_dir() / name
    if not path.exists():
        pytest.skip("recorded data is absent: set DATA_DIR")
    stats = tape_stats(path).stats
    assert (stats.frames, stats.depth_events, stats.depth_applied, stats.trades) == (
        frames,
        depth_events,
        applied,
        trades,
    )
    assert (stats.chain_breaks, stats.crossed, stats.quarantined, stats.trade_ids_duplicate) == (0, 0, 0, 0)
    assert truth(stats) == (applied, 2 * applied, 0, 0)


@pytest.mark.data
def test_faults_planted_into_a_recording_are_found(tmp_path):
    """Every dropped delta is one break; a changed top quantity is caught at the next comparison."""
    path = data_dir() / "binance_usdm_ws" / "btcusdt_20230404.dat.gz"
    if not path.exists():
        pytest.skip("recorded data is absent: set DATA_DIR")
    rng = random.Random(3)
    frames = list(FrameReader(path))
    deltas = [index for index, frame in enumerate(frames) if b'"depthUpdate"' in frame.raw][50:-1:2]
    dropped = set(rng.sample(deltas, 1000))
    kept = [frame for index, frame in enumerate(frames) if index not in dropped]
    stats = tape_stats(save(tmp_path / "dropped", kept)).stats
    assert stats.chain_breaks == 1000 and stats.depth_applied < stats.depth_events

    first = next(index for index in deltas if touches_top(frames[index].raw, tape_top(frames, index)))
    wrong = msgspec.structs.replace(frames[first], raw=spoil(frames[first].raw, tape_top(frames, first)))
    stats = tape_stats(save(tmp_path / "spoilt", [*frames[:first], wrong, *frames[first + 1 :]])).stats
    assert stats.chain_breaks == 0 and stats.book_vs_ticker.differing >= 1


def save(path, frames):
    path.write_bytes(gzip.compress(b"".join(b"%d %s\n" % (frame.recv_ns, frame.raw) for frame in frames), 1))
    return path


def tape_top(frames, index):
    """Best bid of the bookTicker with the greatest id not above the delta's last id."""
    last = json.loads(frames[index].raw)["data"]["u"]
    tickers = [json.loads(frame.raw)["data"] for frame in frames if b'"bookTicker"' in frame.raw]
    best = max((one for one in tickers if one["u"] <= last), key=lambda one: one["u"])
    return [best["b"], best["B"]]


def touches_top(raw, top):
    return top in json.loads(raw)["data"]["b"]


def spoil(raw, top):
    return raw.replace(json.dumps(top, separators=(",", ":")).encode(), json.dumps([top[0], "987.654"]).encode(), 1)
