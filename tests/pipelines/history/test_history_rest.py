"""ccxt pages through a server that behaves as Binance USD-M: windows, pages, 429 with Retry-After, cut answers."""

import asyncio
from functools import partial

import pytest
from aiohttp import web

from market.errors import CryptoScalpError
from pipelines.history import rest
from pipelines.history.imports import import_paths
from pipelines.history.partitions import Partition, read_rows
from pipelines.history.rest import Wanted, download
from tests.pipelines.history.archives import DAY_MS
from tests.pipelines.history.test_history_faults import workspace

LIMIT = 10
HOUR_MS = 3_600_000
SYMBOL = {
    "symbol": "XYZUSDT",
    "pair": "XYZUSDT",
    "contractType": "PERPETUAL",
    "status": "TRADING",
    "baseAsset": "XYZ",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "deliveryDate": 4_133_404_800_000,
    "onboardDate": 0,
    "pricePrecision": 2,
    "quantityPrecision": 3,
    "underlyingType": "COIN",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "100000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
    ],
    "orderTypes": ["LIMIT"],
}


def trade(number, ts_ms):
    return {
        "a": number,
        "p": f"{100 + number % 7}.25",
        "q": "0.5",
        "f": number,
        "l": number,
        "T": ts_ms,
        "m": number % 2 == 0,
    }


# two bursts of one millisecond: one larger than a page, one across a page's border
TIMES = [
    *range(DAY_MS, DAY_MS + 6_000, 700),
    *[DAY_MS + 7_000] * 23,
    *[DAY_MS + 7_001] * 4,
    DAY_MS + 3 * HOUR_MS,
    DAY_MS + 5 * HOUR_MS,
]
TRADES = [trade(500 + i, ts_ms) for i, ts_ms in enumerate(TIMES)]
BARS = [
    [DAY_MS + i * 60_000, "10", "11", "9", "10.5", "3", DAY_MS + i * 60_000 + 59_999, "30", 5, "1", "10", "0"]
    for i in range(180)
    if i not in (77, 78)
]
RATES = [
    {"symbol": "XYZUSDT", "fundingTime": DAY_MS + i * 8 * HOUR_MS + 3, "fundingRate": "0.0001", "markPrice": "10"}
    for i in range(3)
]


class Server:
    """The venue; ``faults`` gives what the n-th history request meets: ``busy``, ``cut`` or nothing."""

    def __init__(self, faults=None):
        self.faults, self.asked = faults or {}, 0

    async def history(self, request, rows, stamp):
        fault = self.faults.get(self.asked)
        self.asked += 1
        if fault == "busy":
            return web.json_response(
                {"code": -1003, "msg": "Too many requests."}, status=429, headers={"Retry-After": "3"}
            )
        answer = [row for row in rows if self.inside(request.query, row, stamp)][: int(request.query["limit"])]
        if fault == "cut":
            response = web.StreamResponse(headers={"Content-Length": "100000"})
            await response.prepare(request)
            await response.write(b'[{"a": 500, "p"')
            request.transport.abort()
            return response
        return web.json_response(answer)

    @staticmethod
    def inside(query, row, stamp):
        if "fromId" in query:
            return row["a"] >= int(query["fromId"])
        return int(query["startTime"]) <= row[stamp] <= int(query.get("endTime", 2**62))

    async def start(self):
        app = web.Application()

        async def info(_request):
            return web.json_response({"symbols": [SYMBOL], "rateLimits": [], "assets": [], "exchangeFilters": []})

        app.router.add_get("/fapi/v1/exchangeInfo", info)
        app.router.add_get("/fapi/v1/aggTrades", partial(self.history, rows=TRADES, stamp="T"))
        app.router.add_get("/fapi/v1/klines", partial(self.history, rows=BARS, stamp=0))
        app.router.add_get("/fapi/v1/fundingRate", partial(self.history, rows=RATES, stamp="fundingTime"))
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"


def fetch(tmp_path, kind, faults=None, waits=None, **changes):
    wanted = Wanted(
        **{
            "venue": "binanceusdm",
            "symbol": "XYZ/USDT:USDT",
            "kind": kind,
            "since_ms": DAY_MS,
            "until_ms": DAY_MS + 24 * HOUR_MS,
        }
        | changes
    )
    server = Server(faults)

    async def sleep(seconds):
        if waits is not None:
            waits.append(seconds)

    async def run():
        url = await server.start()
        try:
            return await download(wanted, tmp_path / "pages", url, sleep=sleep, limit=LIMIT, paced=False)
        finally:
            await server.runner.cleanup()

    return asyncio.run(run()), server


def stored(tmp_path, path, kind):
    home = workspace(tmp_path)
    (outcome,) = import_paths(home, [path]).partitions
    assert not outcome.problems
    return read_rows(home, Partition(kind, "binanceusdm", "XYZUSDT", "2024-07-18")), outcome


FAULTS = {1: "busy", 3: "cut", 4: "cut", 6: "busy"}


def test_trades_come_whole_through_limits_cuts_and_bursts(tmp_path):
    waits = []
    path, _ = fetch(tmp_path, "trades", FAULTS, waits)
    rows, outcome = stored(tmp_path, path, "trades")
    assert rows["trade_id"].to_list() == [row["a"] for row in TRADES]
    assert rows["ts_event"].to_list() == [row["T"] * 1_000_000 for row in TRADES]
    assert rows["side"].to_list() == [-1 if row["m"] else 1 for row in TRADES]
    assert rows["is_aggregate"].all()
    assert outcome.missing == 0
    assert [wait for wait in waits if wait >= 3] == [3.0, 3.0]
    assert len(waits) == 4


def test_bars_and_funding_come_whole_and_the_missing_bars_are_noted(tmp_path):
    path, _ = fetch(tmp_path, "klines", FAULTS)
    rows, outcome = stored(tmp_path, path, "klines")
    assert rows["ts_event"].to_list() == [bar[0] * 1_000_000 for bar in BARS]
    assert outcome.missing == 1_440 - 178
    path, _ = fetch(tmp_path, "funding")
    rows, _ = stored(tmp_path, path, "funding")
    assert rows["funding_rate"].to_list() == [0.0001] * 3
    assert rows["is_settled"].all()


def test_a_download_that_gave_up_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(rest, "ATTEMPTS", 2)
    with pytest.raises(CryptoScalpError, match="binanceusdm: ") as caught:
        fetch(tmp_path, "trades", dict.fromkeys(range(4, 50), "busy"))
    assert "goes on where it stopped" in caught.value.fix
    whole, unhindered = fetch(tmp_path / "whole", "trades")
    path, server = fetch(tmp_path, "trades")
    assert path.read_bytes() == whole.read_bytes()
    assert server.asked < unhindered.asked


def test_a_bar_that_has_not_ended_is_left_out(tmp_path, monkeypatch):
    import ccxt.async_support as ccxt

    now_ms = DAY_MS + 30 * 60_000 + 20_000
    monkeypatch.setattr(ccxt.binanceusdm, "milliseconds", lambda _self: now_ms)
    path, _ = fetch(tmp_path, "klines")
    rows, _ = stored(tmp_path, path, "klines")
    assert rows["ts_event"][-1] == (DAY_MS + 29 * 60_000) * 1_000_000


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"venue": "nowhere"}, "knows no such venue"),
        ({"kind": "depth"}, "not served over REST"),
        ({"symbol": "ABC/USDT:USDT"}, "has no such market"),
        ({"until_ms": DAY_MS}, "not before"),
    ],
)
def test_what_cannot_be_fetched_is_said(tmp_path, changes, says):
    with pytest.raises(CryptoScalpError, match=says):
        fetch(tmp_path, **({"kind": "trades"} | changes))
