"""The online feature store as the trader uses it: read once at the start, written on a timer, never on the tick path.

Feast's own client takes seconds to import and hundreds of megabytes, so the trader speaks Feast's encoding itself
(``features.online``); tests hold both equal. Nothing here can stop or delay trading: a store that is away costs a
count.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import redis.asyncio as redis

from features.online import FIELDS, OnlineRow, OnlineRowError, decode_row, encode_row, row_key

TIMEOUT_S: Final = 0.5
AT_ONCE: Final = 8
Rows = Mapping[str, tuple[int, Sequence[float]]]


def _chunks(rows: Rows) -> Iterator[Rows]:
    """A few symbols at a time: encoding a hundred rows at once would hold the loop for milliseconds."""
    waiting = iter(rows.items())
    while some := dict(islice(waiting, AT_ONCE)):
        yield some


class OnlineStore:
    """The rows of one Redis or Valkey. ``pushed`` counts rows written, ``failures`` calls that came to nothing."""

    def __init__(self, url: str) -> None:
        # its stubs know neither bytes as keys nor that a call is always awaitable here
        self._client: Any = redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self.pushed = self.failures = 0
        self.trouble = ""

    async def read(self, symbols: Sequence[str]) -> dict[str, OnlineRow]:
        """The latest row of each of ``symbols`` that the store has; what cannot be read is left out and counted."""
        rows: dict[str, OnlineRow] = {}
        for symbol in symbols:
            try:
                row = decode_row(await self._client.hmget(row_key(symbol), list(FIELDS)), symbol)
            except (redis.RedisError, OSError, OnlineRowError) as error:
                self._failed(error)
                continue
            if row is not None:
                rows[symbol] = row
        return rows

    async def push(self, rows: Rows) -> None:
        """Write the newest row (event time, values in schema order) of some symbols, in one round trip."""
        if not rows:
            return
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for symbol, (event_ns, features) in rows.items():
                    pipe.hset(row_key(symbol), mapping=encode_row(event_ns, features))
                await pipe.execute()
        except (redis.RedisError, OSError) as error:
            self._failed(error)
        else:
            self.pushed += len(rows)

    async def keep_fresh(self, newest: Callable[[], Rows], every_s: float) -> None:
        """Push what ``newest`` gives every ``every_s`` seconds, rows that did not change left out; until cancelled."""
        last: dict[str, int] = {}
        while True:
            await asyncio.sleep(every_s)
            rows = {symbol: row for symbol, row in newest().items() if last.get(symbol) != row[0]}
            last |= {symbol: event_ns for symbol, (event_ns, _) in rows.items()}
            for some in _chunks(rows):
                await self.push(some)

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.trouble = str(error)
