"""The past of the simulated markets as each venue pages it: order, rows of a page, cursors, weights, refusals."""

import json
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack

import pytest

from market.events import Trade
from market.simulator.binance_auth import ApiError
from market.simulator.binance_candles import candle_weight
from market.simulator.binance_limits import Limits
from market.simulator.interest import Reading, sampled
from market.simulator.prints import Prints
from tests.market.simulator import past
from tests.market.simulator.cases import MS
from tests.market.simulator.past import BUSY_MS, DAY_MS, END_MS, HOUR_MS, SYMBOL, TRADES, VENUES

NOW_S = 1_700_000_000.0


def printed(number, at_ms=0):
    return Trade(SYMBOL, at_ms * MS, at_ms * MS, 10.0, 1.0, 1, number, 1.0, True)


def kept(prints, count=100):
    return [trade.trade_id for trade in prints.latest(count)]


def test_a_trade_told_twice_or_late_stands_once_and_in_its_place():
    prints = Prints(SYMBOL)
    for number in (5, 6, 9, 6, 7, 9, 4):
        prints.add(printed(number, number), number * MS)
    assert kept(prints) == [4, 5, 6, 7, 9]
    assert [trade.trade_id for trade in prints.after(6, 0, 7 * MS, 10)] == [6, 7]
    assert [trade.trade_id for trade in prints.after(0, 5 * MS, 10 * MS, 2)] == [5, 6]
    assert [trade.trade_id for trade in prints.before(9, 10 * MS, 2)] == [7, 6]
    assert [trade.trade_id for trade in prints.before(99, 6 * MS, 9)] == [5, 4]


def test_the_oldest_trades_are_forgotten_first():
    prints = Prints(SYMBOL, most=20)
    for number in range(50):
        prints.add(printed(number), number)
    assert kept(prints)[-1] == 49
    assert 18 <= len(prints) <= 20
    assert kept(prints) == list(range(50 - len(prints), 50))


def test_open_interest_is_what_stood_at_each_step_and_never_what_came_after():
    seen = [Reading(12 * MS, 1.0, 1.0), Reading(20 * MS, 2.0, 1.0), Reading(21 * MS, 3.0, 1.0)]
    assert [(at, one.qty) for at, one in sampled(seen, 10, 45 * MS)] == [(20, 2.0), (30, 3.0), (40, 3.0)]
    assert sampled([], 10, 45 * MS) == []


@pytest.mark.parametrize(("limit", "weight"), [("99", 1), ("100", 2), ("500", 5), ("", 5), ("1000", 5), ("1500", 10)])
def test_candles_weigh_by_their_number(limit, weight):
    assert candle_weight({"limit": limit}) == weight


def test_funding_rates_have_a_limit_of_their_own():
    limits = Limits()
    for _ in range(500):
        limits.spend_pool("funding", NOW_S)
    with pytest.raises(ApiError) as refused:
        limits.spend_pool("funding", NOW_S)
    assert (refused.value.status, refused.value.code) == (429, -1003)
    limits.spend_pool("statistics", NOW_S)
    limits.spend_pool("funding", NOW_S + 300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return past.tape(tmp_path_factory.mktemp("tape"))


@pytest.fixture(scope="module")
def servers(folder):
    with ExitStack() as stack:
        yield {venue: stack.enter_context(past.served(venue, folder)) for venue in VENUES}


def asked(servers, venue, path, **params):
    """(status, answer, headers) of one call."""
    url = f"{servers[venue]}{path}?{urllib.parse.urlencode(params)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def rows(servers, venue, path, **params):
    _, answer, _ = asked(servers, venue, path, **params)
    if venue == "bybit":
        return answer["result"]["list"]
    return answer["data"] if venue == "okx" else answer


integration = pytest.mark.integration
AGGREGATES = "/fapi/v1/aggTrades"


@integration
def test_binance_gives_aggregates_from_an_id_or_a_time_on_oldest_first(servers):
    first = TRADES[0].number
    by_id = rows(servers, "binanceusdm", AGGREGATES, symbol=SYMBOL, fromId=first + 100, limit=3)
    assert [row["a"] for row in by_id] == [first + 100, first + 101, first + 102]
    inside = [one.number for one in TRADES if BUSY_MS <= one.ts_ms <= BUSY_MS + 9_000]
    window = {"startTime": BUSY_MS, "endTime": BUSY_MS + 9_000}
    assert [row["a"] for row in rows(servers, "binanceusdm", AGGREGATES, symbol=SYMBOL, **window)] == inside
    latest = rows(servers, "binanceusdm", AGGREGATES, symbol=SYMBOL)
    assert [row["a"] for row in latest] == [one.number for one in TRADES[-500:]]
    assert len(rows(servers, "binanceusdm", AGGREGATES, symbol=SYMBOL, fromId=first, limit=5_000)) == 1_000
    until = rows(servers, "binanceusdm", AGGREGATES, symbol=SYMBOL, endTime=BUSY_MS - 1, limit=2)
    assert [row["a"] for row in until] == [one.number for one in TRADES if one.ts_ms < BUSY_MS][-2:]


@integration
def test_binance_refuses_a_window_of_more_than_an_hour_and_counts_what_calls_weigh(servers):
    window = {"startTime": BUSY_MS, "endTime": BUSY_MS + HOUR_MS + 1}
    status, answer, headers = asked(servers, "binanceusdm", AGGREGATES, symbol=SYMBOL, **window)
    assert (status, answer["code"]) == (400, -1127)
    used = int(headers["X-MBX-USED-WEIGHT-1M"])
    for path, params, weight in [
        ("/fapi/v1/klines", {"interval": "1m", "limit": 99}, 1),
        (AGGREGATES, {}, 20),
        ("/fapi/v1/fundingRate", {}, 0),
        ("/futures/data/openInterestHist", {"period": "5m"}, 0),
    ]:
        _, _, headers = asked(servers, "binanceusdm", path, symbol=SYMBOL, **params)
        assert int(headers["X-MBX-USED-WEIGHT-1M"]) in (used + weight, weight)  # a new minute may begin
        used = int(headers["X-MBX-USED-WEIGHT-1M"])


@integration
def test_okx_pages_from_new_to_old_by_id_and_by_time(servers):
    call = {"instId": VENUES["okx"]}
    path = "/api/v5/market/history-trades"
    newest = [one.number for one in TRADES[::-1]]
    first = rows(servers, "okx", path, **call)
    assert [int(row["tradeId"]) for row in first] == newest[:100]
    second = rows(servers, "okx", path, **call, after=first[-1]["tradeId"], limit=30)
    assert [int(row["tradeId"]) for row in second] == newest[100:130]
    older = [one.number for one in TRADES[::-1] if one.ts_ms < BUSY_MS]
    by_time = rows(servers, "okx", path, **call, type=2, after=BUSY_MS, limit=4)
    assert [int(row["tradeId"]) for row in by_time] == older[:4]
    between = rows(servers, "okx", path, **call, after=newest[10], before=newest[13])
    assert [int(row["tradeId"]) for row in between] == newest[11:13]
    assert len(rows(servers, "okx", "/api/v5/market/trades", **call, limit=900)) == 500
    assert asked(servers, "okx", path, **call, type=2, before=BUSY_MS)[1]["code"] == "51000"


@integration
def test_okx_windows_of_candles_rates_and_open_interest_exclude_their_ends(servers):
    call, minute = {"instId": VENUES["okx"]}, 60_000
    window = {"before": BUSY_MS, "after": BUSY_MS + 4 * minute}
    for path in ("history-candles", "history-mark-price-candles"):
        found = rows(servers, "okx", f"/api/v5/market/{path}", **call, bar="1m", **window)
        assert [int(row[0]) for row in found] == [BUSY_MS + n * minute for n in (3, 2, 1)]
        assert all(row[-1] == "1" for row in found)
    assert len(rows(servers, "okx", "/api/v5/market/history-candles", **call, limit=999)) == 300
    index = rows(servers, "okx", "/api/v5/market/history-index-candles", instId="XYZ-USDT", bar="1H")
    assert {row[4] for row in index} == {"99.9"}
    due = [at for at in past.RATES if past.START_MS < at < END_MS][::-1]
    settled = rows(servers, "okx", "/api/v5/public/funding-rate-history", **call, after=due[0])
    assert [int(row["fundingTime"]) for row in settled] == due[1:]
    window = {"begin": BUSY_MS, "end": BUSY_MS + 15 * minute, "period": "5m"}
    found = rows(servers, "okx", "/api/v5/rubik/stat/contracts/open-interest-history", **call, **window)
    times = [BUSY_MS + n * 5 * minute for n in (2, 1)]
    assert found == [
        [str(at), str(past.INTEREST[at] * 100), str(past.INTEREST[at]), str(past.INTEREST[at] * 100)] for at in times
    ]


@integration
def test_bybit_gives_its_last_trades_newest_first_each_with_its_own_seq(servers):
    call = {"category": "linear", "symbol": SYMBOL}
    found = rows(servers, "bybit", "/v5/market/recent-trade", **call, limit=2_000)
    assert [int(row["time"]) for row in found] == [one.ts_ms for one in TRADES[:-1_001:-1]]
    numbers = [int(row["seq"]) for row in found]
    assert numbers == sorted(set(numbers), reverse=True)


@integration
def test_bybit_fills_candles_from_their_start_and_other_pages_from_their_end(servers):
    call, minute = {"category": "linear", "symbol": SYMBOL}, 60_000
    path, candles = "/v5/market/kline", {"interval": "1", "limit": 3}
    from_start = rows(servers, "bybit", path, **call, **candles, start=BUSY_MS)
    assert [int(row[0]) for row in from_start] == [BUSY_MS + n * minute for n in (2, 1, 0)]
    to_end = rows(servers, "bybit", path, **call, **candles, start=BUSY_MS, end=BUSY_MS + HOUR_MS)
    assert [int(row[0]) for row in to_end] == [BUSY_MS + n * minute for n in (60, 59, 58)]
    rates = "/v5/market/funding/history"
    assert asked(servers, "bybit", rates, **call, startTime=DAY_MS)[1]["retCode"] == 10001
    due = [at for at in past.RATES if past.START_MS < at < END_MS][::-1]
    found = rows(servers, "bybit", rates, **call, startTime=DAY_MS, endTime=due[0] - 1)
    assert [int(row["fundingRateTimestamp"]) for row in found] == due[1:]


@integration
def test_bybit_goes_through_open_interest_by_cursor(servers):
    call = {"category": "linear", "symbol": SYMBOL, "intervalTime": "5min", "limit": 150}
    found, cursor = [], ""
    while True:
        _, answer, _ = asked(servers, "bybit", "/v5/market/open-interest", **call, cursor=cursor)
        found += answer["result"]["list"]
        cursor = answer["result"]["nextPageCursor"]
        if not cursor:
            break
    expected = [(at, float(amount)) for at, amount in past.INTEREST.items()][::-1]
    assert [(int(row["timestamp"]), float(row["openInterest"])) for row in found] == expected
