"""The decision core: ``step(input) -> outputs``, straight down, no clock, no I/O. Live and replay run this same code.

A market frame updates book and features and may ask for a score; the score's return is the decision: strategy, risk
gate, orders. Fills change the ledger. Time passes only through the inputs' ``ts_ns``.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from risk.gate import check
from risk.types import Decision, Intent, Verdict
from trader.accounts import Books, account_view, market_view, strategy_view
from trader.enquiries import Enquiries
from trader.execution import Status, WorkingOrder
from trader.market_state import Tick
from trader.quoting import plan
from trader.records import (
    AccountSnapshot,
    AccountUpdate,
    CancelOrder,
    Control,
    DecisionRecord,
    FrameIn,
    Input,
    MarketInfo,
    Order,
    OrderReply,
    OrderSent,
    OrderUpdate,
    Output,
    RequestScore,
    ScoreIn,
    Start,
    Timer,
    WalletChange,
)
from trader.strategies.exits import exit_intent
from trader.top_check import TopChecks
from trader.view import Score
from trader.wanted import describe, fewest_lots, wanted_now

# a request may still be under way for its receive window: only after that does "no such order" mean that it never was
_ABSENT_NS: Final = 6_000_000_000


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
        self._ask = Enquiries(self.books)
        self.tops = TopChecks(self.books.markets)
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
        if market is None:
            return []
        is_decision = market.on_frame(event.raw, event.ts_ns)
        if self.tops.waiting:
            self.tops.on_frame(market)
        if not is_decision:
            return []
        self.books.observe(market, event.ts_ns)
        self.books.mature(market)
        outputs = self._urgent_exit(event.symbol, event.ts_ns)
        if event.symbol not in self._pending and market.warm and market.tick is not None:
            self._requests += 1
            self._pending[event.symbol] = (self._requests, market.tick)
            self.books.watch_row(market)
            self.books.follow(self._requests, market)
            outputs.append(RequestScore(self._requests, event.symbol, market.tick.tick_ns, market.window()))
        return outputs

    def _on_score(self, event: ScoreIn) -> list[Output]:
        pending = self._pending.get(event.symbol)
        if pending is None or pending[0] != event.request_id:
            return []
        del self._pending[event.symbol]
        return self._decide(event.symbol, event.ts_ns, pending[1], self.books.adapted(event), event.refusal)

    def _urgent_exit(self, symbol: str, ts_ns: int) -> list[Output]:
        """Exits wait for no model: every new quote of a held symbol may close the position."""
        if not self.books.holds(symbol) or self._has_exit(symbol) or not self._needs_exit(symbol):
            return []
        return self._decide(symbol, ts_ns, self._tick(symbol), None, "exit")

    def _decide(self, symbol: str, ts_ns: int, tick: Tick, score: Score | None, refusal: str) -> list[Output]:
        """One decision: wanted intents, the gate's verdicts, and the orders that follow; always recorded."""
        view = strategy_view(self.books, symbol, score)
        intents = wanted_now(view, self.start.config, self.mode) if view is not None else ()
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
            intents=tuple(describe(i) for i in intents),
            verdicts=tuple(verdicts),
            client_ids=tuple(client_ids),
        )
        return [record, *outputs]

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
        if not send or lots < fewest_lots(intent, market.instrument) or self._too_soon(intent, ts_ns):
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
            return self._ask.order(order, event.ts_ns)
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
        outputs = [o for symbol in self.books.differing(event) for o in self._ask.fills(symbol, event.ts_ns)]
        if event.open_orders is not None:
            outputs += self._ask.listed(event.open_orders, event.ts_ns)
        return outputs

    def _on_told(self, event: AccountUpdate) -> list[Output]:
        self.books.told(event)
        return []

    def _on_wallet(self, event: WalletChange) -> list[Output]:
        self.books.ledger.settle(event.change)
        return []

    def _on_timer(self, event: Timer) -> list[Output]:
        outputs: list[Output] = []
        self.books.tick_time(event.ts_ns)
        self.books.doubt(event.ts_ns)
        for symbol, market in self.books.markets.items():
            self.tops.begin(market, event.ts_ns)
            outputs += self._ask.book(market, event.ts_ns)
            outputs += self._ask.silent_orders(symbol, event.ts_ns)
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

    def _on_control(self, event: Control) -> list[Output]:
        affected = [s for s in event.symbols or self.books.markets if s in self.books.markets]
        match event.what:
            case "market_down" | "market_up":
                for symbol in affected:
                    self.books.markets[symbol].disconnected(is_up=event.what == "market_up")
            case "user_down":
                self.books.synced = False
            case "user_up":
                return self._ask.after_reconnect(event.ts_ns)
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
