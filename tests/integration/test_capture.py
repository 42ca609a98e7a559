"""The capture command against simulated exchanges: whole tapes, told faults, nothing lost to a crash."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import urllib.request

import pytest
from aiohttp import web

from infra.processes import start
from market.simulator.generator import generate
from market.simulator.hub import text_frame
from market.tape import find_tapes, merge
from market.tape_stats import tape_stats
from tests.venues import slow_but
from trader.feed import FeedSettings
from trader.feeds.link import LinkSettings
from trader.recording import CaptureSettings, record

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
SYMBOLS = {
    "binanceusdm": "BTCUSDT,ETHUSDT",
    "okx": "BTC-USDT-SWAP,ETH-USDT-SWAP",
    "bybit": "BTCUSDT,ETHUSDT",
}


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    generate(folder, 5, minutes=0.7)
    return folder


@contextlib.contextmanager
def exchange(venue, tape, folder, speed=2):
    command = [sys.executable, "-m", "market.simulator", "--venue", venue, "--tape", str(tape), "--speed", str(speed)]
    log = folder / f"{venue}.log"
    process = start(command, name=venue, log=log)
    try:
        process.wait_ready(lambda: log.exists() and '{"rest"' in log.read_text(), 60)
        yield json.loads(next(line for line in log.read_text().splitlines() if line.startswith('{"rest"')))
    finally:
        process.stop()


@contextlib.contextmanager
def capture(at, out, venue, log, *options):
    command = [
        *(sys.executable, "-m", "infra.cli.main", "capture", str(out), "--venue", venue, "--json"),
        *("--symbols", SYMBOLS[venue], "--rest", at["rest"], "--ws", at["ws"], *options),
    ]
    process = start(command, name="capture", log=log)
    try:
        yield process
    finally:
        process.stop()


def ended(process, limit_s=40.0):
    end = time.monotonic() + limit_s
    while process.alive() and time.monotonic() < end:
        time.sleep(0.05)
    assert not process.alive(), process.log_tail()
    return process.returncode


def report_of(process):
    assert ended(process) == 0, process.log_tail()
    return json.loads(next(line for line in process.log.read_text().splitlines() if line.startswith('{"by_symbol"')))


def plant(at, **fault):
    request = urllib.request.Request(at["rest"] + "/sim/faults", data=json.dumps(fault).encode())
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.loads(reply.read())


def wait_for_bytes(folder, size, limit_s=20.0):
    end = time.monotonic() + limit_s
    while sum(part.stat().st_size for part in folder.glob("*.part")) < size:
        assert time.monotonic() < end, "nothing was written"
        time.sleep(0.05)


@pytest.mark.parametrize("venue", slow_but("binanceusdm", SYMBOLS))
def test_a_quiet_recording_is_whole(venue, tape, tmp_path):
    options = ("--seconds", "6", "--snapshot-s", "2")
    with exchange(venue, tape, tmp_path) as at, capture(at, tmp_path / "out", venue, tmp_path / "log", *options) as run:
        report = report_of(run)
    assert sorted(report["by_symbol"]) == sorted(SYMBOLS[venue].split(","))
    assert report["frames"] > 1_000 and min(report["by_symbol"].values()) > 200
    assert set(report["gaps"].values()) == {0}
    # the simulated OKX states no value of its open interest
    assert not [reason for reason in report["quarantined"] if not reason.startswith("oiUsd")]
    assert report["refused"] == []
    assert sorted(report["books_standing"]) == sorted(report["by_symbol"])
    assert (report["disconnects"], report["failed_snapshots"]) == (0, 0)
    assert len(list(merge(find_tapes(tmp_path / "out")))) == sum(report["by_symbol"].values())
    assert report["recv_minus_event_ms"]
    assert len(list((tmp_path / "out").glob("*.sha256"))) == len(report["files"]) == 2


def test_the_recording_ends_with_the_tape_and_equals_it(tape, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    with exchange("binanceusdm", tape, tmp_path, speed=6) as at, capture(at, out, "binanceusdm", log) as run:
        report = report_of(run)
    stats = tape_stats(out).stats
    assert stats.chain_breaks == stats.crossed == stats.quarantined == 0
    assert stats.trade_ids_duplicate == stats.trade_ids_missing == 0
    assert stats.book_vs_ticker.differing == 0 and stats.book_vs_ticker.events_compared > 100
    assert stats.frames == sum(report["by_symbol"].values())


def test_lost_frames_and_cut_sockets_are_told_and_mended(tape, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    with (
        exchange("binanceusdm", tape, tmp_path) as at,
        capture(at, out, "binanceusdm", log, "--seconds", "9") as run,
    ):
        time.sleep(4)
        plant(at, kind="drop", symbol="BTCUSDT", count=12)
        time.sleep(1.5)
        plant(at, kind="disconnect_market")
        report = report_of(run)
    assert report["gaps"]["BTCUSDT"] >= 1 and report["gaps"]["ETHUSDT"] == 0
    assert report["disconnects"] == 2
    assert sorted(report["books_standing"]) == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize("venue", slow_but("bybit", SYMBOLS))
def test_two_lines_record_what_either_of_them_misses(venue, tape, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    options = ("--seconds", "9", "--lines", "2")
    with exchange(venue, tape, tmp_path) as at, capture(at, out, venue, log, *options) as run:
        time.sleep(4)
        for line in (0, 1):
            plant(at, kind="line_swallow", line=line, count=5)
            time.sleep(1)
        plant(at, kind="line_disconnect")
        report = report_of(run)
    assert (report["disconnects"], set(report["gaps"].values())) == (1, {0})
    assert sorted(report["books_standing"]) == sorted(report["by_symbol"])
    assert sum(line["copies_dropped"] for line in report["lines"]) > 1_000
    stats = tape_stats(out).stats
    assert stats.chain_breaks == stats.crossed == stats.trade_ids_duplicate == stats.trade_ids_missing == 0
    # a quote that one line swallowed while the other was behind is gone, and Binance's next one does not tell its id
    assert venue == "binanceusdm" or stats.book_vs_ticker.differing == 0


def test_killed_and_started_again_it_keeps_what_was_written(tape, tmp_path):
    out = tmp_path / "out"
    with exchange("binanceusdm", tape, tmp_path) as at:
        with capture(at, out, "binanceusdm", tmp_path / "log") as process:
            wait_for_bytes(out, 40_000)
            os.kill(process.pid, signal.SIGKILL)
            ended(process)
        before = {part.name: part.stat().st_size for part in out.glob("*.part")}
        with capture(at, out, "binanceusdm", tmp_path / "log2", "--seconds", "2") as process:
            report = report_of(process)
    assert before and not list(out.glob("*.part"))
    assert len(report["files"]) == 2 + len(before)
    frames = list(merge(find_tapes(out)))
    assert len(frames) > sum(report["by_symbol"].values())
    assert [f.recv_ns for f in frames] == sorted(f.recv_ns for f in frames)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--symbols", ""), "names no symbol"),
        (("--symbols", "NOSUCH"), "no depth of NOSUCH"),
        (("--symbols", "BTCUSDT", "--rest", "http://127.0.0.1:9"), "does not answer"),
        (("--symbols", "BTCUSDT", "--venue", "nowhere"), "nowhere"),
    ],
)
def test_a_recording_that_cannot_start_says_so_in_one_sentence(options, says, tape, tmp_path):
    with exchange("binanceusdm", tape, tmp_path) as at:
        command = [sys.executable, "-m", "infra.cli.main", "capture", str(tmp_path / "out")]
        command += ["--rest", at["rest"], "--ws", at["ws"], *options]
        process = start(command, name="capture", log=tmp_path / "log")
        assert ended(process) == 2, process.log_tail()
    said = process.log_tail()
    assert says in said and "fix:" in said and "Traceback" not in said


@pytest.mark.parametrize("venue", slow_but("okx", SYMBOLS))
async def test_planned_reconnects_under_load_leave_no_trace_on_the_tape(venue, tape, tmp_path):
    link = LinkSettings(lifetime_s=0.4, overlap_s=0.2, overlap_max_s=2.0, tail_s=0.2)
    with exchange(venue, tape, tmp_path) as at:
        settings = CaptureSettings(
            out=tmp_path / "out",
            symbols=tuple(SYMBOLS[venue].split(",")),
            venue=venue,
            rest=at["rest"],
            ws=(at["ws"],),
            seconds=8.0,
            feed=FeedSettings(link=link),
        )
        report = await record(settings)
    stats = tape_stats(tmp_path / "out").stats
    assert report["planned_reconnects"] >= 8
    assert report["duplicates_dropped"] > 100
    assert report["disconnects"] == 0 and set(report["gaps"].values()) == {0}
    assert stats.chain_breaks == stats.crossed == stats.trade_ids_duplicate == stats.trade_ids_missing == 0
    assert stats.book_vs_ticker.differing == 0 and stats.depth_applied > 200


@contextlib.asynccontextmanager
async def bursting(count):
    """A Binance market server that sends ``count`` depth frames as fast as the socket takes them, then the end."""
    levels = ",".join(f'["{100 + n}.5","{n}.125"]' for n in range(8))
    head = '{"stream":"xusdt@depth@0ms","data":{"e":"depthUpdate","E":1700000000000,"T":1700000000000,"s":"XUSDT",'

    def text(n):
        return (head + f'"U":{n},"u":{n},"pu":{n - 1},"b":[["99.5","{n}"]],"a":[{levels}]}}}}').encode()

    blob = b"".join(text_frame(text(n)) for n in range(1, count + 1))

    async def stream(request):
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        if request.path.startswith("/public"):
            await asyncio.sleep(0.3)
            for start_at in range(0, len(blob), 1 << 18):
                request.transport.write(blob[start_at : start_at + (1 << 18)])
                while request.transport.get_write_buffer_size() > 1 << 20:
                    await asyncio.sleep(0)
            await ws.close(message=b"tape ended")
        async for _ in ws:
            pass
        return ws

    async def depth(_request):
        return web.json_response({"lastUpdateId": 1, "bids": [["99.5", "1"]], "asks": [["100.5", "1"]]})

    app = web.Application()
    app.add_routes([web.get("/fapi/v1/depth", depth), web.get("/{path:.*}", stream)])
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("check", [True, False])
async def test_a_burst_is_recorded_whole_at_full_speed(check, tmp_path, record_property):
    count = 100_000
    async with bursting(count) as host:
        at = {"rest": f"http://{host}", "ws": (f"ws://{host}",), "venue": "binanceusdm", "symbols": ("XUSDT",)}
        report = await record(CaptureSettings(out=tmp_path, check=check, snapshot_s=0, **at))
    stamps = [frame.recv_ns for frame in merge(find_tapes(tmp_path)) if b'"depthUpdate"' in frame.raw]
    rate = count / (stamps[-1] - stamps[0]) * 1e9
    record_property("frames_per_s", rate)
    print(f"check={check}: {rate:,.0f} frames/s")
    assert len(stamps) == count
    assert stamps == sorted(stamps)
    assert report["gaps"] == {"XUSDT": 0} if check else "gaps" not in report
    assert rate > (2_000 if check else 10_000)
