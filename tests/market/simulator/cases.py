"""A small market by hand: prices in whole ticks of 0.1, quantities in whole lots of 0.001, times in milliseconds."""

from decimal import Decimal

from market.events import Depth, Mark, Quote, Trade
from market.instruments import Instrument
from market.simulator.exchange import Exchange
from market.simulator.orders import BUY, OrderRequest, Tif
from market.simulator.reports import OrderReport

SYMBOL = "XYUSDT"
MS = 1_000_000


def instrument(symbol=SYMBOL, **changes):
    fields = {
        "venue": "binanceusdm",
        "symbol": symbol,
        "base": symbol[:-4],
        "quote": "USDT",
        "tick_size": Decimal("0.1"),
        "lot_size": Decimal("0.001"),
        "min_lots": 1,
        "max_lots": 1_000_000,
        "min_notional": Decimal(5),
        "maker_fee_bps": Decimal(2),
        "taker_fee_bps": Decimal(5),
    }
    return Instrument(**(fields | changes))


def px(ticks):
    return str(Decimal(ticks) / 10)


def qty(lots):
    return str(Decimal(lots) / 1000)


def levels(pairs):
    return [(px(ticks), qty(lots)) for ticks, lots in pairs]


def snapshot(last_id, bids, asks, symbol=SYMBOL, at_ms=1):
    return Depth(symbol, at_ms * MS, at_ms * MS, True, last_id, last_id, -1, levels(bids), levels(asks))


def delta(first_id, last_id, prev_id, bids=(), asks=(), symbol=SYMBOL, at_ms=2):
    return Depth(symbol, at_ms * MS, at_ms * MS, False, first_id, last_id, prev_id, levels(bids), levels(asks))


def quote(update_id, bid, ask, symbol=SYMBOL, at_ms=2):
    sides = (float(px(bid[0])), float(qty(bid[1])), float(px(ask[0])), float(qty(ask[1])))
    return Quote(symbol, at_ms * MS, at_ms * MS, *sides, update_id)


def trade(ticks, lots, side, at_ms=3, symbol=SYMBOL, is_market=True):
    size = float(qty(lots))
    return Trade(symbol, at_ms * MS, at_ms * MS, float(px(ticks)), size, side, 1, size, is_market)


def mark(value, rate=0.0, next_ms=0, at_ms=3, symbol=SYMBOL):
    return Mark(symbol, at_ms * MS, at_ms * MS, value, value, rate, next_ms * MS)


class Venue:
    """An exchange of one symbol with a full book around 100.0 / 100.1, and every report it sent."""

    def __init__(self, wallet=10_000, leverage=20, bids=None, asks=None, **changes):
        self.reports = []
        listed = instrument(**changes)
        self.exchange = Exchange([listed], Decimal(wallet), leverage, self.record)
        if bids is None:
            bids = [(1000, 500), (999, 700), (998, 900), (990, 2_000)]
        if asks is None:
            asks = [(1001, 400), (1002, 600), (1003, 800), (1010, 2_000)]
        self.feed(snapshot(100, bids, asks))

    def record(self, report):
        if isinstance(report, OrderReport):
            order = report.order
            lots = 0 if report.fill is None else report.fill.lots
            self.reports.append((order.client_id, report.execution.value, order.status.value, lots))

    def feed(self, *events):
        for event in events:
            self.exchange.on_event(event)

    def place(self, client_id, side=BUY, lots=100, ticks=None, tif=Tif.GTC, reduce_only=False):
        price = None if ticks is None else Decimal(px(ticks))
        request = OrderRequest(SYMBOL, side, Decimal(qty(lots)), price, tif, reduce_only, client_id)
        return self.exchange.place(request)

    def hold(self, lots):
        """Get a position by trading at the touch."""
        self.place(f"hold{lots}", side=BUY if lots > 0 else -BUY, lots=abs(lots))

    @property
    def account(self):
        return self.exchange.account

    @property
    def position(self):
        return self.account.positions[SYMBOL]

    @property
    def ladder(self):
        return self.exchange.markets[SYMBOL].ladder

    def fills(self):
        """(price in ticks, lots, is maker) of every execution so far."""
        return [(fill.ticks, fill.lots, fill.is_maker) for fill in self.exchange.fills]
