"""History over REST through ccxt: which call for which kind, patience with a busy venue, pages to a file."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from pipelines.history.paging import Fetch, Plan, Row, page
from pipelines.history.schema import HistoryError

ATTEMPTS: Final = 7
FIRST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 60.0
LIMITS: Final = {"trades": 1_000, "klines": 1_000, "funding": 1_000}
HEADERS: Final = {
    "trades": ("venue", "symbol", "timestamp", "id", "side", "price", "amount", "is_aggregate"),
    "klines": ("venue", "symbol", "timestamp", "interval_ms", "open", "high", "low", "close", "volume"),
    "funding": ("venue", "symbol", "timestamp", "funding_rate"),
}
_HOUR_MS: Final = 3_600_000
Sleep = Callable[[float], Awaitable[None]]


class Wanted(msgspec.Struct, frozen=True):
    """A stretch of history: ``venue`` and ``symbol`` as ccxt calls them, [since_ms, until_ms)."""

    venue: str
    symbol: str
    kind: str
    since_ms: int
    until_ms: int
    interval: str = "1m"


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
    try:
        symbol_id = await _patient(client, lambda: _market_id(client, wanted.symbol), sleep)
        plan = _plan(wanted, client, limit or LIMITS[wanted.kind])
        name = f"{wanted.venue}_{wanted.kind}_{wanted.interval}_{symbol_id}_{wanted.since_ms}_{wanted.until_ms}.csv"
        target = folder / name
        await page(_fetcher(client, wanted, symbol_id, plan.limit, sleep), plan, target, progress)
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


def _plan(wanted: Wanted, client: Any, limit: int) -> Plan:
    """A bar that has not ended is no history: the end is cut to the last whole one."""
    header, until_ms, reach_ms = HEADERS[wanted.kind], min(wanted.until_ms, client.milliseconds()), _HOUR_MS
    if wanted.kind == "klines":
        bar_ms = client.parse_timeframe(wanted.interval) * 1_000
        until_ms, reach_ms = min(wanted.until_ms, client.milliseconds() - bar_ms + 1), bar_ms * limit
    elif wanted.kind == "funding":
        reach_ms = _HOUR_MS * limit
    return Plan(wanted.since_ms, until_ms, limit, reach_ms, header)


def _fetcher(client: Any, wanted: Wanted, symbol_id: str, limit: int, sleep: Sleep) -> Fetch:
    names = (wanted.venue, symbol_id)
    rows_of = {"trades": _trades, "klines": _klines, "funding": _funding}[wanted.kind]

    async def fetch(since_ms: int, after: str | None) -> Sequence[Row]:
        return await _patient(client, lambda: rows_of(client, wanted, names, since_ms, after, limit), sleep)

    return fetch


async def _trades(
    client: Any, wanted: Wanted, names: tuple[str, ...], since_ms: int, after: str | None, limit: int
) -> list[Row]:
    by_id = {} if after is None else {"fromId": _next_id(after, wanted.symbol)}
    found = await client.fetch_trades(wanted.symbol, since_ms if after is None else None, limit, by_id)
    return [_trade_row(names, trade) for trade in found]


def _next_id(after: str, symbol: str) -> int:
    if not after.isdigit():
        raise HistoryError(
            f"{symbol}: more trades share one millisecond than a page holds, and their ids are no numbers",
            "take this stretch from an archive file",
        )
    return int(after) + 1


def _trade_row(names: tuple[str, ...], trade: dict[str, Any]) -> Row:
    # Binance names an aggregate's number "a"
    is_aggregate = int("a" in (trade.get("info") or {}))
    cells = (trade["timestamp"], trade["id"], trade["side"], trade["price"], trade["amount"], is_aggregate)
    return Row(int(trade["timestamp"]), str(trade["id"]), (*names, *map(str, cells)))


async def _klines(
    client: Any, wanted: Wanted, names: tuple[str, ...], since_ms: int, _after: str | None, limit: int
) -> list[Row]:
    bar_ms = client.parse_timeframe(wanted.interval) * 1_000
    bars = await client.fetch_ohlcv(wanted.symbol, wanted.interval, since_ms, limit)
    return [Row(int(bar[0]), str(bar[0]), (*names, str(bar[0]), str(bar_ms), *map(str, bar[1:6]))) for bar in bars]


async def _funding(
    client: Any, wanted: Wanted, names: tuple[str, ...], since_ms: int, _after: str | None, limit: int
) -> list[Row]:
    found = await client.fetch_funding_rate_history(wanted.symbol, since_ms, limit)
    return [
        Row(int(rate["timestamp"]), str(rate["timestamp"]), (*names, str(rate["timestamp"]), str(rate["fundingRate"])))
        for rate in found
    ]


async def _patient(client: Any, call: Callable[[], Awaitable[Any]], sleep: Sleep) -> Any:
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
