"""Faults planted into market messages, and the streams made of a market's state."""

import itertools

import msgspec
import pytest

from market.simulator.binance_hub import BinanceHub
from market.simulator.binance_streams import BinanceStreams
from market.simulator.exchange import Exchange
from market.simulator.faults import Faults
from market.tape import Frame
from tests.market.simulator.cases import SYMBOL, instrument
from tests.market.simulator.server import START_NS, frames

TOPIC, OTHER = (SYMBOL, "depth"), (SYMBOL, "bookTicker")


def sent(faults, messages, topic=TOPIC):
    return [data for message in messages for data in faults.alter(topic, message)]


def test_nothing_planted_changes_nothing():
    assert sent(Faults(), [1, 2, 3]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        ("drop", 2, [3, 4, 5]),
        ("gap", 1, [2, 3, 4, 5]),
        ("duplicate", 2, [1, 1, 2, 2, 3, 4, 5]),
        ("reorder", 1, [2, 1, 3, 4, 5]),
        ("reorder", 2, [1, 3, 2, 4, 5]),
    ],
)
def test_each_fault_harms_as_many_messages_as_planted(kind, count, expected):
    faults = Faults()
    getattr(faults, kind)[SYMBOL] += count
    assert sorted(set(sent(faults, [1, 2, 3, 4, 5]))) == sorted(set(expected))
    assert not any(counts[SYMBOL] for counts in (faults.drop, faults.gap, faults.duplicate, faults.reorder))


def test_messages_are_swapped_or_late_by_as_many_as_asked():
    faults = Faults()
    faults.reorder[SYMBOL] = 1
    assert sent(faults, [1, 2, 3]) == [2, 1, 3]
    faults.late_by, faults.reorder[SYMBOL] = 3, 1
    assert sent(faults, [1, 2, 3, 4, 5]) == [2, 3, 4, 1, 5]


def test_gap_hits_only_streams_with_a_sequence_and_faults_only_their_symbol():
    faults = Faults()
    faults.gap[SYMBOL] = faults.drop["OTHER"] = 1
    assert sent(faults, [1], OTHER) == [1]
    assert sent(faults, [1, 2], TOPIC) == [2]


class Venue:
    """Binance's streams over the hand-made market, listened to by a list."""

    def __init__(self, *topics):
        self.hub, self.received = BinanceHub(), []
        self.exchange = Exchange([instrument()], 10_000, 20, lambda _report: None)
        self.streams = BinanceStreams(self.exchange, self.hub)
        for topic in topics:
            self.hub.subscribe(Ear(self.received), topic, topic[1])

    def play(self, seconds=2.0, until=None):
        for number, (recv_ns, raw) in enumerate(frames(seconds)):
            if until is not None and number == until:
                return
            frame = Frame(recv_ns, raw, SYMBOL)
            events = self.streams.read(frame)
            for event in events:
                self.exchange.on_event(event)
            for topic, data in self.streams.messages(frame, events):
                self.hub.publish(topic, data)


class Ear:
    """A socket that keeps what it hears."""

    is_wrapped = False

    def __init__(self, heard):
        self.names, self.heard = set(), heard

    def write(self, payload):
        self.heard.append(msgspec.json.decode(payload))


def test_reset_starts_update_ids_anew_from_the_next_depth_message_on():
    venue = Venue(TOPIC, OTHER)
    venue.play(until=20)
    before = [message["u"] for message in venue.received]
    venue.hub.reset(SYMBOL)
    venue.received.clear()
    venue.play()
    deltas = [message for message in venue.received if message["e"] == "depthUpdate"]
    quotes = [message for message in venue.received if message["e"] == "bookTicker"]
    assert min(before) > 1000
    assert (deltas[0]["pu"], deltas[0]["U"]) == (1, 2)
    assert all(after["pu"] == delta["u"] for delta, after in itertools.pairwise(deltas))
    assert quotes[-1]["u"] <= deltas[-1]["u"] < 1000


@pytest.mark.parametrize(
    ("topic", "check"),
    [
        ((SYMBOL, "depth5"), lambda m: len(m["b"]) == 4 and m["b"][0] == ["100.0", m["b"][0][1]]),
        ((SYMBOL, "ticker"), lambda m: (m["e"], m["c"], m["s"]) == ("24hrTicker", "100", SYMBOL)),
        ((SYMBOL, "miniTicker"), lambda m: (m["e"], m["h"]) == ("24hrMiniTicker", "100")),
        (("*", "bookTicker"), lambda m: (m["e"], m["b"]) == ("bookTicker", "100.00")),
        (("*", "ticker"), lambda m: [row["s"] for row in m] == [SYMBOL]),
        ((SYMBOL, "kline_1m"), lambda m: (m["k"]["i"], m["k"]["c"], m["k"]["x"]) == ("1m", "100.0", False)),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_streams_of_state_say_what_the_market_shows(topic, check):
    venue = Venue(topic)
    venue.play()
    assert venue.received
    assert all(check(message) for message in venue.received), venue.received[0]


@pytest.mark.parametrize(("channel", "at_most"), [("depth5", 20), ("ticker", 1), ("miniTicker", 4), ("kline_1m", 8)])
def test_streams_of_state_keep_their_pace(channel, at_most):
    venue = Venue((SYMBOL, channel))
    venue.play(2.0)
    assert 1 <= len(venue.received) <= at_most


def test_nothing_is_made_that_nobody_listens_to():
    venue = Venue()
    raw = [raw for _, raw in frames(1.0)]
    made = [list(venue.streams.messages(f, venue.streams.read(f))) for f in (Frame(START_NS, r, SYMBOL) for r in raw)]
    assert max(len(messages) for messages in made) == 1
