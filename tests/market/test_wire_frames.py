"""Recorded frames of several symbols on one connection, snapshots received late: rewritten as tapes, then judged."""

import json
import re
import shutil
import subprocess
from collections import defaultdict

import pytest

from market.book import Applied, Book
from market.codecs.binance import decode
from market.events import Depth
from market.tape import find_tapes, read_frames
from market.tape_stats import tape_stats
from tests.market.wire import data_dir

pytestmark = pytest.mark.data


@pytest.fixture(
    params=[("BINANCE_FUTURES.jsonl.zst", 1_535 + 4), ("BINANCE.jsonl.zst", 265 + 4)], ids=["futures", "spot"]
)
def tapes(request, tmp_path):
    name, frames = request.param
    source = data_dir() / "wire_frames" / name
    if not source.exists() or shutil.which("zstd") is None:
        pytest.skip("needs the recorded wire frames (DATA_DIR) and the zstd program")
    text = subprocess.run(["zstd", "-dcq", str(source)], capture_output=True, check=True).stdout
    for symbol, lines in by_symbol(text).items():
        (tmp_path / symbol).write_bytes(b"".join(b"%d %s\n" % line for line in sorted(lines, key=lambda line: line[0])))
    return tmp_path, frames


def by_symbol(text):
    found = defaultdict(list)
    for line in map(json.loads, text.splitlines()):
        asked = re.search(r"/depth\?symbol=(\w+)", line.get("url", ""))
        if line["t"] == "recv" or asked:
            symbol = asked[1] if asked else re.search(r'"stream":\s?"(\w+)@', line["data"])[1].upper()
            found[symbol].append((int(line["ts"] * 1e6), line["data"].encode()))
    return found


def test_counts_hold_and_every_book_side_equals_the_ticker(tapes):
    folder, frames = tapes
    stats = tape_stats(folder).stats
    assert stats.frames == frames
    assert (stats.chain_breaks, stats.crossed, stats.quarantined) == (0, 0, 0)
    assert stats.book_vs_ticker.differing == 0 and stats.book_vs_ticker.sides_agreeing > 0


def test_live_books_that_buffer_end_like_books_fed_in_order(tapes):
    for tape in find_tapes(tapes[0]):
        rule = "spot" if tape.venue == "binance" else "futures"
        depths = [event for frame in read_frames(tape) if isinstance(event := decode(frame.raw, frame.recv_ns), Depth)]
        live, offline = Book(tape.symbol, rule), Book(tape.symbol, rule)
        outcomes = [live.apply(depth) for depth in depths]
        for depth in sorted(depths, key=lambda depth: not depth.is_snapshot):
            offline.apply(depth)
        assert Applied.GAP not in outcomes
        assert live.last_id == offline.last_id
        assert live.levels(1, 9999) == offline.levels(1, 9999) and live.levels(-1, 9999) == offline.levels(-1, 9999)
