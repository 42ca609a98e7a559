"""P6: a bookTicker frame from raw bytes to numbers, compiled, against msgspec into a struct and orjson with ``float``.

One public call a frame on both sides, over recorded frames where there are any. Ours leaves the numbers in a record for
compiled readers; the rows "as an event" compare what Python code gets. Every frame is first read by ``json`` too:
doubles equal bit for bit, or nothing is timed.
"""

import argparse
import json
import os
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import msgspec
import numpy as np
import orjson

from benchmarks._machine import machine
from market.codecs.binance import decode
from market.quote_kernel import RECORD, plan_of, quote_parser, quote_reader
from market.simulator.generator import generate
from market.tape import find_tapes, merge

Read = Callable[[bytes], Any]
WARM_UP, BLOCK, ROUNDS = 300, 100, 15
FRAMES: Final = 20_000
RECORDED: Final = "binance_usdm_ws"


class _Floats(msgspec.Struct, gc=False):
    u: int
    b: float
    B: float
    a: float
    A: float
    T: int
    E: int


class _Texts(msgspec.Struct, gc=False):
    u: int
    b: str
    B: str
    a: str
    A: str
    T: int
    E: int


class _WrappedFloats(msgspec.Struct, gc=False):
    data: _Floats


class _WrappedTexts(msgspec.Struct, gc=False):
    data: _Texts


read_floats: Final = msgspec.json.Decoder(_WrappedFloats, strict=False).decode
read_texts: Final = msgspec.json.Decoder(_WrappedTexts).decode


def with_float(raw: bytes) -> tuple[float, float, float, float, int, int, int]:
    """msgspec into a struct of strings, then ``float``."""
    w = read_texts(raw).data
    return float(w.b), float(w.B), float(w.a), float(w.A), w.u, w.T, w.E


def with_orjson(raw: bytes) -> tuple[float, float, float, float, int, int, int]:
    """orjson into dicts, then ``float``."""
    w = orjson.loads(raw)["data"]
    return float(w["b"]), float(w["B"]), float(w["a"]), float(w["A"]), w["u"], w["T"], w["E"]


def with_json(raw: bytes) -> tuple[float, float, float, float, int, int, int]:
    """The standard library: what every other side must equal."""
    w = json.loads(raw)["data"]
    return float(w["b"]), float(w["B"]), float(w["a"]), float(w["A"]), w["u"], w["T"], w["E"]


def quotes(folder: Path) -> tuple[str, list[bytes]]:
    """Symbol and bookTicker frames of the folder's symbol that has most of them, in receive order."""
    found: dict[str, list[bytes]] = {}
    for frame in merge(find_tapes(folder)):
        if b'"e":"bookTicker"' in frame.raw:
            found.setdefault(frame.symbol, []).append(frame.raw)
    symbol = max(found, key=lambda name: len(found[name]))
    return symbol, found[symbol][:FRAMES]


def default_quotes() -> tuple[str, list[bytes], str]:
    """Recorded frames where they are, else a generated market."""
    recorded = Path(os.environ.get("DATA_DIR", "../shared/data")) / RECORDED
    if recorded.is_dir():
        return *quotes(recorded), "recorded Binance USD-M"
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), 7, minutes=4.0)
        return *quotes(Path(folder)), "generated market, seed 7"


def equal(frames: list[bytes], read: Read, plan: bytearray, event: Read) -> bool:
    """Whether all sides read every frame as ``json`` does, floats by their bits."""
    for raw in frames:
        expected = with_json(raw)
        floats, quote = read_floats(raw).data, event(raw)
        taken = bool(read(raw)) and RECORD.pack(*expected) == bytes(plan[: RECORD.size])
        told = (floats.b, floats.B, floats.a, floats.A, floats.u, floats.T, floats.E)
        if not taken or expected != with_orjson(raw) or expected != with_float(raw) or expected != told:
            return False
        if quote != decode(raw, 1) or struct.pack("<4d", *expected[:4]) != struct.pack(
            "<4d", quote.bid_px, quote.bid_qty, quote.ask_px, quote.ask_qty
        ):
            return False
    return True


def spent_ns(read: Read, block: list[bytes]) -> float:
    """Mean ns a call over one block; its bytes are in the processor's cache, as those of a received frame are."""
    b"".join(block)
    begin = time.perf_counter_ns()
    for raw in block:
        read(raw)
    return (time.perf_counter_ns() - begin) / len(block)


def own_clock() -> Callable[[Read, list[bytes]], float]:
    """A ``spent_ns`` of its own code: the interpreter fits a call site to what it calls."""
    return FunctionType(spent_ns.__code__.replace(), globals())


def timed(sides: dict[str, Read], frames: list[bytes]) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """ns a call of every side, block by block in turn; at least ROUNDS blocks."""
    for read in sides.values():
        for raw in frames[:WARM_UP]:
            read(raw)
    blocks = [frames[at : at + BLOCK] for at in range(0, len(frames) - BLOCK + 1, BLOCK)]
    rounds = blocks * -(-ROUNDS // len(blocks))
    clocks = [(own_clock(), read) for read in sides.values()]
    spent = [[clock(read, block) for clock, read in clocks] for block in rounds]
    return dict(zip(sides, np.array(spent).T, strict=True))


def row(what: str, ours: Any, peer: Any, peer_name: str, goal: float | None) -> dict[str, Any]:
    """One result: medians, p99, and the median of the ratios block by block."""
    ratio = float(np.median(peer / ours))
    return {
        "id": "P6",
        "what": what,
        "ours": float(np.median(ours)),
        "peer": float(np.median(peer)),
        "ours_p99": float(np.percentile(ours, 99)),
        "peer_p99": float(np.percentile(peer, 99)),
        "peer_name": peer_name,
        "unit": "ns/frame",
        "ratio": ratio,
        "goal": goal,
        "correct": True,
        "met": None if goal is None else ratio >= goal,
    }


def measure() -> dict[str, Any]:
    """The report of this benchmark."""
    symbol, frames, source = default_quotes()
    plan, reader = plan_of(symbol, True), quote_reader(symbol)
    sides: dict[str, Read] = {
        "kernel": quote_parser(plan),
        "event": lambda raw: reader(raw, 1),
        "floats": read_floats,
        "texts": with_float,
        "orjson": with_orjson,
        "codec": lambda raw: decode(raw, 1),
    }
    if not equal(frames, sides["kernel"], plan, sides["event"]):
        raise SystemExit("the sides read some frame differently: nothing was timed")
    spent = timed(sides, frames)
    best, name = min(
        (spent["floats"], "msgspec struct of floats, strict=False"),
        (spent["texts"], "msgspec struct of strings, float()"),
        key=lambda side: float(np.median(side[0])),
    )
    kernel, event = spent["kernel"], spent["event"]
    what = f"bookTicker, one call a frame (blocks of {BLOCK}), {len(frames)} frames, {source}"
    return {
        "benchmark": "decode",
        "machine": machine(),
        "results": [
            row(f"{what}, into a record", kernel, best, name, 4.0),
            row(f"{what}, into a record", kernel, spent["orjson"], "orjson.loads, float()", 18.0),
            row(f"{what}, as an event", event, best, name, None),
            row(f"{what}, as an event", event, spent["codec"], "market.codecs.binance.decode", None),
        ],
    }


def main() -> None:
    """Print the report, as one JSON object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    report = measure()
    print(json.dumps(report) if as_json else json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
