"""What Bybit's REST and WebSocket faces share: the exchange, its time, the account's keys, user events, faults."""

from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import web

from market.simulator import bybit_messages as messages
from market.simulator import bybit_rest, bybit_stops, bybit_ws
from market.simulator.account import ZERO
from market.simulator.binance_auth import Credentials
from market.simulator.bybit_auth import BybitError
from market.simulator.bybit_exchange import BybitExchange
from market.simulator.bybit_hub import BybitHub
from market.simulator.bybit_limits import Limits
from market.simulator.bybit_messages import UNNAMED, Json
from market.simulator.bybit_positions import funding_row, position_row, wallet_row
from market.simulator.bybit_stream import Stream
from market.simulator.errors import Reject
from market.simulator.orders import Fill, Leg, Order
from market.simulator.player import Player
from market.simulator.reports import (
    AccountReport,
    Cause,
    ConfigReport,
    OrderReport,
    Report,
    Stop,
    StopReport,
    StopStatus,
)


class BybitFace:
    """State of the Bybit v5 protocol (unified account, linear contracts) around one exchange."""

    def __init__(self, exchange: BybitExchange, player: Player, hub: BybitHub, credentials: Credentials) -> None:
        self.exchange, self.player, self.hub, self.credentials = exchange, player, hub, credentials
        self.limits = Limits()
        self.stream = Stream(exchange, hub)
        self.unknown_orders = 0
        self.events_sent: dict[str, int] = {}
        self.executions: list[Json] = []
        self.attached: dict[str, Json] = {}
        self.stops: dict[str, Stop] = {}
        self.fees: dict[int, Decimal] = {}
        self.todo: list[Callable[[], object]] = []
        self._numbers = count(1)
        exchange.emit, exchange.listener = self.report, self.stream.on_event
        hub.before_flush, hub.on_reset = self._before_flush, self.stream.reset

    def _before_flush(self) -> None:
        """After each round of the player: what a fill started, then what became due on the streams."""
        todo, self.todo = self.todo, []
        for action in todo:
            try:
                action()
            except (Reject, BybitError):
                continue  # the position it was for is gone, or its price is beyond the limit already
        self.stream.flush(self.player.tape_now())

    def unnamed(self) -> str:
        """A client id for an order whose client gave none; never shown."""
        return f"{UNNAMED}{next(self._numbers)}"

    # -- user events --------------------------------------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """Send a report of the exchange to the user streams."""
        if isinstance(report, OrderReport):
            if report.fill is not None:
                self._executed(report.order, report.fill)
            if not report.order.is_open:
                self.attached.pop(report.order.client_id, None)
            self._tell("order", [self.order_row(report.order)])
        elif isinstance(report, AccountReport):
            self._account_changed(report)
        elif isinstance(report, StopReport):
            self.stops[report.stop.request.client_id] = report.stop
            if report.stop.status is not StopStatus.FINISHED:
                self._tell("order", [messages.stop_row(self.exchange, report.stop)])
        elif isinstance(report, ConfigReport):
            self._tell("position", self._positions(report.symbol))

    def _account_changed(self, report: AccountReport) -> None:
        self.exchange.refresh_marks()
        if report.cause is Cause.FUNDING:
            row = funding_row(self.exchange, report)
            self.executions.append(row)
            self._tell("execution", [row])
        self._tell("position", [position_row(self.exchange, report.symbol, report.leg)])
        self._tell("wallet", [wallet_row(self.exchange)])

    def _positions(self, symbol: str) -> list[Json]:
        self.exchange.refresh_marks()
        return [position_row(self.exchange, symbol, leg) for leg, _ in self.exchange.account.legs(symbol)]

    def _executed(self, order: Order, fill: Fill) -> None:
        self.fees[order.order_id] = self.fees.get(order.order_id, ZERO) + fill.fee
        held = self.exchange.account.position(order.symbol, fill.leg).lots
        before = held - fill.side * fill.lots
        closed = min(fill.lots, abs(before)) if before * fill.side < 0 else 0
        row = messages.execution_row(self.exchange, order, fill, self.order_id(order), closed)
        self.executions.append(row)
        self._tell("execution", [row])
        if held == 0:
            self.todo.append(lambda: self._end_limits(order.symbol, fill.leg))
        elif order.client_id in self.attached:
            self._attach(order, fill.leg)

    def _attach(self, order: Order, leg: Leg) -> None:
        limits = self.attached.pop(order.client_id)
        self.todo.append(lambda: bybit_stops.set_limits(self, order.symbol, leg, limits))

    def _end_limits(self, symbol: str, leg: Leg) -> None:
        """Take-profit and stop-loss end with their position."""
        if self.exchange.account.position(symbol, leg).lots:
            return
        for stop in list(self.exchange.stops.waiting.values()):
            if stop.closes and stop.request.symbol == symbol and stop.request.leg is leg:
                self.exchange.stops.cancel(stop.stop_id, None)

    def _tell(self, topic: str, rows: list[Json]) -> None:
        self.events_sent[topic] = self.events_sent.get(topic, 0) + 1
        envelope: dict[str, Any] = {"id": str(uuid4()), "topic": topic, "creationTime": self.wall_ms(), "data": rows}
        self.hub.tell(topic, msgspec.json.encode(envelope))

    # -- orders as Bybit sees them ------------------------------------------------------------------------------------

    def order_id(self, order: Order) -> str:
        """Id of an order; one that a conditional order placed keeps that one's id."""
        stop = self.stops.get(order.client_id)
        return messages.public_id(order.order_id if stop is None else stop.stop_id)

    def order_row(self, order: Order) -> Json:
        fee = self.fees.get(order.order_id, ZERO)
        return messages.order_row(self.exchange, order, self.stops.get(order.client_id), fee)

    # -- what the server asks of a face -------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """Every path of the venue, REST and WebSocket."""
        return [*bybit_ws.routes(self), *bybit_rest.routes(self)]

    def keys(self) -> dict[str, str | None]:
        return {"api_key": self.credentials.api_key, "secret": self.credentials.secret, "password": None}

    def tick(self) -> None:
        """Nothing times out here but what the player drives."""

    def expire_sessions(self) -> None:
        """Log-ins end with their connection, so the venue breaks it."""
        for socket in list(self.hub.users):
            socket.drop()

    def order_record(self, order: Order) -> Json:
        return self.order_row(order)

    def stop_record(self, stop: Stop) -> Json:
        return messages.stop_row(self.exchange, stop)

    def wall_ms(self) -> int:
        """The venue's wall clock (ms), which signatures are checked against; market events keep the recording's."""
        return self.player.wall_ns() // 1_000_000
