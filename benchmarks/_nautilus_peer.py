"""NautilusTrader's backtest engine replaying the same ticks to a strategy that does nothing with them."""

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import QuoteTick, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType
from nautilus_trader.model.identifiers import TradeId, Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from benchmarks._ticks import Ticks
from market.events import QUOTE

INSTRUMENT = TestInstrumentProvider.btcusdt_perp_binance()
PX_PLACES, QTY_PLACES = INSTRUMENT.price_precision, INSTRUMENT.size_precision


class Watching(Strategy):
    """Subscribed to quotes and trades; counts nothing, keeps nothing."""

    def on_start(self) -> None:
        self.subscribe_quote_ticks(INSTRUMENT.id)
        self.subscribe_trade_ticks(INSTRUMENT.id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        pass

    def on_trade_tick(self, tick: TradeTick) -> None:
        pass


def engine_of(ticks: Ticks) -> BacktestEngine:
    """An engine that holds ``ticks`` as objects, ready to run; ``reset`` makes it ready again."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    balances = [Money(1e6, USDT)]
    engine.add_venue(Venue("BINANCE"), OmsType.NETTING, AccountType.MARGIN, balances, base_currency=USDT)
    engine.add_instrument(INSTRUMENT)
    engine.add_strategy(Watching())
    engine.add_data([_tick(number, *call) for number, call in enumerate(ticks.calls())])
    return engine


def _tick(number: int, kind: int, ts_ns: int, a: float, b: float, c: float, d: float) -> QuoteTick | TradeTick:
    px, qty = Price(a, PX_PLACES), Quantity(b, QTY_PLACES)
    if kind == QUOTE:
        ask_px, ask_qty = Price(c, PX_PLACES), Quantity(d, QTY_PLACES)
        return QuoteTick(INSTRUMENT.id, px, ask_px, qty, ask_qty, ts_ns, ts_ns)
    side = AggressorSide.BUYER if c > 0 else AggressorSide.SELLER
    return TradeTick(INSTRUMENT.id, px, qty, side, TradeId(str(number)), ts_ns, ts_ns)
