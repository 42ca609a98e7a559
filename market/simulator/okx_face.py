"""What OKX's REST and WebSocket faces share: the exchange, its contracts, the account's keys, and who listens to it."""

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from market.simulator import okx_rows as rows
from market.simulator.errors import Reason, Reject
from market.simulator.hub import Socket
from market.simulator.okx_algo_rows import algo_row
from market.simulator.okx_auth import ApiError, Credentials
from market.simulator.okx_contracts import Contract
from market.simulator.okx_exchange import OkxExchange
from market.simulator.okx_hub import OkxHub
from market.simulator.okx_limits import Limits
from market.simulator.okx_messages import Json, ms
from market.simulator.orders import Order
from market.simulator.player import Player
from market.simulator.reports import AccountReport, Cause, OrderReport, Report, Stop, StopReport, StopStatus

KEEP_ALIVE_S: Final = 60.0
NOTICE_S: Final = 60.0
NOTICE: Final = "The connection will soon be closed for a service upgrade. Please reconnect."
PARAMETER: Final = "51000"
CODES: Final[dict[Reason, tuple[str, str]]] = {
    Reason.UNKNOWN_SYMBOL: ("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
    Reason.PRECISION: ("51121", "Order quantity must be a multiple of the lot size."),
    Reason.PX_TICK: (PARAMETER, "Parameter px error: not a multiple of the tick size"),
    Reason.PX_RANGE: (PARAMETER, "Parameter px error"),
    Reason.PX_BAND: ("51006", "Order price is not within the price limit (max buy price)."),
    Reason.PX_BAND_LOW: ("51006", "Order price is not within the price limit (min sell price)."),
    Reason.QTY_STEP: ("51121", "Order quantity must be a multiple of the lot size."),
    Reason.QTY_MIN: ("51020", "Your order should meet or exceed the minimum order amount."),
    Reason.QTY_MAX: ("51101", "Entered amount exceeds the max pending order amount (Cont) per transaction."),
    Reason.NOTIONAL: ("51020", "Your order should meet or exceed the minimum order amount."),
    Reason.MARGIN: ("51008", "Order failed. Insufficient margin in account."),
    Reason.REDUCE_ONLY: (
        "51169",
        "Order failed because you don't have any positions in this direction to reduce or close.",
    ),
    Reason.POST_ONLY: (PARAMETER, "Parameter newPx error: the post-only order would take"),
    Reason.FILL_OR_KILL: (PARAMETER, "Parameter sz error"),
    Reason.DUPLICATE_ID: ("51016", "Client order ID already exists."),
    Reason.TOO_MANY_ORDERS: ("51174", "The number of pending orders reached the upper limit of 500 (orders)."),
    Reason.UNKNOWN_ORDER: ("51400", "Cancellation failed as the order has been filled, canceled or does not exist."),
    Reason.NO_SUCH_ORDER: ("51603", "Order does not exist"),
    Reason.WOULD_TRIGGER: ("51280", "The trigger price is reached already."),
    Reason.NOT_AMENDABLE: ("51506", "Order modification unsupported for this order."),
    Reason.NO_CHANGE: ("51500", "You must enter a price, quantity, or TP/SL to modify."),
    Reason.LEVERAGE: ("59102", "Leverage exceeds the maximum limit. Please lower the leverage."),
    Reason.OPEN_ORDERS: ("59000", "Your settings failed as you have positions or open orders."),
    Reason.OPEN_POSITIONS: ("59000", "Your settings failed as you have positions or open orders."),
    Reason.POSITION_SIDE: (PARAMETER, "Parameter posSide error"),
    Reason.POSITION_CAP: ("51004", "Order failed. The position would exceed the maximum of its leverage."),
    Reason.ADD_MARGIN: ("59301", "Margin adjustment failed for exceeding the max limit."),
}
EVENTS: Final = {
    "trade": "filled",
    "funding": "funding_fee",
    "margin": "adjust_margin",
    "margin_mode": "adjust_margin",
    "insurance": "claw_back",
}
PUSHED_STOPS: Final = (StopStatus.NEW, StopStatus.FINISHED, StopStatus.CANCELED, StopStatus.REJECTED)


def api_error(reject: Reject) -> ApiError:
    """A refusal of the exchange in OKX's codes."""
    return ApiError(*CODES[reject.reason])


class Session:
    """One WebSocket connection: where it connected, whether it logged in, and its account channels."""

    def __init__(self, socket: Socket, section: str, conn_id: str) -> None:
        self.socket, self.section, self.conn_id = socket, section, conn_id
        self.is_logged_in = False
        self.args: dict[str, Json] = {}
        self.due_s = float("inf")

    def send(self, content: Any) -> None:
        """Write one message at once."""
        self.socket.write(msgspec.json.encode(content))
        self.socket.flush()


class OkxFace:
    """State of the OKX protocol around one exchange."""

    def __init__(self, exchange: OkxExchange, player: Player, hub: OkxHub, credentials: Credentials) -> None:
        self.exchange, self.player, self.hub, self.credentials = exchange, player, hub, credentials
        self.contracts = hub.contracts
        self.codes = {contract.code: contract for contract in self.contracts.values()}
        self.limits = Limits()
        self.unknown_orders = 0
        self.sessions: dict[str, Session] = {}
        self.traded: dict[int, rows.Traded] = {}
        self.tags: dict[str, str] = {}
        self.attached: dict[int, list[Json]] = {}
        self.events_sent: dict[str, int] = {}
        self._alive = dict.fromkeys(self.contracts, (0, 0.0))
        exchange.emit = self.report

    def contract(self, inst_id: str) -> Contract:
        contract = self.contracts.get(inst_id)
        if contract is None:
            raise api_error(Reject(Reason.UNKNOWN_SYMBOL))
        return contract

    # -- what happens to the account ----------------------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """Tell the account's channels what changed."""
        if isinstance(report, OrderReport):
            self._on_order(report)
        elif isinstance(report, AccountReport):
            self._on_account(report)
        elif isinstance(report, StopReport) and report.stop.status in PUSHED_STOPS:
            contract = self.contracts[report.stop.request.symbol]
            self.tell("orders-algo", contract, lambda: [algo_row(self.exchange, contract, report.stop)])

    def _on_order(self, report: OrderReport) -> None:
        order, fill = report.order, report.fill
        self.exchange.source_of(order)  # noted now, while it is known what ended it
        contract = self.contracts[order.symbol]
        if fill is not None:
            self.traded.setdefault(order.order_id, rows.Traded()).add(fill)
            self.tell("fills", contract, lambda: [rows.fills_push_row(self.exchange, contract, fill)])
        self.tell("orders", contract, lambda: [self.order_row(order.order_id)])
        self._place_attached(order)

    def attach(self, order: Order, attached: list[Json]) -> None:
        """Keep an order's stop-loss and take-profit until it is done; one that is done already is protected now."""
        self.attached[order.order_id] = attached
        self._place_attached(order)

    def _place_attached(self, order: Order) -> None:
        from market.simulator.okx_algos import place_attached

        if order.is_open or order.order_id not in self.attached:
            return
        attached = self.attached.pop(order.order_id)
        if order.filled_lots:
            place_attached(self, order, attached)

    def _on_account(self, report: AccountReport) -> None:
        contract = self.contracts[report.symbol]
        self.exchange.refresh_marks()
        self.tell("account", None, lambda: [rows.balance_row(self.exchange)])
        self.tell("positions", contract, lambda: [rows.position_row(self.exchange, contract, report.leg)])
        # funding of a cross position changes the balance alone
        is_cash = report.cause is Cause.FUNDING and not self.exchange.account.is_isolated[report.symbol]
        changed = [] if is_cash else [contract]
        self.tell("balance_and_position", None, lambda: [self.summary(changed, report.cause.value.lower())])

    def order_row(self, order_id: int) -> Json:
        """An order as the venue shows it."""
        order = self.exchange.orders[order_id]
        traded, tag = self.traded.get(order_id, rows.Traded()), self.tags.get(order.client_id, "")
        return rows.order_row(self.exchange, self.contracts[order.symbol], order, traded, tag)

    def summary(self, contracts: list[Contract], event: str) -> Json:
        """A row of ``balance_and_position``."""
        balance = rows.balance_row(self.exchange)["details"][0]
        names = (
            "posId",
            "instId",
            "instType",
            "mgnMode",
            "posSide",
            "pos",
            "ccy",
            "posCcy",
            "avgPx",
            "tradeId",
            "uTime",
        )
        positions = rows.position_rows(self.exchange, contracts, with_flat=event != "snapshot")
        return {
            "pTime": ms(self.exchange.now_ns),
            "eventType": EVENTS.get(event, event),
            "balData": [{name: balance[name] for name in ("ccy", "cashBal", "uTime")}],
            "posData": [{name: row[name] for name in names} for row in positions],
            "trades": [],
        }

    def tell(self, channel: str, contract: Contract | None, build: Callable[[], list[Json]]) -> None:
        """Push rows to everyone subscribed to an account channel of this contract; built only when someone is."""
        data: list[Json] | None = None
        for session in list(self.sessions.values()):
            for arg in session.args.values():
                if arg["channel"] == channel and _covers(arg, contract):
                    data = build() if data is None else data
                    session.send({"arg": arg, "data": data})
                    self.events_sent[channel] = self.events_sent.get(channel, 0) + 1

    # -- time and faults ----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let time-outs happen: announced disconnections, and signs of life of quiet books."""
        now_s = time.monotonic()
        self._close_due(now_s)
        for symbol, chain in self.hub.chains.items():
            last_id, since_s = self._alive[symbol]
            if chain.last_id != last_id or now_s - since_s >= KEEP_ALIVE_S:
                self._alive[symbol] = (chain.last_id, now_s)
                if chain.last_id == last_id:
                    self.hub.keep_alive(symbol)

    def notice(self) -> int:
        """Announce a service upgrade to every connection, as the venue does a minute before it closes them."""
        for session in self.sessions.values():
            session.send({"event": "notice", "code": "64008", "msg": NOTICE, "connId": session.conn_id})
            session.due_s = time.monotonic() + NOTICE_S
        return len(self.sessions)

    def _close_due(self, now_s: float) -> None:
        for session in [one for one in self.sessions.values() if one.due_s <= now_s]:
            session.socket.drop()

    # -- what the server that runs it asks for -------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """Every path of the venue."""
        from market.simulator import okx_rest, okx_ws

        return [web.get(okx_ws.PATH, okx_ws.handler(self)), web.route("*", okx_rest.PATH, okx_rest.handler(self))]

    def keys(self) -> dict[str, str | None]:
        """The account's keys for the ready line."""
        keys = self.credentials
        return {"api_key": keys.api_key, "secret": keys.secret, "password": keys.passphrase}

    def expire_sessions(self) -> None:
        """OKX has no listen keys; what ends a login is a service upgrade, announced before it comes."""
        self.notice()

    def order_record(self, order: Order) -> Json:
        return self.order_row(order.order_id)

    def stop_record(self, stop: Stop) -> Json:
        return algo_row(self.exchange, self.contracts[stop.request.symbol], stop)


def _covers(arg: Json, contract: Contract | None) -> bool:
    if contract is None:
        return True
    return (
        arg.get("instType", "SWAP") in ("SWAP", "ANY")
        and arg.get("instId", contract.inst_id) == contract.inst_id
        and arg.get("instFamily", contract.family) == contract.family
    )
