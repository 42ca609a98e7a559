"""Everything the engine remembers, and the three views cut from it: strategy, account, market."""

from decimal import Decimal
from typing import Final

import msgspec

from risk.types import AccountView, Intent, MarketView, PositionView, Regime
from trader.alarms import AlarmState, Sample, init_alarms, update_alarms
from trader.anomaly import RowWatch, from_bytes
from trader.execution import Orders, WorkingOrder
from trader.ledger import Ledger
from trader.market_state import MarketState
from trader.outcomes import Outcomes
from trader.records import AccountSnapshot, AccountUpdate, OpenOrder, OrderUpdate, ScoreIn, Start
from trader.regime import RegimeState, init_regime, update_regime
from trader.risk_inputs import init_inputs, update_inputs, vol_day
from trader.view import PositionState, Score, View

DEPTH_BPS: Final = 10.0
NOT_PROMOTED: Final = "model_not_promoted"
ROW_SUSPICIOUS: Final = "row_suspicious"
_DAY_NS: Final = 86_400_000_000_000
_DEPTH_EVERY_NS: Final = 250_000_000
# order and account events of one trade come on separate channels: a difference counts once it has lasted this long
_SETTLE_NS: Final = 2_000_000_000


class SymbolRisk:
    """Streaming detectors of one symbol: regime, alarms, and the last measured depth near the touch."""

    __slots__ = ("alarm_state", "alarms", "depth_ns", "depth_usd", "regime", "regime_state")

    def __init__(self) -> None:
        self.regime_state: RegimeState = init_regime()
        self.regime = Regime.NORMAL
        self.alarm_state: AlarmState = init_alarms()
        self.alarms: tuple[str, ...] | None = None
        self.depth_usd: float | None = None
        self.depth_ns = 0


class Books:
    """Markets, orders, ledger and detectors of one account, from its ``Start`` record."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.markets = {i.symbol: MarketState(i) for i in start.instruments}
        for symbol, row in start.online.items():
            self.markets[symbol].seed(row)
        self.risk = {symbol: SymbolRisk() for symbol in self.markets}
        anomaly = from_bytes(start.anomaly, start.schema_id) if start.anomaly else None
        self.watches = {symbol: RowWatch(anomaly) for symbol in self.markets} if anomaly is not None else {}
        label = start.outcomes
        self.outcomes = {} if label is None else {symbol: Outcomes(label) for symbol in self.markets}
        self.inputs = init_inputs()
        self.orders = Orders()
        self.ledger = Ledger(start.balance)
        for symbol, held in start.positions.items():
            self.ledger.adopt(symbol, held.qty, held.entry_px)
        self.foreign_open = _open_by_side(start.foreign_orders)
        self.fill_event_ns = 0
        self._booked = {(symbol, trade_id) for symbol, ids in start.trades_seen.items() for trade_id in ids}
        self._told: dict[str, tuple[Decimal, int]] = {}
        self.volumes: dict[str, float] = {}
        self.synced = False
        self.peak_equity = float(start.balance)
        self.day_start_equity = float(start.balance)
        self._day = start.ts_ns // _DAY_NS
        self._traded: set[str] = set()

    def mature(self, market: MarketState) -> None:
        """A decision point was passed: labels that are known by now teach how scores are to be read."""
        if self.outcomes and market.tick is not None:
            self.outcomes[market.symbol].on_row(market.tick.event_ns, market.mid_px)

    def follow(self, request_id: int, market: MarketState) -> None:
        """A score was asked for: what becomes of this decision point is told to it later."""
        if self.outcomes and market.tick is not None:
            self.outcomes[market.symbol].asked(request_id, market.tick.event_ns)

    def adapted(self, event: ScoreIn) -> Score | None:
        """The score of an answer, recalibrated on what happened lately."""
        score = event.score
        if score is None or not self.outcomes:
            return score
        said = (score.down, score.flat, score.up)
        down, flat, up = self.outcomes[event.symbol].answered(event.request_id, said)
        return msgspec.structs.replace(score, down=down, flat=flat, up=up)

    @property
    def flat(self) -> bool:
        """No position and no order that may become one."""
        return not self.orders.live and all(p.qty == 0 for p in self.ledger.positions.values())

    def holds(self, symbol: str) -> bool:
        """Whether a position of ``symbol`` is open."""
        p = self.ledger.positions.get(symbol)
        return p is not None and p.qty != 0

    def equity(self) -> float:
        """Marked at the mids; NaN while a held symbol has none."""
        return self.ledger.equity({s: m.mid_px for s, m in self.markets.items()})

    def observe(self, market: MarketState, ts_ns: int) -> None:
        """Feed a decision point to the streaming detectors and follow the position's best price."""
        mid_px, symbol, risk = market.mid_px, market.symbol, self.risk[market.symbol]
        update_inputs(self.inputs, symbol, mid_px, market.event_ns)
        vol = vol_day(self.inputs, symbol)
        risk.regime_state, risk.regime = update_regime(risk.regime_state, mid_px, vol, market.event_ns)
        self._measure_depth(market, risk, ts_ns)
        self._alarm(market, risk, vol)
        self._follow(symbol, mid_px)
        equity = self.equity()
        if equity > self.peak_equity:
            self.peak_equity = equity

    def watch_row(self, market: MarketState) -> None:
        """Judge the row that is about to be scored."""
        watch = self.watches.get(market.symbol)
        if watch is not None:
            watch.update(market.row)

    def tick_time(self, ts_ns: int) -> None:
        """A new UTC day resets the daily counts."""
        if ts_ns // _DAY_NS != self._day:
            self._day = ts_ns // _DAY_NS
            self.day_start_equity = self.equity()
            self._traded.clear()

    def on_fill(self, update: OrderUpdate) -> None:
        """Book a fill, ours or foreign, unless this trade was booked before."""
        if (update.symbol, update.trade_id) in self._booked:
            return
        self._booked.add((update.symbol, update.trade_id))
        self.fill_event_ns = max(self.fill_event_ns, update.ts_event)
        self.ledger.apply_fill(
            update.symbol, update.side, update.fill_qty, update.fill_px, update.fee, self._event_ns(update.symbol)
        )
        order = self.orders.get(update.client_id)
        if order is None or not order.order.reduce_only:
            self._traded.add(update.client_id)

    def reconcile(self, account: AccountSnapshot) -> None:
        """Trust our picture only while the venue shows the same positions."""
        self._told.clear()
        self.synced = not self.differing(account)
        if account.open_orders is not None:
            self.foreign_open = _open_by_side([o for o in account.open_orders if not self.is_ours(o.client_id)])

    def differing(self, account: AccountSnapshot) -> list[str]:
        """Symbols whose position at the venue is not the ledger's."""
        ours = {s: p.qty for s, p in self.ledger.positions.items() if p.qty != 0}
        return sorted(s for s in ours.keys() | account.positions.keys() if ours.get(s) != account.positions.get(s))

    def is_ours(self, client_id: str) -> bool:
        """Whether this run placed that order."""
        return client_id.startswith(f"{self.start.run_id}x")

    def told(self, update: AccountUpdate) -> None:
        """Remember what the user stream said of positions, until time or a snapshot judges it."""
        for symbol, qty in update.positions.items():
            self._told[symbol] = (qty, update.ts_ns)

    def doubt(self, ts_ns: int) -> None:
        """A position told by the stream that differs from the ledger for long ends our trust."""
        late = [s for s, (_, told_ns) in self._told.items() if ts_ns - told_ns > _SETTLE_NS]
        if any(self._told[s][0] != self.ledger.position(s).qty for s in late):
            self.synced = False
        for symbol in late:
            del self._told[symbol]

    @property
    def trades_today(self) -> int:
        """Entry orders with at least one fill since midnight UTC."""
        return len(self._traded)

    def _event_ns(self, symbol: str) -> int:
        market = self.markets.get(symbol)
        return 0 if market is None else market.event_ns

    def _follow(self, symbol: str, mid_px: float) -> None:
        p = self.ledger.position(symbol)
        if p.qty != 0 and p.opened_ns == 0:
            # adopted: its holding time counts from the first market event we saw
            p.opened_ns = self._event_ns(symbol)
        if p.qty > 0:
            p.best_px = max(p.best_px, mid_px)
        elif p.qty < 0:
            p.best_px = min(p.best_px, mid_px)

    def _measure_depth(self, market: MarketState, risk: SymbolRisk, ts_ns: int) -> None:
        if ts_ns - risk.depth_ns >= _DEPTH_EVERY_NS:
            risk.depth_ns = ts_ns
            risk.depth_usd = market.book.depth_usd(DEPTH_BPS) if market.book.tradable else None

    def _alarm(self, market: MarketState, risk: SymbolRisk, vol: float | None) -> None:
        quote = market.quote
        if quote is None:
            return
        sample = Sample(
            ts_ns=market.event_ns,
            bid_px=quote.bid_px,
            bid_qty=quote.bid_qty,
            ask_px=quote.ask_px,
            ask_qty=quote.ask_qty,
            traded_qty=market.traded_qty,
            faults=market.gaps + market.quarantined + market.quality.faults,
            depth_usd=risk.depth_usd,
            vol_day=vol,
            lag_ms=None,
        )
        risk.alarm_state, risk.alarms = update_alarms(risk.alarm_state, sample)


def _open_by_side(orders: list[OpenOrder]) -> dict[str, tuple[Decimal, Decimal]]:
    """(buy, sell) base quantity that may still fill, by symbol."""
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for o in orders:
        buy, sell = sums.get(o.symbol, (Decimal(0), Decimal(0)))
        sums[o.symbol] = (buy + o.qty, sell) if o.side > 0 else (buy, sell + o.qty)
    return sums


def position_state(books: Books, symbol: str) -> PositionState | None:
    """The open position of ``symbol`` as exits need it, or None when flat."""
    p = books.ledger.positions.get(symbol)
    if p is None or p.qty == 0:
        return None
    return PositionState(qty=float(p.qty), entry_px=float(p.entry_px), opened_ns=p.opened_ns, best_px=p.best_px)


def strategy_view(books: Books, symbol: str, score: Score | None) -> View | None:
    """What strategies see of ``symbol`` now; None before its first decision point."""
    market = books.markets[symbol]
    quote, tick = market.quote, market.tick
    if quote is None or tick is None:
        return None
    instrument = market.instrument
    fewest = instrument.min_order_lots(Decimal(repr(quote.bid_px)))
    return View(
        symbol=symbol,
        ts_ns=market.event_ns,
        bid_px=quote.bid_px,
        bid_qty=quote.bid_qty,
        ask_px=quote.ask_px,
        ask_qty=quote.ask_qty,
        tick_size=float(instrument.tick_size),
        lot_size=float(instrument.lot_size),
        min_qty=float(instrument.qty(fewest)),
        features=tick.features,
        score=score,
        regime=books.risk[symbol].regime,
        position=position_state(books, symbol),
        equity=books.equity(),
        volume_24h_usd=books.volumes.get(symbol),
    )


def account_view(books: Books, leave_out: WorkingOrder | None) -> AccountView:
    """The account as the gate sees it; ``leave_out`` is an order that the judged intent already stands for."""
    return AccountView(
        equity=books.equity(),
        peak_equity=books.peak_equity,
        day_start_equity=books.day_start_equity,
        positions={s: _position_view(books, s, leave_out) for s in books.markets},
        trades_today=books.trades_today,
        consecutive_losses=books.ledger.consecutive_losses,
        synced=books.synced,
    )


def _position_view(books: Books, symbol: str, leave_out: WorkingOrder | None) -> PositionView:
    ours, foreign = books.orders.open_qty(symbol), books.foreign_open.get(symbol, (Decimal(0), Decimal(0)))
    buy, sell = ours[0] + foreign[0], ours[1] + foreign[1]
    if leave_out is not None and leave_out.order.symbol == symbol:
        if leave_out.order.side > 0:
            buy -= leave_out.remaining
        else:
            sell -= leave_out.remaining
    return PositionView(
        qty=float(books.ledger.position(symbol).qty),
        mark_px=books.markets[symbol].mid_px,
        open_buy_qty=float(buy),
        open_sell_qty=float(sell),
    )


def market_view(books: Books, intent: Intent, ts_ns: int) -> MarketView:
    """The intent's market as the gate sees it at clock reading ``ts_ns``."""
    market, risk = books.markets[intent.symbol], books.risk[intent.symbol]
    quote = market.quote
    return MarketView(
        tradable=market.tradable,
        age_ms=(ts_ns - market.recv_ns) / 1e6,
        bid_px=None if quote is None else quote.bid_px,
        ask_px=None if quote is None else quote.ask_px,
        spread_bps=None if quote is None else 1e4 * (quote.ask_px - quote.bid_px) / market.mid_px,
        depth_usd=risk.depth_usd,
        volume_24h_usd=books.volumes.get(intent.symbol),
        vol_day=vol_day(books.inputs, intent.symbol),
        vols_day=books.inputs.vols_day,
        correlations=books.inputs.correlations,
        regime=risk.regime,
        alarms=_alarms(books, market, ts_ns),
    )


def _alarms(books: Books, market: MarketState, ts_ns: int) -> tuple[str, ...] | None:
    raised = books.risk[market.symbol].alarms
    if raised is None:
        return None
    watch = books.watches.get(market.symbol)
    suspicious = (ROW_SUSPICIOUS,) if watch is not None and watch.suspicious else ()
    return (*raised, *market.quality.suspect(ts_ns), *suspicious, *(() if books.start.promoted else (NOT_PROMOTED,)))
