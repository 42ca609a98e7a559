"""Unmodified ccxt pages through the three simulated venues' own history calls; killed amid a day, it loses nothing."""

import asyncio
import json
import subprocess
import sys
import time
from functools import cache

import pytest
from typer.testing import CliRunner

from infra.cli.history import app
from market.errors import CryptoScalpError
from pipelines.history.imports import import_paths
from pipelines.history.paging import checkpoint_path
from pipelines.history.partitions import Partition, read_rows
from pipelines.history.rest import Wanted, download
from tests.market.simulator import past
from tests.market.simulator.past import BUSY_MS, CCXT_SYMBOL, DAY_MS, END_MS, HOUR_MS, LAST_MS, MINUTE_MS, MS_NS, VENUES
from tests.pipelines.history.test_history_faults import workspace

pytestmark = pytest.mark.integration
DAY_END_MS = DAY_MS + 24 * HOUR_MS
CONTRACT = {"okx": 0.01}
# a stretch that begins and ends inside the day, and the same with more on both sides
SHORT = {"trades": (BUSY_MS + 20 * MINUTE_MS, BUSY_MS + 30 * MINUTE_MS), "klines": (BUSY_MS, BUSY_MS + HOUR_MS)}
LONG = {"trades": (BUSY_MS - 10 * MINUTE_MS, BUSY_MS + 40 * MINUTE_MS), "klines": (DAY_MS, DAY_END_MS)}
CHILD = """
import asyncio, sys
from pathlib import Path
from pipelines.history.rest import Wanted, download
venue, symbol, kind, since, until, folder, url, limit = sys.argv[1:]
wanted = Wanted(venue, symbol, kind, int(since), int(until))
asyncio.run(download(wanted, Path(folder), url, limit=int(limit), paced=False))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return past.tape(tmp_path_factory.mktemp("tape"))


@pytest.fixture(scope="module", params=VENUES)
def venue(request, folder):
    """Name and address of a venue that serves the tape."""
    with past.served(request.param, folder) as url:
        yield request.param, url


@pytest.fixture(scope="module")
def whole(venue, tmp_path_factory):
    """The long stretch of a kind, downloaded once and undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return cache(lambda kind: fetch(venue, folder, wanted(venue[0], kind, *LONG[kind])))


def wanted(venue, kind, since_ms=DAY_MS, until_ms=END_MS):
    return Wanted(venue, CCXT_SYMBOL, kind, since_ms, until_ms)


def fetch(venue, folder, what, limit=None):
    return asyncio.run(download(what, folder, venue[1], limit=limit, paced=False))


def stored(home, path, venue, kind, day="2024-07-18"):
    outcomes = import_paths(home, [path]).partitions
    assert not any(outcome.problems or outcome.rejected for outcome in outcomes)
    return read_rows(home, Partition(kind, venue, VENUES[venue], day))


def trades_of(rows):
    return rows.select("ts_event", "px", "qty", "side").rows()


def told(sold, venue):
    unit = CONTRACT.get(venue, 1.0)
    return [(one.ts_ms * MS_NS, one.px, pytest.approx(one.qty / unit), one.side) for one in sold]


def test_trades_come_whole(tmp_path, venue, whole):
    """Bybit has no call for older trades than its last thousand."""
    if venue[0] == "bybit":
        day, sold = "2024-07-19", past.sold(LAST_MS, END_MS)
        path = fetch(venue, tmp_path / "pages", wanted(venue[0], "trades", LAST_MS, END_MS))
    else:
        path, day, sold = whole("trades"), "2024-07-18", past.sold(*LONG["trades"])
    rows = stored(workspace(tmp_path), path, venue[0], "trades", day)
    assert trades_of(rows) == told(sold, venue[0])
    assert len(sold) > 50
    if venue[0] != "bybit":
        assert rows["trade_id"].to_list() == [one.number for one in sold]
    assert set(rows["is_aggregate"]) == {venue[0] == "binanceusdm"}


def test_minute_bars_are_those_of_the_trades(tmp_path, venue, whole):
    rows = stored(workspace(tmp_path), whole("klines"), venue[0], "klines")
    found = rows.select("ts_event", "open", "high", "low", "close", "volume").rows()
    assert found == [(at * MS_NS, *px, pytest.approx(volume)) for at, *px, volume in past.bars(DAY_MS, DAY_END_MS)]


def test_settlements_and_open_interest_come_whole(tmp_path, venue):
    home = workspace(tmp_path)
    path = fetch(venue, tmp_path / "pages", wanted(venue[0], "funding"))
    rates = stored(home, path, venue[0], "funding")
    due = [at for at in past.RATES if past.START_MS < at < DAY_END_MS]
    assert rates.select("ts_event", "funding_rate").rows() == [(at * MS_NS, float(past.RATES[at])) for at in due]
    path = fetch(venue, tmp_path / "pages", wanted(venue[0], "open_interest"), limit=100)
    rows = stored(home, path, venue[0], "open_interest")
    unit = CONTRACT.get(venue[0], 1.0)
    amounts = [(at * MS_NS, pytest.approx(amount / unit)) for at, amount in past.INTEREST.items() if at < DAY_END_MS]
    assert rows.select("ts_event", "open_interest").rows() == amounts
    if venue[0] != "bybit":
        assert rows["open_interest_usd"][0] == pytest.approx(1_000 * 100.0)


KILLED = {"binanceusdm": ("trades", 40), "okx": ("trades", 100), "bybit": ("klines", 30)}


def killed_midway(venue, folder, kind, limit):
    """Run the download in a process of its own and kill it once some of its rows are on disk; how many there were."""
    arguments = [venue[0], CCXT_SYMBOL, kind, *map(str, LONG[kind]), str(folder), venue[1], str(limit)]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stderr=subprocess.PIPE)
    try:
        while not (lines := written(folder, LONG[kind])) or len(lines) < 300:
            assert child.poll() is None, child.stderr.read().decode()
            time.sleep(0.001)
    finally:
        child.kill()
        child.wait(10)
        child.stderr.close()
    return len(written(folder, LONG[kind]))


def written(folder, stretch):
    found = list(folder.glob(f"*_{stretch[0]}_{stretch[1]}.csv"))
    return found[0].read_text().splitlines()[1:] if found else []


def test_a_killed_download_leaves_the_old_partition_and_goes_on_without_hole_or_double(tmp_path, venue, whole):
    (name, url), (kind, limit) = venue, KILLED[venue[0]]
    home, pages = workspace(tmp_path), tmp_path / "pages"
    old = stored(home, fetch(venue, pages, wanted(name, kind, *SHORT[kind])), name, kind)
    partition = home.path(*Partition(kind, name, VENUES[name], "2024-07-18").file())
    before = partition.read_bytes()
    cut = killed_midway((name, url), pages, kind, limit)
    assert partition.read_bytes() == before
    path = fetch(venue, pages, wanted(name, kind, *LONG[kind]), limit)
    assert path.read_bytes() == whole(kind).read_bytes()
    rows = stored(home, path, name, kind)
    count = len(past.sold(*LONG[kind])) if kind == "trades" else len(past.bars(*LONG[kind]))
    assert old.height < rows.height == rows.unique(["ts_event", "trade_id"] if kind == "trades" else None).height
    assert (rows.height, 0 < cut < count) == (count, True)
    after = partition.read_bytes()
    assert stored(home, path, name, kind).equals(rows)
    assert partition.read_bytes() == after
    assert checkpoint_path(path).exists()


@pytest.mark.parametrize("venue", ["bybit"], indirect=True)
def test_trades_older_than_a_venue_gives_are_an_error_not_a_hole(tmp_path, venue):
    with pytest.raises(CryptoScalpError, match=r"gives no trades but the last 1000, back to 2024-07-1\dT") as caught:
        fetch(venue, tmp_path, wanted(venue[0], "trades"))
    assert "archive" in caught.value.fix


@pytest.mark.parametrize("venue", ["okx"], indirect=True)
def test_the_command_fetches_and_imports(tmp_path, venue):
    options = ["--venue", venue[0], "--url", venue[1], "--home", str(tmp_path), "--kind", "open_interest", "--json"]
    stretch = ["--since", "2024-07-18T06:00", "--until", "2024-07-18T09:00"]
    done = CliRunner().invoke(app, ["fetch", CCXT_SYMBOL, *options, *stretch])
    assert done.exit_code == 0, done.exception
    (partition,) = json.loads(done.stdout)["partitions"]
    assert (partition["venue"], partition["symbol"], partition["rows"]) == ("okx", VENUES["okx"], 36)
