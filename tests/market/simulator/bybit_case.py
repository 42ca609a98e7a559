"""A Bybit face around the small market made by hand, without a server: sockets keep what they are sent."""

import json
from decimal import Decimal

from market.simulator.binance_auth import Credentials
from market.simulator.bybit_exchange import BybitExchange
from market.simulator.bybit_face import BybitFace
from market.simulator.bybit_hub import BybitHub
from market.simulator.bybit_kit import EventsOnly
from market.simulator.hub import Socket
from market.simulator.player import Player
from tests.market.simulator.cases import SYMBOL, instrument, snapshot

KEYS = Credentials("the-key", "the-secret")
BIDS = [(1000, 500), (999, 1000), (990, 5000)]
ASKS = [(1001, 800), (1002, 1000), (1010, 5000)]


class KeptSocket(Socket):
    """A connection whose messages stay here."""

    def __init__(self):
        super().__init__(ws=None, transport=None, is_wrapped=False)
        self.messages = []

    def write(self, payload):
        self.messages.append(json.loads(payload))

    def flush(self, delay_s=0.0):
        pass

    def take(self):
        taken, self.messages = self.messages, []
        return taken


def face(wallet=10_000, **changes):
    """A face whose book stands; its clock is that of the events it is given."""
    exchange = BybitExchange([instrument(**changes)], Decimal(wallet), 20, lambda _report: None)
    hub = BybitHub()
    made = BybitFace(exchange, Player(iter(()), exchange, hub, 1.0, 0, EventsOnly()), hub, KEYS)
    exchange.on_event(snapshot(10, BIDS, ASKS))
    return made


def listen(made, *names):
    """A market socket that subscribed to these topics."""
    socket = KeptSocket()
    for name in names:
        channel, _, symbol = name.rpartition(".")
        made.hub.subscribe(socket, (symbol, channel), name)
        made.stream.greet(socket, (symbol, channel))
    return socket


def user(made, *topics):
    """A user socket that subscribed to these account topics."""
    socket = KeptSocket()
    socket.names.update(topics)
    made.hub.users.add(socket)
    return socket


def order(**fields):
    """Parameters of a limit order, as JSON bodies carry them."""
    base = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.100"}
    return base | {"price": "100.0"} | fields
