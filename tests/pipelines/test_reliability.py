"""Reliability of sources: one formula live and on tape; planted faults lower it and are listed as gaps."""

import os
from pathlib import Path

import polars as pl
import pytest

from market.codecs import decode_all
from market.events import Depth, Quote, Trade
from market.simulator.generator import generate
from market.tape import find_tapes, read_frames, sessions
from pipelines.quality import run_suite
from pipelines.reliability import judge_session, scored
from tests.pipelines.tape_maker import MS, START_NS, quote, trade, walk, write
from trader.reliability import PARAMS, Defects, SourceHealth, joint_score, prefer, reliability

DATA_DIR = Path(os.environ.get("DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
S = 1_000_000_000
CLEAN = Defects(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def judged(folder, lines, name="x.gz"):
    write(folder, name, lines)
    (session,) = sessions(folder)
    gaps, health = judge_session(session, None)
    return gaps, scored(health)


def lowest(table, source):
    return table.filter(pl.col("source") == f"binanceusdm/{source}")["score"].min()


@pytest.mark.parametrize("name", Defects.__struct_fields__)
def test_each_defect_halves_the_score_at_its_stated_rate(name):
    half = getattr(PARAMS, f"half_{name}")
    scores = [
        reliability(Defects(**{n: (k * half if n == name else 0.0) for n in Defects.__struct_fields__}))
        for k in (0, 1, 2, 9)
    ]
    assert scores == pytest.approx([1.0, 0.5, 0.25, 2**-9])


def test_what_cannot_be_judged_is_not_believed():
    assert reliability(Defects(0.0, 0.0, float("nan"), 0.0, 0.0, 0.0)) < 1e-9


@pytest.mark.parametrize(
    ("primary", "backup", "follow"),
    [(1.0, 1.0, "primary"), (0.9, 1.0, "primary"), (0.7, 0.95, "backup"), (0.0, 0.0, "primary"), (0.0, 1.0, "backup")],
)
def test_fail_over_wants_a_clear_lead(primary, backup, follow):
    assert prefer(primary, backup) == follow


def test_roles_do_not_alternate():
    assert prefer(0.5, 0.8) == "backup"
    assert prefer(0.8, 0.5) == "primary"


def clean_lines():
    return walk("XUSDT", 2_000)


def test_a_clean_tape_scores_one_and_has_no_gap(tmp_path):
    lines = [line for line in clean_lines() if '"depthUpdate"' not in line and '"trade"' not in line]
    gaps, table = judged(tmp_path, lines)
    assert gaps.is_empty()
    assert table["score"].to_list() == [1.0] * table.height


def test_silence_is_a_gap_and_costs_while_it_is_remembered(tmp_path):
    lines = clean_lines()
    later = [quote(START_NS + (20_000 + 5 * i) * MS, "XUSDT", 3_000 + i, "100", "100.1") for i in range(2_000)]
    gaps, table = judged(tmp_path, lines + later)
    (gap,) = gaps.filter(pl.col("kind") == "silence").rows(named=True)
    assert (gap["source"], gap["symbol"], gap["missing_ids"]) == ("binanceusdm/bookTicker", "XUSDT", None)
    assert gap["to_ns"] - gap["from_ns"] > 9 * S
    assert lowest(table, "bookTicker") < 0.5


def test_missing_and_repeated_trades_are_counted(tmp_path):
    ids = [1, 2, 3, 3, 3, 7, 8]
    lines = [quote(START_NS + i * 100 * MS, "XUSDT", i, "100", "100.1") for i in range(200)]
    lines += [trade(START_NS + (20_000 + 100 * i) * MS, "XUSDT", t, "100") for i, t in enumerate(ids)]
    lines += [trade(START_NS + 26_000 * MS, "XUSDT", 9, "100")]
    gaps, table = judged(tmp_path, lines)
    assert gaps.filter(pl.col("kind") == "trade_ids")["missing_ids"].to_list() == [3]
    assert lowest(table, "trade") < 0.1


def test_a_missing_depth_event_is_a_sequence_gap(tmp_path):
    generate(tmp_path / "whole", 3, symbols=["XUSDT"], minutes=0.5)
    (tape,) = find_tapes(tmp_path / "whole")
    lines = [f"{f.recv_ns} {f.raw.decode()}\n" for f in read_frames(tape)]
    at = [i for i, line in enumerate(lines) if '"depthUpdate"' in line]
    whole, _ = judged(tmp_path / "a", lines)
    assert whole.filter(pl.col("kind") == "sequence").is_empty()
    gaps, table = judged(tmp_path / "b", [line for i, line in enumerate(lines) if i != at[len(at) // 2]])
    (gap,) = gaps.filter(pl.col("kind") == "sequence").rows(named=True)
    assert gap["source"] == "binanceusdm/depth"
    assert gap["missing_ids"] > 0
    assert lowest(table, "depth") < 1.0


def test_a_level_that_lies_about_the_top_shows_as_disagreement(tmp_path):
    generate(tmp_path / "whole", 3, symbols=["XUSDT"], minutes=0.5)
    (tape,) = find_tapes(tmp_path / "whole")
    lines = [f"{f.recv_ns} {f.raw.decode()}\n" for f in read_frames(tape)]
    tickers = [i for i, line in enumerate(lines) if '"bookTicker"' in line]
    for i in tickers[len(tickers) // 2 :: 3]:
        lines[i] = lines[i].replace('"B":"', '"B":"9', 1)
    _, whole = judged(tmp_path / "a", [f"{f.recv_ns} {f.raw.decode()}\n" for f in read_frames(tape)])
    _, table = judged(tmp_path / "b", lines)
    assert whole["disagreeing"].max() == 0.0
    assert table["disagreeing"].max() > 0.05
    assert lowest(table, "depth") < 0.1


def test_frames_that_cannot_be_read_count_against_every_stream(tmp_path):
    lines = clean_lines()
    lines[100:1_000:10] = [f'{START_NS + i * 15 * MS} {{"e":"bookTicker","s":"XUSDT"}}\n' for i in range(90)]
    _, table = judged(tmp_path, lines)
    assert table["quarantined"].max() > 0.01
    assert lowest(table, "bookTicker") < 0.5


def test_live_and_tape_give_the_same_score(tmp_path):
    lines = [line for line in clean_lines() if '"bookTicker"' in line]
    del lines[700:1_500]
    _, table = judged(tmp_path, lines)
    decode, source = decode_all("binanceusdm"), SourceHealth("binanceusdm", "futures")
    live, wanted = {}, set(table["ts_ns"].to_list())
    (tape,) = find_tapes(tmp_path)
    for frame in read_frames(tape):
        for event in decode(frame.raw, frame.recv_ns):
            assert source.take(event) is not None
        if frame.recv_ns in wanted:
            live[frame.recv_ns] = source.score(frame.recv_ns)
    assert live == dict(table.select("ts_ns", "score").iter_rows())
    assert min(live.values()) < 1.0


def test_a_source_that_falls_silent_loses_its_score_and_asking_changes_nothing():
    source = SourceHealth("okx", "okx")
    for i in range(600):
        source.take(Quote("X", 0, START_NS + i * 100 * MS, 1.0, 1.0, 1.1, 1.0, -1))
    end = START_NS + 60 * S
    scores = [source.score(end + k * S) for k in (0, 1, 10, 30, 30)]
    assert scores[0] == scores[1] == 1.0
    assert 1.0 > scores[2] > scores[3] == scores[4]
    assert scores[3] < 0.3
    assert joint_score([source], end) == 1.0
    assert joint_score([], end) == joint_score([SourceHealth("okx", "okx")], end) == 0.0


def test_events_of_venues_without_ids_make_no_gap():
    source = SourceHealth("bybit", "bybit")
    for i, event_id in enumerate((5, 9, 400)):
        depth = Depth("X", 0, START_NS + i * 100 * MS, False, event_id, event_id, -1, [], [])
        printed = Trade("X", 0, START_NS + i * 100 * MS, 1.0, 1.0, 1, event_id * 7, 1.0, True)
        assert source.take(depth) == source.take(printed) == []


@pytest.mark.data
@pytest.mark.parametrize("folder", ["binance_usdm_ws", "binance_spot_ws"])
def test_recorded_tapes_are_believed_and_their_books_never_disagree(folder):
    if not (DATA_DIR / folder).is_dir():
        pytest.skip(f"no recorded data at {DATA_DIR / folder} (set DATA_DIR)")
    session = sessions(DATA_DIR / folder)[0]
    gaps, health = judge_session(session, session.first_ns + 120 * S)
    table = scored(health)
    assert not set(gaps["kind"]) - {"silence"}
    assert table["disagreeing"].max() == table["duplicates"].max() == table["crossed"].max() == 0.0
    assert table.group_by("source", "symbol").agg(pl.col("score").median())["score"].min() > 0.5


def test_suites_of_gaps_and_reliability_tell_good_from_bad():
    row = {"ts_ns": 1, "source": "a", "symbol": "X", "score": 1.0, **dict.fromkeys(Defects.__struct_fields__, 0.0)}
    assert run_suite("reliability", pl.DataFrame([row])).ok
    assert not run_suite("reliability", pl.DataFrame([row | {"score": 1.5}])).ok
    gap = {"source": "a", "symbol": "X", "lasted_ns": 5, "kind": "silence", "missing_ids": 3}
    assert run_suite("gap", pl.DataFrame([gap])).ok
    assert not run_suite("gap", pl.DataFrame([gap | {"kind": "papered_over"}])).ok
