"""Feeds of two hot lines, and the choice between hosts by score, against a server that misbehaves line by line."""

import asyncio
import contextlib
import socket
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
from feed_server import Market, running, serving, until
from test_feed_link import Heard, one_link, settings

from trader.feed import Feed, FeedListener, FeedSettings
from trader.feeds import link as link_module
from trader.feeds import scores
from trader.feeds.metrics import FeedMetrics, serve_metrics
from trader.feeds.sequence import HotSettings

DEPTH = (
    '{{"stream":"xusdt@depth@0ms","data":{{"e":"depthUpdate","E":1,"T":1,"s":"XUSDT","U":{n},"u":{n},"pu":{before},'
    '"b":[],"a":[]}}}}'
)
QUOTE = (
    '{{"stream":"xusdt@bookTicker","data":{{"e":"bookTicker","u":{n},"s":"XUSDT","b":"1","B":"1","a":"2","A":"1","T":1,'
    '"E":1}}}}'
)


def frames(n):
    yield "depth", DEPTH.format(n=n, before=n - 1)
    yield "quote", QUOTE.format(n=n)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr(scores, "GRACE_NS", 10**8)


def now_ns():
    return 10**18 + int(asyncio.get_running_loop().time() * 1e9)


class Told(Heard):
    def __init__(self):
        super().__init__()
        self.leads = []

    def listener(self):
        heard = super().listener()
        return FeedListener(
            heard.on_frame, heard.on_up, heard.on_down, on_lead=lambda symbols, why: self.leads.append((symbols, why))
        )


def feed_of(hosts, heard, lines=2, books=None, **link):
    quick = settings(**link)
    wanted = FeedSettings(
        lines=lines, link=quick.link, hot=HotSettings(0.1, 1.0), check_s=0.05, calm_s=0.2, resync_s=0.1
    )
    return one_link(Feed("binanceusdm", hosts, ["XUSDT"], heard.listener(), now_ns, wanted, books=books))


@contextlib.asynccontextmanager
async def two_hosts(market):
    async with serving(market) as first, serving(market, is_playing=False) as second:
        yield first, second


def host_of(url):
    return url.removeprefix("ws://")


def whole(numbers):
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_two_lines_on_two_hosts_lose_and_double_nothing_while_each_is_cut_in_turn():
    market, heard = Market(frames), Told()
    async with two_hosts(market) as hosts:
        feed = feed_of(list(hosts), heard)
        async with running(feed):
            await until(lambda: all(link.is_up for link in feed.links) and len(heard.frames) > 50)
            for turn in range(12):
                market.cut(host_of(hosts[turn % 2]))
                lost = turn + 1
                await until(lambda lost=lost: sum(link.lost for link in feed.links) == lost)
                await until(lambda: all(link.is_up for link in feed.links))
                seen = len(heard.frames)
                await until(lambda seen=seen: len(heard.frames) > seen + 100)
    assert whole(heard.numbers(b"depthUpdate")) and whole(heard.numbers(b"bookTicker"))
    assert heard.states == [("up", ("XUSDT",))]
    assert feed.report()["lines"][0]["copies_dropped"] > 500


async def test_two_lines_that_are_also_replaced_all_the_time_lose_and_double_nothing():
    market, heard = Market(frames), Told()
    market.lag_of = lambda order: 0.004 * (order % 3)
    async with two_hosts(market) as hosts:
        feed = feed_of(list(hosts), heard, lifetime_s=0.02, overlap_s=0.01)
        async with running(feed):
            await until(lambda: min(link.rotated for link in feed.links) >= 40, limit_s=30)
    assert whole(heard.numbers(b"depthUpdate")) and whole(heard.numbers(b"bookTicker"))
    assert heard.states == [("up", ("XUSDT",))]


async def test_a_line_that_loses_frames_is_filled_in_loses_the_lead_and_all_is_told():
    market, heard = Market(frames), Told()
    async with two_hosts(market) as hosts:
        feed = feed_of(list(hosts), heard)
        bad = host_of(hosts[0])

        def alter(order, raw):
            number = int(raw.partition('"u":')[2].partition(",")[0])
            return [] if "depth" in raw and number % 40 == 0 and market.host_of[order] == bad else [raw]

        async with running(feed):
            await until(lambda: all(link.is_up for link in feed.links))
            assert [row["leads"] for row in feed.report()["lines"]] == [True, False]
            market.alter = alter
            await until(lambda: heard.leads, limit_s=20)
            with serve_metrics(0, FeedMetrics(feed, {})) as port:
                text = await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
    assert whole(heard.numbers(b"depthUpdate"))
    assert heard.leads[0][0] == ("XUSDT",) and heard.leads[0][1].startswith("public-0.2 leads")
    lines = feed.report()["lines"]
    assert feed.report()["lead_changes"] == 1 and [row["leads"] for row in lines] == [False, True]
    assert lines[0]["score"] < lines[1]["score"] - 0.2
    found = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}
    assert found['cryptoscalp_line_leads{link="public-0.2"}'] == 1.0
    assert found['cryptoscalp_lead_changes_total{link="public-0.1"}'] == 1.0
    source = 'cryptoscalp_source_score{link="%s",stream="depth",symbol="XUSDT"}'
    assert found[source % "public-0.1"] < 0.8 < found[source % "public-0.2"]


async def test_the_line_that_is_left_leads_and_only_without_any_is_the_symbol_down():
    market, heard = Market(frames), Told()
    async with two_hosts(market) as hosts:
        feed = feed_of(list(hosts), heard, first_delay_s=0.3)
        async with running(feed):
            await until(lambda: all(link.is_up for link in feed.links) and len(heard.frames) > 50)
            market.cut(host_of(hosts[0]))
            await until(lambda: heard.leads)
            assert feed.is_up("XUSDT")
            market.cut()
            await until(lambda: not feed.is_up("XUSDT"))
            await until(lambda: feed.is_up("XUSDT") and heard.states[-1][0] == "up")
    assert [state for state, _ in heard.states] == ["up", "down", "up"]


async def test_a_stream_that_is_silent_on_one_line_moves_that_line_and_takes_nothing_down():
    market, heard = Market(frames), Told()
    async with two_hosts(market) as hosts:
        bad = host_of(hosts[1])
        market.alter = lambda order, raw: [] if "depth" in raw and market.host_of[order] == bad else [raw]
        feed = feed_of(list(hosts), heard)
        feed._settings = FeedSettings(lines=2, link=feed._settings.link, silence=0.01, check_s=0.05, calm_s=0.2)
        async with running(feed):
            await until(lambda: feed.links[1].rotated >= 1)
            await until(lambda: feed.links[1].plan.url.startswith(hosts[0]))
    assert feed.links[0].rotated == 0 and feed.silences == 0
    assert heard.states == [("up", ("XUSDT",))]


async def test_a_line_goes_home_once_its_own_host_answers_again(monkeypatch):
    monkeypatch.setattr(link_module, "RETRY_S", 0.3)
    market, heard = Market(frames), Told()
    async with serving(market) as first, contextlib.AsyncExitStack() as later:
        spare = socket.create_server(("127.0.0.1", 0))
        port = spare.getsockname()[1]
        spare.close()
        feed = feed_of([first, f"ws://127.0.0.1:{port}"], heard)
        async with running(feed):
            await until(lambda: all(link.is_up and link.plan.url.startswith(first) for link in feed.links))
            second = await later.enter_async_context(serving(market, is_playing=False, port=port))
            await until(lambda: feed.links[1].plan.url.startswith(second))
    assert whole(heard.numbers(b"depthUpdate")) and feed.links[0].rotated == 0


@pytest.mark.parametrize("gaps_grow", [True, False])
async def test_one_line_goes_to_the_next_host_when_its_score_says_so(gaps_grow):
    market, heard, book = Market(frames), Told(), SimpleNamespace(gaps=0, reasons={})
    async with two_hosts(market) as hosts:
        feed = feed_of(list(hosts), heard, lines=1, books={"XUSDT": book})
        async with running(feed):
            await until(lambda: len(heard.frames) > 50)
            book.gaps += 3 * gaps_grow
            if gaps_grow:
                await until(lambda: feed.links[0].rotated == 1)
            await asyncio.sleep(0.6)
    assert feed.links[0].plan.url.startswith(hosts[1] if gaps_grow else hosts[0])
    assert feed.report()["left_for_score"] == feed.links[0].rotated == int(gaps_grow)
    assert whole(heard.numbers(b"depthUpdate")) and feed.report()["lines"][0]["score"] > 0.9
