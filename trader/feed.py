"""Market sockets: raw frames of the venue, in the order received, to one callback.

Binance serves the book (`/public`) and trades (`/market`) on different sockets. A lost socket reconnects with backoff;
the caller hears of both, since books must be resynced.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

PUBLIC_STREAMS: Final = ("depth@0ms", "bookTicker")
MARKET_STREAMS: Final = ("aggTrade", "markPrice@1s")
TAPE_ENDED: Final = "tape ended"

FrameCallback = Callable[[str, bytes], None]


def stream_urls(ws: str, symbols: Sequence[str]) -> dict[str, str]:
    """Combined-stream URL by path for ``symbols``."""
    return {
        path: f"{ws}/{path}/stream?streams=" + "/".join(f"{s.lower()}@{stream}" for s in symbols for stream in streams)
        for path, streams in (("public", PUBLIC_STREAMS), ("market", MARKET_STREAMS))
    }


def stream_symbol(raw: bytes) -> str:
    """Symbol of a combined-stream frame, read from its first bytes; "" when it has none.

    >>> stream_symbol(b'{"stream":"btcusdt@bookTicker","data":{}}')
    'BTCUSDT'
    """
    start = raw.find(b'"stream":"', 0, 32)
    end = raw.find(b"@", start, start + 64) if start >= 0 else -1
    return raw[start + 10 : end].decode("ascii", "replace").upper() if end >= 0 else ""


class _Listener(WSListener):  # type: ignore[misc]
    """Hands every text frame on and remembers why the socket closed."""

    def __init__(self, on_frame: FrameCallback) -> None:
        self._on_frame = on_frame
        self.close_reason = ""
        self.closed = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            raw = frame.get_payload_as_bytes()
            self._on_frame(stream_symbol(raw), raw)
        elif frame.msg_type == WSMsgType.CLOSE:
            message = frame.get_close_message()
            self.close_reason = message.decode() if isinstance(message, bytes) else (message or "")
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed.set()


async def run_socket(
    url: str,
    on_frame: FrameCallback,
    on_up: Callable[[], None],
    on_down: Callable[[str], None],
    jitter: Callable[[], float],
) -> None:
    """Keep one socket alive until cancelled. ``on_down`` gets the close reason ("" when the network just broke).

    ``jitter`` draws from [0, 1): reconnect delays are spread by it so that many clients do not return at once.
    """
    delay_s = 0.1
    while True:
        reason = ""
        try:
            _, listener = await ws_connect(
                lambda: _Listener(on_frame),
                url,
                enable_auto_ping=True,
                auto_ping_idle_timeout=10,
                auto_ping_reply_timeout=10,
            )
            delay_s = 0.1
            on_up()
            await listener.closed.wait()
            reason = listener.close_reason
        except (OSError, WSError, TimeoutError) as error:
            reason = f"{type(error).__name__}: {error}"
        on_down(reason)
        await asyncio.sleep(delay_s * (1 + jitter()))
        delay_s = min(delay_s * 2, 10.0)
