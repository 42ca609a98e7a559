"""`capture` without trading: market sockets and depth snapshots into tapes until told to stop."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from trader.capture import Recorder
from trader.clock import Clock
from trader.errors import ConnectionRefused
from trader.feed import TAPE_ENDED, run_socket, stream_urls


async def record(out: Path, symbols: Sequence[str], rest: str, ws: str, seconds: float) -> dict[str, int]:
    """Record ``symbols`` for ``seconds`` (0: until SIGINT, SIGTERM or the end of a simulated tape); frames by symbol.

    Raises
    ------
    ConnectionRefused
        The venue's REST address does not answer at start.
    OSError
        The disk refused; what was written before stays.
    """
    clock, stopping = Clock(), asyncio.Event()
    counts: Counter[str] = Counter(dict.fromkeys((*symbols, "disconnects"), 0))
    await _snapshot(rest, symbols[0])
    recorder = Recorder(out)

    def keep(symbol: str, raw: bytes) -> None:
        counts[symbol] += 1
        recorder.write(symbol, clock.now_ns(), raw)

    async def snapshots() -> None:
        for symbol in symbols:
            keep(symbol, await _snapshot(rest, symbol))

    def down(reason: str) -> None:
        counts["disconnects"] += 1
        if reason == TAPE_ENDED:
            stopping.set()

    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stopping.set)
    tasks: set[asyncio.Task[None]] = set()
    for path, url in stream_urls(ws, symbols).items():
        up = (lambda: tasks.add(loop.create_task(snapshots()))) if path == "public" else (lambda: None)
        tasks.add(loop.create_task(run_socket(url, keep, up, down, random.random)))
    try:
        await asyncio.wait_for(stopping.wait(), seconds or None)
    except TimeoutError:
        pass
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        recorder.close()
    if recorder.error is not None:
        raise recorder.error
    return dict(counts)


async def _snapshot(rest: str, symbol: str) -> bytes:
    url = f"{rest.rstrip('/')}/fapi/v1/depth?symbol={symbol}&limit=1000"
    try:
        async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as reply:
            return await reply.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ConnectionRefused(f"{rest} does not answer: {error}", "check --rest and the network") from error
