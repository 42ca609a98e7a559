"""Decode and book against ccxt.pro's own handlers on the same frames, CPU time, interleaved; and sustained replay."""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._ccxt_feed import CcxtFeed
from benchmarks._machine import machine
from market import book_kernel
from market.book import DELTA_WITHIN, Book
from market.codecs.binance import decode
from market.events import Depth
from market.simulator.generator import generate
from market.tape import find_tapes, merge

ROUNDS = 15
RECORDED = "binance_usdm_ws"
Frames = list[tuple[str, bytes]]


class OurFeed:
    """Decode every frame, keep the book: what the trader does before features."""

    def __init__(self, symbols: list[str]) -> None:
        self._books = {symbol: Book(symbol, "futures") for symbol in symbols}

    def take(self, symbol: str, raw: bytes) -> None:
        book = self._books[symbol]
        if b'"depthUpdate"' in raw[:DELTA_WITHIN] and book.apply_frame(raw, 1) is not None:
            return
        event = decode(raw, 1)
        if type(event) is Depth:
            book.apply(event)

    def best(self, symbol: str) -> tuple[list[float], list[float]]:
        book = self._books[symbol]
        bid, ask = book.best_bid(), book.best_ask()
        assert bid is not None and ask is not None, "the book is empty"
        return [float(v) for v in bid], [float(v) for v in ask]


def frames_of(folder: Path) -> Frames:
    """All frames of the folder's last session in receive order."""
    from market.tape import session_frames, sessions

    return [(frame.symbol, frame.raw) for frame in session_frames(sessions(folder)[-1])]


def default_frames() -> tuple[Frames, str]:
    """Recorded frames where they are, else a generated market."""
    recorded = Path(os.environ.get("DATA_DIR", "../shared/data")) / RECORDED
    if recorded.is_dir():
        return frames_of(recorded), "recorded Binance USD-M"
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), 7, minutes=4.0)
        return [(frame.symbol, frame.raw) for frame in merge(find_tapes(Path(folder)))], "generated market, seed 7"


def measure(frames: Frames) -> dict[str, Any]:
    """CPU time of both sides over the same frames, block by block in turn."""
    symbols = sorted({symbol for symbol, _ in frames})
    ours, peer = OurFeed(symbols), CcxtFeed(symbols)
    block = len(frames) // ROUNDS
    parts = [frames[start : start + block] for start in range(0, block * ROUNDS, block)]
    spent = [(_cpu(ours.take, part), _cpu(peer.take, part)) for part in parts]
    return {
        "ours": 1e6 * sum(mine for mine, _ in spent) / (block * ROUNDS),
        "peer": 1e6 * sum(theirs for _, theirs in spent) / (block * ROUNDS),
        "ratio": statistics.median(theirs / mine for mine, theirs in spent),
        "correct": all(ours.best(symbol) == peer.best(symbol) for symbol in symbols),
    }


def _cpu(take: Callable[[str, bytes], None], part: Frames) -> float:
    """CPU seconds of one block."""
    begin = time.process_time()
    for symbol, raw in part:
        take(symbol, raw)
    return time.process_time() - begin


def is_book(raw: bytes) -> bool:
    """A depth delta or snapshot: all that a book needs."""
    return b'"depthUpdate"' in raw[:DELTA_WITHIN] or b'"lastUpdateId"' in raw[:DELTA_WITHIN]


def sustained(frames: Frames) -> float:
    """Frames a second of one core through decode and book, the whole recording at once."""
    feed = OurFeed(sorted({symbol for symbol, _ in frames}))
    begin = time.process_time()
    for symbol, raw in frames:
        feed.take(symbol, raw)
    return len(frames) / (time.process_time() - begin)


def report(frames: Frames, source: str) -> dict[str, Any]:
    """The benchmark's JSON object."""
    everything = measure(frames)
    depth = measure([(symbol, raw) for symbol, raw in frames if is_book(raw)])
    rate = sustained(frames)
    rows = [
        _row("feed-all", f"decode and book, all frames, {source}", everything, 10.0),
        _row("feed-depth", f"decode and book, depth only, {source}", depth, 5.0),
        {
            "id": "feed-sustained",
            "what": f"decode and book, {len(frames)} frames, {source}",
            "ours": rate,
            "peer": None,
            "peer_name": None,
            "unit": "frames/s of CPU",
            "ratio": None,
            "goal": 100_000,
            "correct": everything["correct"],
            "met": bool(rate >= 100_000 and everything["correct"]),
        },
    ]
    return {"benchmark": "feed", "machine": machine(), "results": rows}


def _row(name: str, what: str, measured: dict[str, Any], goal: float) -> dict[str, Any]:
    return {
        "id": name,
        "what": what,
        "ours": measured["ours"],
        "peer": measured["peer"],
        "peer_name": "ccxt.pro binanceusdm handlers, orjson",
        "unit": "us/frame CPU",
        "ratio": measured["ratio"],
        "goal": goal,
        "correct": measured["correct"],
        "met": bool(measured["correct"] and measured["ratio"] >= goal),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--tape", type=Path, help="folder of Binance USD-M tapes")
    options = parser.parse_args()
    book_kernel.warm_up()
    frames, source = (frames_of(options.tape), str(options.tape)) if options.tape else default_frames()
    result = report(frames, source)
    print(json.dumps(result) if options.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
