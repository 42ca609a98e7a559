"""The decision core: ``step(input) -> outputs``, straight down, no clock, no I/O. Live and replay run this same code.

A market frame updates book and features and may ask for a score; the score's return is the decision: strategy, risk
gate, orders. Fills change the ledger. Time passes only through the inputs' ``ts_ns``.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from market.instruments import Instrument
from risk.gate import check
from risk.types import Decision, Intent, Verdict
from trader.accounts import Books, account_view, market_view, strategy_view
from trader.execution import Status, WorkingOrder
from trader.market_state import Tick
from trader.quoting import plan
from trader.records import (
    AccountSnapshot,
    AccountUpdate,
    CancelOrder,
    Control,
    DecisionRecord,
    FetchFills,
    FrameIn,
    Input,
    MarketInfo,
    OpenOrder,
    Order,
    OrderReply,
    OrderSent,
    OrderUpdate,
    Output,
    QueryOrder,
    RequestScore,
    Resync,
    ScoreIn,
    Start,
    Timer,
    WalletChange,
)
from trader.strategies.exits import exit_intent
from trader.strategies.market_making import quotes
from trader.strategies.momentum import entry
from trader.view import Score, View

_SECOND: Final = 1_000_000_000
_REPLY_TIMEOUT_NS: Final = 5 * _SECOND
# a request may still be under way for its receive window: only after that does "no such order" mean that it never was
_ABSENT_NS: Final = 6 * _SECOND
_FILLS_EVERY_NS: Final = 2 * _SECOND
_OVERLAP_MS: Final = 60_000


class Engine:
    """State of one run, built from its ``Start`` record; ``step`` is the only way to change it.

    ``mode`` is "running", "soft" (no new risk), or "hard" (cancel and flatten); a kill is never undone within a run.
    """

    def __init__(self, start: Start) -> None:
        self.start = start
        self.books = Books(start)
        self.mode = "running"
        self.decisions = 0
        self.orders_sent = 0
        self._requests = 0
        self._pending: dict[str, tuple[int, Tick]] = {}
        self._sent_ns: dict[tuple[str, int], int] = {}
        self._resync_ns: dict[str, int] = {}
        self._query_ns: dict[str, int] = {}
        self._fills_ns: dict[str, int] = {}
        self._was_up = False
        self._handlers: dict[type, Callable[..., list[Output]]] = {
            FrameIn: self._on_frame,
            ScoreIn: self._on_score,
            OrderReply: self._on_reply,
            OrderUpdate: self._on_update,
            OrderSent: lambda _: [],
            MarketInfo: self._on_info,
            AccountSnapshot: self._on_account,
            AccountUpdate: self._on_told,
            WalletChange: self._on_wallet,
            Timer: self._on_timer,
            Control: self._on_control,
        }

    def step(self, event: Input) -> list[Output]:
        """Consume one input; the outputs are to be carried out (live) or compared (replay), in order."""
        return self._handlers[type(event)](event)

    def _on_frame(self, event: FrameIn) -> list[Output]:
        market = self.books.markets.get(event.symbol)
        if market is None or not market.on_frame(event.raw, event.ts_ns):
            return []
        self.books.observe(market, event.ts_ns)
        outputs = self._urgent_exit(event.symbol, event.ts_ns)
        if event.symbol not in self._pending and market.warm and market.tick is not None:
            self._requests += 1
            self._pending[event.symbol] = (self._requests, market.tick)
            self.books.watch_row(market)
            outputs.append(RequestScore(self._requests, event.symbol, market.tick.tick_ns, market.window()))
        return outputs

    def _on_score(self, event: ScoreIn) -> list[Output]:
        pending = self._pending.get(event.symbol)
        if pending is None or pending[0] != event.request_id:
            return []
        del self._pending[event.symbol]
        return self._decide(event.symbol, event.ts_ns, pending[1], event.score, event.refusal)

    def _urgent_exit(self, symbol: str, ts_ns: int) -> list[Output]:
        """Exits wait for no model: every new quote of a held symbol may close the position."""
        if not self.books.holds(symbol) or self._has_exit(symbol) or not self._needs_exit(symbol):
            return []
        return self._decide(symbol, ts_ns, self._tick(symbol), None, "exit")

    def _decide(self, symbol: str, ts_ns: int, tick: Tick, score: Score | None, refusal: str) -> list[Output]:
        """One decision: wanted intents, the gate's verdicts, and the orders that follow; always recorded."""
        view = strategy_view(self.books, symbol, score)
        intents = self._wanted(view) if view is not None else ()
        outputs: list[Output] = []
        verdicts: list[tuple[Verdict, ...]] = []
        client_ids: list[str] = []
        wanted = plan(intents, self.books.orders.of(symbol), self.books.markets[symbol].instrument)
        kept = {id(intent): order for intent, order in wanted.keep}
        outputs += [self._cancel(order, ts_ns) for order in wanted.cancel]
        for intent in intents:
            decision, client_id, actions = self._act(intent, kept.get(id(intent)), intent in wanted.send, ts_ns)
            verdicts.append(decision.verdicts)
            client_ids.append(client_id)
            outputs += actions
        self.decisions += 1
        record = DecisionRecord(
            seq=self.decisions,
            ts_ns=ts_ns,
            symbol=symbol,
            tick_ns=tick.tick_ns,
            features=tick.features,
            score=score,
            refusal=refusal,
            regime=self.books.risk[symbol].regime.value,
            intents=tuple(_describe(i) for i in intents),
            verdicts=tuple(verdicts),
            client_ids=tuple(client_ids),
        )
        return [record, *outputs]

    def _wanted(self, view: View) -> tuple[Intent, ...]:
        """What the strategies want now. An exit replaces all entries of its symbol; a killed trader only exits."""
        config = self.start.config
        if self.mode == "hard":
            return _flatten(view)
        leave = exit_intent(view, config.exits)
        if leave is not None:
            return (leave,)
        if self.mode == "soft":
            return ()
        lead = entry(view, config.momentum)
        return (lead,) if lead is not None else quotes(view, config.market_making)

    def _act(
        self, intent: Intent, kept: WorkingOrder | None, send: bool, ts_ns: int
    ) -> tuple[Decision, str, list[Output]]:
        """Gate one intent; returns the decision, the client id that expresses it ("" for none) and what to do."""
        market = self.books.markets[intent.symbol]
        account = account_view(self.books, leave_out=kept)
        decision = check(intent, account, market_view(self.books, intent, ts_ns), self.start.config.limits)
        if kept is not None:
            if decision.allowed:
                return decision, kept.order.client_id, []
            return decision, "", [self._cancel(kept, ts_ns)] if kept.status is Status.OPEN else []
        lots = min(market.instrument.lots_floor(decision.qty), market.instrument.max_lots) if decision.allowed else 0
        if not send or lots < _fewest_lots(intent, market.instrument) or self._too_soon(intent, ts_ns):
            return decision, "", []
        order = self._new_order(intent, lots)
        self._sent_ns[intent.symbol, intent.side] = ts_ns
        self.books.orders.add(order, market.instrument.qty(lots), ts_ns)
        return decision, order.client_id, [order]

    def _too_soon(self, intent: Intent, ts_ns: int) -> bool:
        """Entries of one side keep a minimum distance in time: the venue's order budget is finite."""
        last = self._sent_ns.get((intent.symbol, intent.side))
        return not intent.reduce_only and last is not None and ts_ns - last < self.start.config.requote_ms * 1_000_000

    def _new_order(self, intent: Intent, lots: int) -> Order:
        self.orders_sent += 1
        instrument = self.books.markets[intent.symbol].instrument
        return Order(
            client_id=client_id(self.start.run_id, self.orders_sent),
            symbol=intent.symbol,
            side=intent.side,
            lots=lots,
            px_ticks=instrument.ticks(intent.px) if intent.post_only else None,
            post_only=intent.post_only,
            reduce_only=intent.reduce_only,
            strategy=intent.strategy,
        )

    def _cancel(self, order: WorkingOrder, ts_ns: int) -> CancelOrder:
        order.move("cancel_requested", ts_ns)
        return CancelOrder(order.order.client_id, order.order.symbol)

    def _cancel_all(self, symbol: str, ts_ns: int) -> list[Output]:
        return [self._cancel(o, ts_ns) for o in self.books.orders.of(symbol) if o.status is Status.OPEN]

    def _has_exit(self, symbol: str) -> bool:
        return any(o.order.reduce_only for o in self.books.orders.of(symbol))

    def _tick(self, symbol: str) -> Tick:
        tick = self.books.markets[symbol].tick
        return tick if tick is not None else Tick(tick_ns=0, event_ns=0, features=())

    def _on_reply(self, event: OrderReply) -> list[Output]:
        if event.outcome == "absent":
            return self._on_absent(event)
        order = self.books.orders.on_reply(event)
        if order is not None and order.status is Status.UNKNOWN:
            return self._query(order, event.ts_ns)
        return []

    def _on_update(self, event: OrderUpdate) -> list[Output]:
        _, fresh = self.books.orders.on_update(event)
        if fresh:
            self.books.on_fill(event)
        return []

    def _on_absent(self, event: OrderReply) -> list[Output]:
        """The venue has no such order: it never had, unless the request may still be on its way."""
        order = self.books.orders.get(event.client_id)
        if order is not None and event.ts_ns - order.sent_ns >= _ABSENT_NS:
            self.books.orders.on_reply(msgspec.structs.replace(event, outcome="rejected"))
        return []

    def _on_info(self, event: MarketInfo) -> list[Output]:
        self.books.volumes[event.symbol] = event.volume_24h_usd
        return []

    def _on_account(self, event: AccountSnapshot) -> list[Output]:
        self.books.reconcile(event)
        outputs = [o for symbol in self.books.differing(event) for o in self._fetch_fills(symbol, event.ts_ns)]
        if event.open_orders is not None:
            outputs += self._match_orders(event.open_orders, event.ts_ns)
        return outputs

    def _on_told(self, event: AccountUpdate) -> list[Output]:
        self.books.told(event)
        return []

    def _on_wallet(self, event: WalletChange) -> list[Output]:
        self.books.ledger.settle(event.change)
        return []

    def _catch_up(self, ts_ns: int) -> list[Output]:
        """The user stream is back: what became of our orders, and which trades were missed?"""
        outputs: list[Output] = [o for w in self.books.orders.live.values() for o in self._query(w, ts_ns)]
        if self._was_up:
            outputs += [o for symbol in self.books.markets for o in self._fetch_fills(symbol, ts_ns)]
        self._was_up = True
        return outputs

    def _fetch_fills(self, symbol: str, ts_ns: int) -> list[Output]:
        """Positions differ: ask for trades we may have missed, from a while before the last one booked."""
        if symbol not in self.books.markets or ts_ns - self._fills_ns.get(symbol, 0) < _FILLS_EVERY_NS:
            return []
        self._fills_ns[symbol] = ts_ns
        return [FetchFills(symbol, max(0, self.books.fill_event_ns // 1_000_000 - _OVERLAP_MS))]

    def _match_orders(self, listed: list[OpenOrder], ts_ns: int) -> list[Output]:
        """Ask about orders that the venue no longer lists; cancel ours that it still lists though they ended here."""
        at_venue = {o.client_id for o in listed}
        outputs: list[Output] = []
        for working in self.books.orders.live.values():
            settled = working.status is Status.OPEN and ts_ns - working.moved_ns > _REPLY_TIMEOUT_NS
            if settled and working.order.client_id not in at_venue:
                outputs += self._query(working, ts_ns)
        for o in listed:
            if self.books.is_ours(o.client_id) and o.client_id not in self.books.orders.live:
                outputs.append(CancelOrder(o.client_id, o.symbol))
        return outputs

    def _on_timer(self, event: Timer) -> list[Output]:
        outputs: list[Output] = []
        self.books.tick_time(event.ts_ns)
        self.books.doubt(event.ts_ns)
        for symbol in self.books.markets:
            outputs += self._resync(symbol, event.ts_ns)
            outputs += self._chase_silent_orders(symbol, event.ts_ns)
            if self.books.holds(symbol) and self._needs_exit(symbol):
                outputs += self._decide(symbol, event.ts_ns, self._tick(symbol), None, "exit")
            elif self._stale(symbol, event.ts_ns):
                outputs += self._cancel_all(symbol, event.ts_ns)
        return outputs

    def _needs_exit(self, symbol: str) -> bool:
        view = strategy_view(self.books, symbol, None)
        if view is None or view.position is None:
            return False
        return self.mode == "hard" or exit_intent(view, self.start.config.exits) is not None

    def _stale(self, symbol: str, ts_ns: int) -> bool:
        """A silent or broken book takes our quotes down."""
        market = self.books.markets[symbol]
        age_ms = (ts_ns - market.recv_ns) / 1e6
        return not market.tradable or age_ms > self.start.config.limits.max_market_age_ms

    def _resync(self, symbol: str, ts_ns: int) -> list[Output]:
        """Ask for a snapshot while the book is not tradable, once a second."""
        market = self.books.markets[symbol]
        if market.book.tradable or ts_ns - self._resync_ns.get(symbol, 0) < _SECOND or not market.up:
            return []
        self._resync_ns[symbol] = ts_ns
        return [Resync(symbol, market.book.reason)]

    def _chase_silent_orders(self, symbol: str, ts_ns: int) -> list[Output]:
        """Orders without an answer become unknown; unknown ones are asked about until the venue answers."""
        outputs: list[Output] = []
        for order in self.books.orders.of(symbol):
            if order.status in (Status.SENT, Status.CANCELING) and ts_ns - order.moved_ns > _REPLY_TIMEOUT_NS:
                order.move("unknown", ts_ns)
            if order.status is Status.UNKNOWN:
                outputs += self._query(order, ts_ns)
        return outputs

    def _query(self, order: WorkingOrder, ts_ns: int) -> list[Output]:
        client_id = order.order.client_id
        if ts_ns - self._query_ns.get(client_id, 0) < _SECOND:
            return []
        self._query_ns[client_id] = ts_ns
        return [QueryOrder(client_id, order.order.symbol)]

    def _on_control(self, event: Control) -> list[Output]:
        affected = [s for s in event.symbols or self.books.markets if s in self.books.markets]
        match event.what:
            case "market_down" | "market_up":
                for symbol in affected:
                    self.books.markets[symbol].disconnected(is_up=event.what == "market_up")
            case "user_down":
                self.books.synced = False
            case "user_up":
                return self._catch_up(event.ts_ns)
            case "kill_soft":
                self.mode = "hard" if self.mode == "hard" else "soft"
            case "kill_hard" | "stop":
                self.mode = "hard"
        if event.what in ("market_down", "user_down", "kill_soft", "kill_hard", "stop"):
            return [c for symbol in affected for c in self._cancel_all(symbol, event.ts_ns)]
        return []


def client_id(run_id: str, count: int) -> str:
    """Letters and digits, at most 32: what all venues take. ``run_id`` holds no "x", so ids of two runs never meet.

    >>> client_id("cs69205a1b", 12)
    'cs69205a1bx12'
    """
    return f"{run_id}x{count}"


def _flatten(view: View) -> tuple[Intent, ...]:
    """Close the whole position at the market."""
    p = view.position
    if p is None:
        return ()
    side = -1 if p.qty > 0 else 1
    return (
        Intent(
            symbol=view.symbol,
            side=side,
            qty=abs(p.qty),
            px=view.bid_px if side < 0 else view.ask_px,
            post_only=False,
            reduce_only=True,
            strategy="kill",
            reason="flatten",
            confidence=None,
            stop_bps=None,
        ),
    )


def _fewest_lots(intent: Intent, instrument: Instrument) -> int:
    """Smallest order the venue takes; reduce-only orders are exempt from its notional filter."""
    return 1 if intent.reduce_only else instrument.min_order_lots(Decimal(repr(intent.px)))


def _describe(intent: Intent) -> str:
    side = "buy" if intent.side > 0 else "sell"
    return f"{side} {intent.qty:.8g} {intent.symbol} @ {intent.px:.10g} {intent.strategy}: {intent.reason}"
