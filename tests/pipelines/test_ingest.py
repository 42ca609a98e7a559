"""From tape to clean ticks: what is taken, what is left out and said, what is refused in one sentence."""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from market.errors import CryptoScalpError
from market.events import QUOTE, TRADE
from pipelines.quality import CLEAN_SCHEMA
from pipelines.run import run_pipeline
from pipelines.settings import PipelineError, PipelineSettings
from pipelines.ticks import Columns, chosen_sessions, read_session
from tests.pipelines.tape_maker import MS, START_NS, depth, line, quote, trade, walk, write

DATA_DIR = Path(os.environ.get("DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
INGEST = ("raw_ticks", "clean_ticks")
DAY_NS = 86_400_000 * MS


def read(path, split_ns=None, most=1_000_000):
    (session,), _ = chosen_sessions([path], "latest", 3600.0, split_ns)
    return read_session(session, split_ns, most)


def settings(tmp_path, **changes):
    return PipelineSettings(home=str(tmp_path / "home"), tape=str(tmp_path / "tape"), **changes)


def ingest(tmp_path, **changes):
    return run_pipeline(settings(tmp_path, **changes), None, only=INGEST)


def test_every_quote_and_trade_becomes_a_row_as_the_kernel_takes_it(tmp_path):
    lines = [
        quote(START_NS, "XUSDT", 7, "10.1", "10.2", "3", "4"),
        trade(START_NS + 5, "XUSDT", 9, "10.2", "0.25", sold=True),
        trade(START_NS + 9, "XUSDT", 10, "10.2", kind="INSURANCE_FUND"),
    ]
    ticks = read(write(tmp_path, "x.gz", lines)).symbols["XUSDT"].ticks.table()
    event_ns = (START_NS // MS - 3) * MS
    assert ticks.rows() == [
        (START_NS, event_ns, QUOTE, 10.1, 3.0, 10.2, 4.0, 7, True),
        (START_NS + 5, event_ns, TRADE, 10.2, 0.25, -1.0, 0.0, 9, True),
        (START_NS + 9, event_ns, TRADE, 10.2, 0.5, 1.0, 0.0, 10, False),
    ]


def test_frames_at_or_after_the_split_are_never_read(tmp_path):
    path = write(tmp_path, "x.gz", walk("XUSDT", 100))
    split_ns = START_NS + 50 * 5 * MS
    recording = read(path, split_ns)
    taken = recording.symbols["XUSDT"]
    assert taken.ticks.table()["ts_recv"].max() < split_ns
    assert taken.depth.table()["ts_recv"].max() < split_ns
    assert recording.counts["bookTicker"] == 50


def test_files_of_one_symbol_are_one_stream_and_another_symbol_stays_apart(tmp_path):
    lines = walk("AUSDT", 60)
    write(tmp_path, "b_second.gz", lines[45:])
    write(tmp_path, "a_first.gz", lines[:45])
    write(tmp_path, "other.gz", walk("BUSDT", 30))
    recording = read(tmp_path)
    assert sorted(recording.symbols) == ["AUSDT", "BUSDT"]
    ticks = recording.symbols["AUSDT"].ticks.table().filter(pl.col("kind") == QUOTE)
    assert ticks["seq"].to_list() == list(range(60))


def test_only_the_latest_session_is_read_and_earlier_ones_are_named(tmp_path):
    write(tmp_path, "old.gz", walk("XUSDT", 50))
    write(tmp_path, "new.gz", walk("XUSDT", 70, start_ns=START_NS + 7_200_000 * MS))
    (latest,), earlier = chosen_sessions([tmp_path], "latest", 3600.0, None)
    assert [session.first_ns for session in earlier] == [START_NS]
    assert read_session(latest, None, 1_000).counts["bookTicker"] == 70


def test_all_sessions_of_all_paths_come_in_time_order_and_what_is_after_the_split_is_left_out(tmp_path):
    for name, day in (("late", 2), ("early", 0), ("middle", 1)):
        write(tmp_path / name, "x.gz", walk("XUSDT", 50, start_ns=START_NS + day * DAY_NS))
    paths = [tmp_path / "late", tmp_path / "early", tmp_path / "middle"]
    chosen, left_out = chosen_sessions(paths, "all", 3600.0, START_NS + 2 * DAY_NS)
    assert [session.first_ns for session in chosen] == [START_NS, START_NS + DAY_NS]
    assert [session.first_ns for session in left_out] == [START_NS + 2 * DAY_NS]
    (latest,), left_out = chosen_sessions(paths, "latest", 3600.0, None)
    assert (latest.first_ns, len(left_out)) == (START_NS + 2 * DAY_NS, 2)


def test_one_recording_named_twice_is_refused(tmp_path):
    path = write(tmp_path, "x.gz", walk("XUSDT", 50))
    with pytest.raises(PipelineError, match=r"XUSDT is in two sessions that overlap in time: .*x\.gz") as caught:
        chosen_sessions([tmp_path, path], "all", 3600.0, None)
    assert caught.value.fix == "name each recording once, and only one venue of a symbol"


def test_two_symbols_recorded_at_once_in_two_paths_are_two_sessions(tmp_path):
    paths = [write(tmp_path, f"{symbol}.gz", walk(symbol, 50)) for symbol in ("XUSDT", "YUSDT")]
    chosen, _ = chosen_sessions(paths, "all", 3600.0, None)
    assert [session.symbols for session in chosen] == [("XUSDT",), ("YUSDT",)]


def test_ids_that_start_anew_in_another_session_are_no_duplicates(tmp_path):
    write(tmp_path / "tape", "a.gz", walk("XUSDT", 300))
    write(tmp_path / "tape", "b.gz", walk("XUSDT", 400, start_ns=START_NS + DAY_NS))
    write(tmp_path / "tape", "c.gz", walk("YUSDT", 200, start_ns=START_NS + DAY_NS))
    result = ingest(tmp_path, sessions="all")
    clean = pl.read_parquet(tmp_path / "home" / "clean_ticks" / "XUSDT.parquet")
    assert result.assets["clean_ticks"]["rejected"] == 0
    assert clean.filter(kind=QUOTE)["session"].value_counts().sort("session").rows() == [(0, 300), (1, 400)]
    assert pl.read_parquet(tmp_path / "home" / "clean_ticks" / "YUSDT.parquet")["session"].unique().to_list() == [1]
    assert all(check.passed for check in result.checks)
    assert result.assets["raw_ticks"]["frames_by_type"]["bookTicker"] == 900


def test_a_bad_session_among_good_ones_is_named(tmp_path):
    write(tmp_path / "tape", "a.gz", walk("XUSDT", 3_000))
    write(tmp_path / "tape", "b.gz", torn_depth(walk("XUSDT", 200, start_ns=START_NS + DAY_NS)))
    with pytest.raises(CryptoScalpError, match=r"depth_meets_expectations: XUSDT in session 1: .*column=linked"):
        ingest(tmp_path, sessions="all")


def test_a_split_in_an_earlier_session_ends_there_for_every_asset(tmp_path):
    write(tmp_path / "tape", "a.gz", walk("XUSDT", 300))
    write(tmp_path / "tape", "b.gz", walk("XUSDT", 400, start_ns=START_NS + DAY_NS))
    wanted = settings(tmp_path, sessions="all", split_ns=START_NS + DAY_NS)
    result = run_pipeline(wanted, None, only=[*INGEST, "recorded_gaps"])
    assert result.assets["raw_ticks"]["symbols"] == {"XUSDT": 375}
    assert "400" not in result.assets["raw_ticks"]["sessions"][0]


def test_unreadable_frames_and_lines_are_kept_with_place_and_reason(tmp_path):
    lines = walk("XUSDT", 20)
    lines[5:5] = [line(START_NS, {"e": "trade", "s": "XUSDT", "t": 1, "p": "-3", "q": "1", "m": True}), "no frame\n"]
    path = write(tmp_path, "x.gz", lines)
    recording = read(path)
    table = recording.quarantine_table()
    assert recording.quarantined == 2
    assert sorted(table["reason"]) == ["bad_frame", "bad_line"]
    details = "\n".join(table["detail"])
    assert f"{path}:6: trade price -3.0 is not a positive number" in details
    assert f"{path}:7:" in details
    assert recording.counts["bookTicker"] == 20


def test_a_torn_file_gives_its_whole_lines_and_is_named(tmp_path):
    path = write(tmp_path, "x.gz", walk("XUSDT", 3_000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    recording = read(path)
    assert recording.truncated == [path]
    assert 500 < recording.counts["bookTicker"] < 3_000


def test_only_the_latest_ticks_are_kept_beyond_the_limit(tmp_path):
    recording = read(write(tmp_path, "x.gz", walk("XUSDT", 400)), most=70)
    ticks = recording.symbols["XUSDT"].ticks.table()
    assert ticks.height == 70
    assert ticks["seq"].max() == 399


def test_columns_hold_at_most_twice_their_limit():
    columns = Columns({"seq": pl.Int64}, 10)
    lengths = []
    for i in range(100):
        columns.append((i,))
        lengths.append(len(columns._columns[0]))
    assert max(lengths) < 20
    assert columns.table()["seq"].to_list() == list(range(90, 100))


def test_negative_latency_and_late_frames_reject_nothing(tmp_path):
    lines = walk("XUSDT", 400)
    lines[10], lines[11] = lines[11], lines[10]
    early = [line_.replace(f'"T":{START_NS // MS - 3}', f'"T":{START_NS // MS + 90_000}') for line_ in lines]
    write(tmp_path / "tape", "x.gz", early)
    result = ingest(tmp_path)
    assert result.assets["clean_ticks"]["rejected"] == 0
    assert result.assets["raw_ticks"]["received_out_of_order"] == 1


def test_clean_ticks_and_quarantine_add_up_to_everything_received(tmp_path):
    lines = walk("XUSDT", 600)
    lines += [
        quote(START_NS + 4_000 * MS, "XUSDT", 601, "10.5", "10.4"),
        trade(START_NS + 4_001 * MS, "XUSDT", 0, "10.0"),
        trade(START_NS + 4_002 * MS, "XUSDT", 9_999, "10.0", kind="INSURANCE_FUND"),
        "torn line\n",
    ]
    write(tmp_path / "tape", "x.gz", lines)
    result = ingest(tmp_path)
    home = tmp_path / "home"
    clean, quarantine = (pl.read_parquet(home / name) for name in ("clean_ticks/XUSDT.parquet", "quarantine.parquet"))
    assert dict(clean.schema) == CLEAN_SCHEMA | {"session": pl.Int32}
    assert sorted(quarantine["reason"]) == ["bad_line", "crossed_quote", "duplicate_trade_id", "not_a_market_trade"]
    assert clean.height + 3 == pl.read_parquet(home / "raw_ticks" / "XUSDT.parquet").height
    assert result.assets["clean_ticks"]["rejected_by_reason"]["crossed_quote"] == 1
    assert json.loads(quarantine.filter(pl.col("reason") == "crossed_quote")["detail"][0])["a"] == 10.5


def crossed(lines):
    return lines + [quote(START_NS + (5_000 + i) * MS, "XUSDT", 9_000 + i, "20", "10") for i in range(100)]


def torn_depth(lines):
    return [kept for i, kept in enumerate(lines) if '"depthUpdate"' not in kept or i % 3]


def jumping(lines):
    return lines + [
        quote(START_NS + (5_000 + i) * MS, "XUSDT", 9_000 + i, *(("1", "1.1") if i % 2 else ("9000", "9000.1")))
        for i in range(50)
    ]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(crossed, r"clean_ticks: few_ticks_are_rejected: 11\.\d% of all ticks were rejected", id="crossed"),
        pytest.param(torn_depth, "clean_ticks: depth_meets_expectations: XUSDT: .*column=linked", id="torn depth"),
        pytest.param(jumping, "clean_ticks: quotes_meet_expectations: XUSDT: .*column=jump_bps", id="jumping prices"),
    ],
)
def test_a_failed_check_blocks_the_run_and_says_what_failed(tmp_path, spoil, says):
    write(tmp_path / "tape", "x.gz", spoil(walk("XUSDT", 640)))
    with pytest.raises(CryptoScalpError, match=says):
        run_pipeline(settings(tmp_path), None, only=(*INGEST, "tick_features"))
    assert not (tmp_path / "home" / "tick_features").exists()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        pytest.param([], "holds no frame", id="empty"),
        pytest.param(["hello\n"], r"line 1: no receive time", id="no JSON"),
        pytest.param([f'{START_NS} {{"arg":{{"channel":"books"}},"data":[]}}\n'], "the push names no instId", id="OKX"),
        pytest.param([trade(START_NS, "XUSDT", 1, "10")], "no best bid and offer among 1 frames", id="trades only"),
        pytest.param([depth(START_NS, "XUSDT", 1, 2, 0, "1", "2")], "no best bid and offer", id="depth only"),
    ],
)
def test_a_tape_that_cannot_serve_is_refused_in_one_sentence(tmp_path, lines, says):
    write(tmp_path / "tape", "x.gz", lines)
    with pytest.raises(CryptoScalpError, match=says) as caught:
        ingest(tmp_path)
    assert caught.value.message.startswith("raw_ticks: ")
    assert str(tmp_path) in caught.value.message
    assert caught.value.fix


def test_a_missing_tape_and_a_split_before_the_tape_are_refused(tmp_path):
    with pytest.raises(CryptoScalpError, match=r"raw_ticks: .*does not exist"):
        ingest(tmp_path)
    write(tmp_path / "tape", "x.gz", walk("XUSDT", 10))
    with pytest.raises(CryptoScalpError, match="split_ns 5 is not after the first frame"):
        ingest(tmp_path, split_ns=5)


def test_a_refused_tape_leaves_what_an_earlier_run_wrote(tmp_path):
    path = write(tmp_path / "tape", "x.gz", walk("XUSDT", 500))
    ingest(tmp_path)
    kept = {file: file.read_bytes() for file in (tmp_path / "home").rglob("*.parquet")}
    path.write_bytes(b"")
    with pytest.raises(CryptoScalpError):
        ingest(tmp_path)
    assert len(kept) == 5
    assert {file: file.read_bytes() for file in kept} == kept


def test_a_rerun_on_another_symbol_leaves_no_table_of_the_first(tmp_path):
    path = write(tmp_path / "tape", "x.gz", walk("XUSDT", 500))
    ingest(tmp_path)
    path.unlink()
    write(tmp_path / "tape", "y.gz", walk("YUSDT", 500))
    ingest(tmp_path)
    folder = tmp_path / "home" / "clean_ticks"
    assert [file.name for file in folder.iterdir()] == ["YUSDT.parquet"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "symbols", "quotes", "trades"),
    [
        pytest.param("binance_usdm_ws", ["BTCUSDT", "ETHUSDT"], 99_588, 24_356, id="USD-M, two symbols over midnight"),
        pytest.param("binance_spot_ws", ["BTCUSDT"], 8_015, 3_144, id="spot"),
    ],
)
def test_recorded_tapes_are_read_whole(folder, symbols, quotes, trades):
    if not (DATA_DIR / folder).is_dir():
        pytest.skip(f"no recorded data at {DATA_DIR / folder} (set DATA_DIR)")
    recording = read(DATA_DIR / folder)
    assert sorted(recording.symbols) == symbols
    assert (recording.counts["bookTicker"], recording.counts["trade"]) == (quotes, trades)
    assert recording.quarantined == 0
