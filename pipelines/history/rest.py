"""History over REST through ccxt: patience with a busy venue, pages to a file that goes on where it was cut."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from pipelines.history.calls import HEADERS, Asker, limit_of, reach, rows_of
from pipelines.history.calls import Wanted as Wanted
from pipelines.history.paging import Fetch, Plan, Row, page
from pipelines.history.schema import HistoryError

ATTEMPTS: Final = 7
FIRST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 60.0
Sleep = Callable[[float], Awaitable[None]]


def time_ms(text: str, option: str) -> int:
    """Milliseconds of an ISO time, UTC where it names no zone.

    Raises
    ------
    HistoryError
        The text is no time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise HistoryError(f"{option} {text}: no time", "write it like 2024-07-18 or 2024-07-18T12:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


def fetch_pages(wanted: Wanted, folder: Path, url: str, progress: Callable[[float], None]) -> Path:
    """Download what is wanted into a CSV file of ``folder``; goes on where an earlier call stopped.

    Raises
    ------
    HistoryError
        The venue, kind or symbol is unknown, the venue refuses, or stays out of reach.
    """
    return asyncio.run(download(wanted, folder, url, progress=progress))


async def download(
    wanted: Wanted,
    folder: Path,
    url: str = "",
    *,
    progress: Callable[[float], None] = lambda _share: None,
    sleep: Sleep = asyncio.sleep,
    limit: int | None = None,
    paced: bool = True,
) -> Path:
    """As :func:`fetch_pages`, with the waiting, the page size and ccxt's own pace passed in."""
    client = _client(wanted, url, paced)
    patient = partial(_patient, client, sleep)
    try:
        symbol_id = await patient(lambda: _market_id(client, wanted.symbol))
        asker = Asker(client, wanted, symbol_id, limit or limit_of(wanted), patient)
        name = f"{wanted.venue}_{wanted.kind}_{wanted.interval}_{symbol_id}_{wanted.since_ms}_{wanted.until_ms}.csv"
        target = folder / name
        await page(_fetcher(asker), _plan(asker), target, progress)
        return target
    finally:
        await client.close()


def _client(wanted: Wanted, url: str, paced: bool) -> Any:
    import ccxt.async_support as ccxt

    if wanted.venue not in ccxt.exchanges:
        raise HistoryError(f"--venue {wanted.venue}: ccxt knows no such venue", "e.g. binanceusdm, okx, bybit")
    if wanted.kind not in HEADERS:
        raise HistoryError(f"--kind {wanted.kind}: not served over REST", f"use {', '.join(HEADERS)}")
    if wanted.since_ms >= wanted.until_ms:
        raise HistoryError("--since is not before --until", "give a stretch that is longer than nothing")
    client = getattr(ccxt, wanted.venue)({"enableRateLimit": paced, "options": {"fetchCurrencies": False}})
    if url:
        _redirect(client.urls["api"], url.rstrip("/"))
    return client


def _redirect(urls: dict[str, Any], base: str) -> None:
    """Only scheme and host change; every path stays the venue's own."""
    for name, address in urls.items():
        if isinstance(address, str) and address.startswith("http"):
            urls[name] = "/".join([base, *address.split("/", 3)[3:]])


async def _market_id(client: Any, symbol: str) -> str:
    await client.load_markets()
    if symbol not in client.markets:
        raise HistoryError(f"{symbol}: {client.id} has no such market", "use ccxt's name, e.g. BTC/USDT:USDT")
    return str(client.market(symbol)["id"])


def _plan(asker: Asker) -> Plan:
    """A bar that has not ended is no history: the end is cut to the last whole one."""
    wanted, now_ms = asker.wanted, asker.client.milliseconds()
    last_ms = now_ms - asker.bar_ms + 1 if wanted.kind == "klines" else now_ms
    return Plan(wanted.since_ms, min(wanted.until_ms, last_ms), *reach(asker), HEADERS[wanted.kind])


def _fetcher(asker: Asker) -> Fetch:
    rows = rows_of(asker.wanted)

    async def fetch(since_ms: int, after: str | None) -> Sequence[Row]:
        return await rows(asker, since_ms, after)

    return fetch


async def _patient(client: Any, sleep: Sleep, call: Callable[[], Awaitable[Any]]) -> Any:
    """The call's answer; a busy or unreachable venue is asked again, as late as it says, then ever later."""
    import ccxt.async_support as ccxt

    for attempt in range(ATTEMPTS):
        try:
            return await call()
        except ccxt.BaseError as error:
            if not _passes(error) or attempt == ATTEMPTS - 1:
                fix = "look at the venue's status and run again: it goes on where it stopped"
                raise HistoryError(f"{client.id}: {type(error).__name__}: {str(error)[:200]}", fix) from error
            busy = isinstance(error, ccxt.DDoSProtection)
            await sleep(_wait_s(client.last_response_headers if busy else None, attempt))
    raise AssertionError("unreachable")


def _passes(error: Exception) -> bool:
    """Whether asking again may help: the network, a limit, or an answer that broke off on the way."""
    import aiohttp
    import ccxt.async_support as ccxt

    return isinstance(error, ccxt.NetworkError) or isinstance(error.__cause__, aiohttp.ClientError)


def _wait_s(headers: Any, attempt: int) -> float:
    stated = {str(name).lower(): value for name, value in dict(headers or {}).items()}.get("retry-after", "")
    if str(stated).isdigit():
        return float(stated)
    return min(FIRST_WAIT_S * 2.0**attempt, LONGEST_WAIT_S)
