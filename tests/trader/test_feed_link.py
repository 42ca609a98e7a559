"""Connections that come and go, against a server that counts: nothing may be lost, nothing may come twice."""

import asyncio
import re
import socket
from urllib.request import urlopen

import pytest
from feed_server import Market, running, serving, until

from trader.errors import ConnectionRefused
from trader.feed import Feed, FeedListener, FeedSettings
from trader.feeds.checks import Checks
from trader.feeds.connection import ConnectLimiter
from trader.feeds.link import LinkSettings
from trader.feeds.metrics import FeedMetrics, serve_metrics

NUMBER = re.compile(rb'"u":(\d+)')


def binance_frames(n):
    yield (
        "depth",
        f'{{"stream":"xusdt@depth@0ms","data":{{"e":"depthUpdate","E":1,"T":1,"U":{n},"u":{n},"pu":{n - 1}}}}}',
    )
    yield "quote", f'{{"stream":"xusdt@bookTicker","data":{{"e":"bookTicker","u":{n},"s":"XUSDT","T":1}}}}'
    yield "forced", f'{{"stream":"xusdt@forceOrder","data":{{"e":"forceOrder","o":{{"s":"XUSDT","q":"{n}","T":{n}}}}}}}'


def okx_frames(n):
    arg = '"arg":{"channel":"books","instId":"X-SWAP"}'
    yield "depth", f'{{{arg},"action":"update","data":[{{"asks":[],"ts":"1","seqId":{n},"prevSeqId":{n - 1}}}]}}'


class Heard:
    def __init__(self):
        self.frames, self.states = [], []

    def listener(self):
        return FeedListener(
            on_frame=lambda _symbol, raw: self.frames.append(raw),
            on_up=lambda symbols, _why: self.states.append(("up", symbols)),
            on_down=lambda symbols, _why: self.states.append(("down", symbols)),
        )

    def numbers(self, kind):
        return [int(NUMBER.search(raw)[1]) for raw in self.frames if kind in raw]


def settings(**link):
    quick = {"first_delay_s": 0.01, "overlap_s": 0.02, "overlap_max_s": 2.0, "tail_s": 0.05, "lifetime_s": 3600.0}
    return FeedSettings(link=LinkSettings(**{**quick, **link}), check_s=0.05, calm_s=0.2, resync_s=0.1)


def one_link(feed, name="public-0"):
    feed.pairs[:] = [pair for pair in feed.pairs if pair.name.partition(".")[0] == name]
    for missing in feed._missing.values():
        missing.intersection_update(feed.pairs)
    return feed


def feed_of(url, heard, venue="binanceusdm", symbol="XUSDT", **link):
    hosts = url if isinstance(url, list) else [url]
    return Feed(venue, hosts, [symbol], heard.listener(), lambda: 2_000_000_000_000_000, settings(**link))


async def test_two_hundred_planned_reconnects_under_load_lose_and_double_nothing():
    market, heard = Market(binance_frames), Heard()
    market.lag_of = lambda order: 0.004 if order % 3 == 1 else 0.0
    async with serving(market) as url:
        feed = one_link(feed_of(url, heard, lifetime_s=0.01, overlap_s=0.01))
        async with running(feed):
            await until(lambda: feed.links[0].rotated >= 200, limit_s=60)
    depth, quotes = heard.numbers(b"depthUpdate"), heard.numbers(b"bookTicker")
    assert depth == list(range(depth[0], depth[0] + len(depth)))
    assert quotes == list(range(quotes[0], quotes[0] + len(quotes)))
    forced = [raw for raw in heard.frames if b"forceOrder" in raw]
    assert len(forced) == len(set(forced)) >= len(depth) - 5
    assert len(depth) > 5_000
    assert feed.links[0].duplicates > 1_000
    assert feed.links[0].lost == 0
    assert heard.states == [("up", ("XUSDT",))]


async def test_a_lost_socket_is_told_and_comes_back():
    market, heard = Market(binance_frames), Heard()
    async with serving(market) as url:
        feed = one_link(feed_of(url, heard))
        async with running(feed):
            await until(lambda: len(heard.frames) > 50)
            market.cut()
            await until(lambda: market.opened == 2 and len(heard.states) == 3)
    assert heard.states == [("up", ("XUSDT",)), ("down", ("XUSDT",)), ("up", ("XUSDT",))]
    assert feed.links[0].lost == 1


async def test_a_dead_primary_fails_over_to_the_backup_and_back():
    market, heard = Market(binance_frames), Heard()
    async with serving(market) as url:
        feed = one_link(feed_of(["ws://127.0.0.1:9", url], heard))
        async with running(feed):
            await until(lambda: len(heard.frames) > 50)
    assert feed.links[0].failed == 1
    assert feed.links[0].plan.url.startswith(url)


async def test_a_successor_that_cannot_be_had_leaves_the_old_socket_alone():
    market, heard = Market(binance_frames), Heard()
    async with serving(market) as url:
        feed = one_link(feed_of([url, "ws://127.0.0.1:9"], heard))
        async with running(feed):
            await until(lambda: len(heard.frames) > 50)
            feed.links[0].rotate(next_host=True)
            await until(lambda: feed.links[0].failed == 1)
            seen = len(heard.frames)
            await until(lambda: len(heard.frames) > seen + 50)
    depth = heard.numbers(b"depthUpdate")
    assert depth == list(range(depth[0], depth[0] + len(depth)))
    assert len(heard.states) == 1


async def test_a_silent_stream_takes_its_symbol_down_and_moves_to_a_new_socket():
    market, heard = Market(binance_frames), Heard()
    async with serving(market) as url:
        quick = FeedSettings(link=settings().link, silence=0.01, check_s=0.05, calm_s=0.2)
        feed = one_link(Feed("binanceusdm", [url], ["XUSDT"], heard.listener(), lambda: 0, quick))
        async with running(feed):
            await until(lambda: len(heard.frames) > 50)
            market.muted.add("depth")
            await until(lambda: heard.states[-1] == ("down", ("XUSDT",)))
            await until(lambda: feed.links[0].rotated >= 1)
            assert not feed.is_up("XUSDT")
            market.muted.clear()
            await until(lambda: heard.states[-1] == ("up", ("XUSDT",)))
    assert feed.silences == 1


async def test_okx_hands_over_without_repeating_the_snapshot_of_the_new_subscription():
    market, heard = Market(okx_frames), Heard()

    def snapshot(_order):
        arg = '"arg":{"channel":"books","instId":"X-SWAP"}'
        return [f'{{{arg},"action":"snapshot","data":[{{"asks":[],"ts":"1","seqId":{market.n},"prevSeqId":-1}}]}}']

    market.on_open = snapshot
    async with serving(market) as url:
        feed = feed_of(url, heard, "okx", "X-SWAP", lifetime_s=0.05, overlap_s=0.03)
        async with running(feed):
            await until(lambda: feed.links[0].rotated >= 5, limit_s=20)
    chain = [int(re.search(rb'"seqId":(\d+)', raw)[1]) for raw in heard.frames]
    assert sum(b"snapshot" in raw for raw in heard.frames) == 1
    steady = chain[chain.index(max(chain[:2])) :]
    assert steady == list(range(steady[0], steady[0] + len(steady)))


async def test_okx_notice_of_an_upgrade_moves_the_link_in_time():
    market, heard = Market(okx_frames), Heard()
    async with serving(market) as url:
        feed = feed_of(url, heard, "okx", "X-SWAP")
        async with running(feed):
            await until(lambda: len(heard.frames) > 20)
            market.say('{"event":"notice","code":"64008","msg":"upgrade in 60 s"}')
            await until(lambda: feed.links[0].rotated == 1)
    assert feed.links[0].lost == 0


async def test_refused_subscriptions_are_kept_for_the_report():
    market, heard = Market(okx_frames), Heard()
    market.on_open = lambda _order: ['{"event":"error","code":"60018","msg":"wrong channel"}']
    async with serving(market) as url:
        feed = feed_of(url, heard, "okx", "X-SWAP")
        async with running(feed):
            await until(lambda: feed.refused)
    assert "60018" in feed.report()["refused"][0]
    assert all(b"60018" not in raw for raw in heard.frames)


async def test_connections_begin_no_faster_than_the_venue_allows():
    limiter, begun = ConnectLimiter(3, 0.2), []

    async def begin():
        await limiter.wait()
        begun.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(begin() for _ in range(8)))
    assert all(later - earlier >= 0.19 for earlier, later in zip(begun, begun[3:], strict=False))


async def test_a_book_is_asked_for_anew_on_the_socket_where_the_venue_wants_it():
    market, heard = Market(okx_frames), Heard()
    async with serving(market) as url:
        feed = feed_of(url, heard, "okx", "X-SWAP")
        async with running(feed):
            await until(lambda: len(heard.frames) > 20)
            assert feed.resync("X-SWAP") and feed.resync("X-SWAP")
            await until(lambda: sum("unsubscribe" in text for text in market.heard) == 1)
    binance = feed_of("ws://127.0.0.1:9", heard)
    assert not binance.resync("XUSDT")


@pytest.mark.parametrize(("venue", "symbol", "ping"), [("okx", "X-SWAP", "ping"), ("bybit", "XUSDT", '{"op":"ping"}')])
async def test_a_quiet_socket_is_kept_alive_by_the_venues_own_ping(venue, symbol, ping):
    market, heard = Market(okx_frames), Heard()
    market.answers[ping] = ["pong" if venue == "okx" else '{"success":true,"ret_msg":"pong","op":"ping"}']
    async with serving(market, is_playing=False) as url:
        feed = feed_of(url, heard, venue, symbol, ping_s=0.05)
        async with running(feed):
            await until(lambda: market.heard.count(ping) >= 5)
    assert feed.links[0].lost == 0
    assert heard.frames == [] and feed.refused == []


async def test_a_socket_that_answers_nothing_is_given_up():
    market, heard = Market(okx_frames), Heard()
    async with serving(market, is_playing=False) as url:
        feed = feed_of(url, heard, "okx", "X-SWAP", ping_s=0.05)
        async with running(feed):
            await until(lambda: feed.links[0].lost >= 1 and market.opened == 2)
    assert ("down", ("X-SWAP",)) in heard.states


async def test_metrics_show_the_feed_and_its_books():
    market, heard = Market(binance_frames), Heard()
    checks = Checks("binanceusdm", ["XUSDT"])
    async with serving(market) as url:
        feed = one_link(feed_of(url, heard, lifetime_s=0.1))
        async with running(feed):
            with serve_metrics(0, FeedMetrics(feed, checks.markets)) as port:
                await until(lambda: feed.links[0].rotated >= 1 and feed.skew == {} and len(heard.frames) > 100)
                for raw in (b'{"e":"depthUpdate"', b'{"e":"kline","s":"XUSDT"}', b'{"e":"trade","s":"XUSDT","t":-5}'):
                    checks.take("XUSDT", 1, raw, decode=True)
                feed.measure()
                text = await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
    samples = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}
    assert samples['cryptoscalp_frames_total{stream="depth",symbol="XUSDT"}'] > 30
    assert samples['cryptoscalp_book_tradable{symbol="XUSDT"}'] == 0.0
    assert samples['cryptoscalp_reconnects_total{kind="planned",link="public-0"}'] >= 1
    assert samples['cryptoscalp_unknown_total{symbol="XUSDT",type="kline"}'] == 1
    assert sum(value for name, value in samples.items() if name.startswith("cryptoscalp_quarantined_total")) == 2


def test_a_taken_metrics_port_is_told_in_one_sentence():
    metrics = FeedMetrics(feed_of("ws://127.0.0.1:9", Heard()), {})
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConnectionRefused, match="cannot be used"),
        serve_metrics(taken.getsockname()[1], metrics),
    ):
        pass
