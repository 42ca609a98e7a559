"""Recorded files of real venues: every row comes in, and what their authors left out is noted as a gap."""

import os
from pathlib import Path

import polars as pl
import pytest

from pipelines.history.gaps import find_gaps
from pipelines.history.imports import import_paths
from pipelines.history.names import Names
from pipelines.history.partitions import Partition, read_beside
from pipelines.history.read import read
from pipelines.history.schema import DAY_NS
from tests.pipelines.history.test_history_faults import workspace

DATA_DIR = Path(os.environ.get("DATA_DIR", Path(__file__).parents[4] / "shared" / "data"))
pytestmark = pytest.mark.data


def folder(name):
    if not (DATA_DIR / name).is_dir():
        pytest.skip(f"no recorded data at {DATA_DIR / name} (set DATA_DIR)")
    return DATA_DIR / name


def rows_and_rejected(path, **names):
    reading = read(path, Names(**names))
    return (
        sum(map(len, reading.tables.values())),
        sum(map(len, reading.rejected.values())),
        {k.kind for k in reading.tables},
    )


def test_every_kline_file_is_read_whole():
    counts = {path.name: rows_and_rejected(path, venue="v") for path in sorted(folder("klines_1m").iterdir())}
    assert all(rejected == 0 for _, rejected, _ in counts.values())
    bars = {name: rows for name, (rows, _, kinds) in counts.items() if kinds == {"klines"}}
    assert len(bars) == 21
    assert all(rows >= 38_000 for rows in bars.values())
    rates = {name: kinds for name, (_, _, kinds) in counts.items() if "funding_rate" in name}
    assert set(map(frozenset, rates.values())) == {frozenset({"funding"})}


def smallest(pattern):
    return min(folder(Path(pattern).parent).glob(Path(pattern).name), key=lambda path: path.stat().st_size)


def head(path, tmp_path, rows):
    """The first rows of a feather file under its own name: every imported day is judged, which takes its time."""
    pl.read_ipc(path).head(rows).write_ipc(tmp_path / path.name)
    return tmp_path / path.name


def test_gapless_minute_bars_have_no_gap_inside():
    (key, table), *_ = read(smallest("klines_1m/*-1m-futures.feather"), Names(venue="v")).tables.items()
    days = table.group_by(day=pl.col("ts_event") // DAY_NS * DAY_NS).agg(pl.len()).sort("day").rows()
    missing = [find_gaps("klines", rows_of(table, day), day)["missing"].sum() for day, _ in days]
    assert missing[1:-1] == [0] * (len(days) - 2)
    assert (days[0][1] + missing[0], days[-1][1] + missing[-1], key.kind) == (1_440, 1_440, "klines")


def rows_of(table, day):
    return table.filter(pl.col("ts_event").is_between(day, day + DAY_NS, closed="left"))


def test_minute_bars_meet_their_suite(tmp_path):
    found = head(smallest("klines_1m/*-1m-futures.feather"), tmp_path, 5_000)
    outcomes = import_paths(workspace(tmp_path), [found], Names(venue="v")).partitions
    assert sum(outcome.rows for outcome in outcomes) == 5_000
    assert [outcome.missing for outcome in outcomes[1:-1]] == [0] * (len(outcomes) - 2)
    assert not any(outcome.problems for outcome in outcomes)


def test_funding_and_open_interest_meet_their_suites(tmp_path):
    rates = min(folder("funding_oi").glob("*.feather"))
    assert rows_and_rejected(rates, venue="v") == (91, 0, {"funding"})
    files = [min(folder("funding_oi").glob("oi_*.csv")), head(rates, tmp_path, 15)]
    imported = import_paths(workspace(tmp_path), files, Names(venue="v"))
    assert {outcome.kind for outcome in imported.partitions} == {"funding", "open_interest"}
    assert sum(outcome.rows for outcome in imported.partitions) == 168 + 15
    assert not any(outcome.problems or outcome.rejected for outcome in imported.partitions)


def test_perpetual_quotes_and_trades_meet_their_suites(tmp_path):
    imported = import_paths(workspace(tmp_path), [folder("aster_perp")], Names(venue="v"))
    rows = {(outcome.kind, outcome.symbol): outcome.rows for outcome in imported.partitions}
    assert sorted(rows.values()) == [29_947, 44_050, 45_868, 62_032]
    assert [outcome.unsorted for outcome in imported.partitions if outcome.kind == "quotes"] == [1, 1]
    assert not any(outcome.problems or outcome.missing for outcome in imported.partitions)


def test_rows_stitched_on_at_the_end_show_as_gaps(tmp_path):
    home = workspace(tmp_path)
    imported = import_paths(home, [folder("faulty")])
    assert len(imported.sources) == 8
    assert sum(outcome.rows + outcome.repeated + outcome.rejected for outcome in imported.partitions) == 89_856
    assert not any(outcome.problems for outcome in imported.partitions)
    stitched = Partition("depth", "binance", "TRXUSDT", "2025-03-04")
    silences = read_beside(home, stitched, "gaps").filter(pl.col("reason") == "silence")
    assert (silences["last_ns"] - silences["first_ns"]).max() > 12 * 3_600 * 10**9
