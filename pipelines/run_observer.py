"""What a trading run did, gathered while it is replayed: the only way the offline half looks into the live one."""

from collections import Counter

import msgspec

from risk.types import LAYERS, Deny
from trader.engine import Engine
from trader.records import DecisionRecord, FrameIn, OrderSent, OrderUpdate, Record, ScoreIn

_EQUITY_STEP_NS = 100_000_000


class Fill(msgspec.Struct, frozen=True):
    """One fill; ``mid_px`` is the mid when we heard of it."""

    ts_ns: int
    symbol: str
    side: int
    px: float
    qty: float
    fee: float
    maker: bool
    mid_px: float


class Scored(msgspec.Struct, frozen=True):
    """One scored tick, its probabilities, and what the score cost in time."""

    tick_ns: int
    symbol: str
    down: float
    flat: float
    up: float
    source: str
    tick_to_score_ns: int


class RunObserver:
    """Pass ``observe`` to ``trader.replay.Replay``; then read the attributes.

    ``equity`` is sampled at most every 100 ms. ``denials`` counts refused intents by layer (all seven always present),
    ``denial_codes`` by layer and code. ``engine`` is the engine as the replay left it. ``tick_to_order_ns`` runs from
    the scored tick's receipt to its order on the wire.
    """

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.equity: list[tuple[int, float]] = []
        self.scores: list[Scored] = []
        self.rows: dict[tuple[str, int], tuple[float, ...]] = {}
        self.fills: list[Fill] = []
        self.tick_to_order_ns: list[int] = []
        self.intents = 0
        self.refusals: Counter[str] = Counter()
        self.denials: Counter[str] = Counter(dict.fromkeys(LAYERS, 0))
        self.denial_codes: Counter[tuple[str, str]] = Counter()
        self.regimes: Counter[str] = Counter()
        self._ticks: dict[str, int] = {}
        self._trades: set[tuple[str, int]] = set()
        self._last_score: ScoreIn | None = None

    def observe(self, engine: Engine, item: Record | FrameIn) -> None:
        self.engine = engine
        match item:
            case FrameIn():
                self._sample_equity(engine, item.ts_ns)
            case ScoreIn():
                self._last_score = item
            case DecisionRecord():
                self._on_decision(item)
            case OrderSent():
                tick_ns = self._ticks.get(item.client_id)
                if tick_ns is not None:
                    self.tick_to_order_ns.append(item.ts_ns - tick_ns)
            case OrderUpdate() if item.fill_qty > 0 and (item.symbol, item.trade_id) not in self._trades:
                # a stream and a query may both tell of one trade
                self._trades.add((item.symbol, item.trade_id))
                self._on_fill(engine, item)

    def _sample_equity(self, engine: Engine, ts_ns: int) -> None:
        if not self.equity or ts_ns - self.equity[-1][0] >= _EQUITY_STEP_NS:
            self.equity.append((ts_ns, engine.books.equity()))

    def _on_decision(self, d: DecisionRecord) -> None:
        self.regimes[d.regime] += 1
        if d.features:
            self.rows[d.symbol, d.tick_ns] = d.features
        if d.refusal:
            self.refusals[d.refusal] += 1
        if d.score is not None:
            self.scores.append(
                Scored(d.tick_ns, d.symbol, d.score.down, d.score.flat, d.score.up, d.score.source, d.ts_ns - d.tick_ns)
            )
        self.intents += len(d.intents)
        for verdicts in d.verdicts:
            if verdicts and isinstance(verdicts[-1], Deny):
                self.denials[verdicts[-1].layer] += 1
                self.denial_codes[verdicts[-1].layer, verdicts[-1].code] += 1
        for client_id in d.client_ids:
            if client_id and d.score is not None:
                self._ticks.setdefault(client_id, d.tick_ns)

    def _on_fill(self, engine: Engine, u: OrderUpdate) -> None:
        self.fills.append(
            Fill(
                ts_ns=u.ts_ns,
                symbol=u.symbol,
                side=u.side,
                px=float(u.fill_px),
                qty=float(u.fill_qty),
                fee=float(u.fee),
                maker=u.maker,
                mid_px=engine.books.markets[u.symbol].mid_px,
            )
        )
