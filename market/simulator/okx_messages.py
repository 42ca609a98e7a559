"""OKX's JSON rows of a market: tickers, book levels, trades, mark prices, funding. Numbers are strings throughout."""

from typing import Any, Final

from market.events import Depth, Liquidation, Mark, Quote, Trade
from market.instruments import Instrument
from market.simulator.exchange import Market
from market.simulator.okx_contracts import Contract, number, text
from market.simulator.scan import plain

Json = dict[str, Any]

FUNDING_INTERVAL_NS: Final = 8 * 3_600 * 1_000_000_000
MAX_LEVERAGE: Final = 125


def ms(time_ns: int) -> str:
    """Milliseconds of an exchange time."""
    return str(time_ns // 1_000_000)


def side_name(side: int) -> str:
    return "buy" if side > 0 else "sell"


def instrument_row(contract: Contract) -> Json:
    instrument: Instrument = contract.instrument
    largest = contract.size(instrument.max_lots)
    return {
        "instType": "SWAP",
        "instId": contract.inst_id,
        "instIdCode": contract.code,
        "uly": contract.family,
        "instFamily": contract.family,
        "baseCcy": "",
        "quoteCcy": "",
        "settleCcy": instrument.quote,
        "ctVal": text(contract.ct_val),
        "ctMult": "1",
        "ctValCcy": instrument.base,
        "ctType": "linear",
        "tickSz": text(instrument.tick_size),
        "lotSz": contract.size(1),
        "minSz": contract.size(instrument.min_lots),
        "maxLmtSz": largest,
        "maxMktSz": largest,
        "maxStopSz": largest,
        "maxTriggerSz": largest,
        "lever": str(MAX_LEVERAGE),
        "listTime": "0",
        "expTime": "",
        "state": "live",
        "ruleType": "normal",
        "alias": "",
        "optType": "",
        "stk": "",
    }


def level_rows(contract: Contract, levels: list[tuple[int, int]]) -> list[list[str]]:
    """Price, contracts, a deprecated zero, and the number of orders (a recording does not tell: 1)."""
    return [[contract.px(px), contract.size(lots), "0", "1"] for px, lots in levels]


def delta_rows(contract: Contract, levels: list[tuple[str, str]]) -> list[list[str]]:
    """Recorded levels, price and base quantity in decimals, as the venue's rows."""
    ct_val = float(contract.ct_val)
    return [[trimmed(px), plain_size(float(qty) / ct_val), "0", "0" if float(qty) == 0 else "1"] for px, qty in levels]


def trimmed(written: str) -> str:
    """A decimal without padding zeros.

    >>> trimmed("100.00"), trimmed("63943.90"), trimmed("100")
    ('100', '63943.9', '100')
    """
    return written.rstrip("0").rstrip(".") if "." in written else written


def plain_size(size: float) -> str:
    """Contracts of a recorded quantity, rid of binary noise.

    >>> plain_size(0.401 / 0.01), plain_size(3.0)
    ('40.1', '3')
    """
    return trimmed(plain(round(size, 6)))


def best_rows(contract: Contract, market: Market, count: int) -> Json:
    """The best ``count`` levels a client would see now, the newer best quote included."""
    bids, asks = (seen(market, side, count) for side in (1, -1))
    return {"asks": level_rows(contract, asks), "bids": level_rows(contract, bids)}


def seen(market: Market, side: int, count: int) -> list[tuple[int, int]]:
    """Visible levels, best first: the best quote over the depth levels behind it."""
    ladder = market.ladder
    best = ladder.best(side)
    if best is None:
        return []
    deeper = [(px, lots) for px, lots in ladder.top(side, count + 8) if (best - px) * side > 0]
    return [(best, ladder.visible(side, best)), *deeper][:count]


def bbo_row(contract: Contract, quote: Quote) -> Json:
    tick = contract.instrument.tick_size
    bids, asks = ((quote.bid_px, quote.bid_qty), (quote.ask_px, quote.ask_qty))
    rows = [
        [[text(tick * round(px / float(tick))), plain_size(qty / float(contract.ct_val)), "0", "1"]]
        for px, qty in (bids, asks)
    ]
    return {"asks": rows[1], "bids": rows[0], "ts": ms(quote.ts_event or quote.ts_recv), "seqId": quote.update_id}


def trade_row(contract: Contract, trade: Trade) -> Json:
    return {
        "instId": contract.inst_id,
        "tradeId": str(trade.trade_id),
        "px": number(trade.px),
        "sz": plain_size(trade.qty / float(contract.ct_val)),
        "side": side_name(trade.side),
        "ts": ms(trade.ts_event),
        "count": "1",
        "source": "0",
    }


def ticker_row(contract: Contract, market: Market, now_ns: int) -> Json:
    """Sums are over the trades seen since the exchange started, not over 24 hours, and not scaled up."""
    stats = market.stats
    row: Json = {"instType": "SWAP", "instId": contract.inst_id}
    for side, name in ((-1, "ask"), (1, "bid")):
        px = market.ladder.best(side)
        row[f"{name}Px"] = "" if px is None else contract.px(px)
        row[f"{name}Sz"] = "" if px is None else contract.size(market.ladder.visible(side, px))
    last = stats.recent[-1].qty if stats.recent else 0.0
    return row | {
        "last": number(stats.last_px),
        "lastSz": plain_size(last / float(contract.ct_val)),
        "open24h": number(stats.open_px),
        "high24h": number(stats.high_px),
        "low24h": number(stats.low_px),
        "vol24h": plain_size(stats.volume / float(contract.ct_val)),
        "volCcy24h": number(stats.volume),
        "sodUtc0": number(stats.open_px),
        "sodUtc8": number(stats.open_px),
        "ts": ms(now_ns),
    }


def mark_row(contract: Contract, market: Market, now_ns: int) -> Json:
    px = text(round(market.mark_px(), 8))
    return {"instType": "SWAP", "instId": contract.inst_id, "markPx": px, "ts": ms(now_ns)}


def funding_row(contract: Contract, mark: Mark | None, now_ns: int) -> Json:
    """Method ``current_period``: the rate of the settlement to come; the rate after it is not published."""
    due_ns = 0 if mark is None else mark.next_funding_ns
    known = mark is not None and mark.funding_rate == mark.funding_rate
    return {
        "instType": "SWAP",
        "instId": contract.inst_id,
        "method": "current_period",
        "formulaType": "withRate",
        "fundingRate": number(mark.funding_rate) if mark is not None and known else "0",
        "nextFundingRate": "",
        "fundingTime": ms(due_ns),
        "nextFundingTime": ms(due_ns + FUNDING_INTERVAL_NS) if due_ns else "0",
        "minFundingRate": "-0.00375",
        "maxFundingRate": "0.00375",
        "settState": "settled",
        "settFundingRate": "",
        "premium": "",
        "ts": ms(now_ns),
    }


def liquidation_row(contract: Contract, event: Liquidation) -> Json:
    """A forced sale ended a long position."""
    detail = {
        "bkLoss": "0",
        "bkPx": number(event.px),
        "ccy": "",
        "posSide": "long" if event.side < 0 else "short",
        "side": side_name(event.side),
        "sz": plain_size(event.qty / float(contract.ct_val)),
        "ts": ms(event.ts_event),
    }
    names = {"instFamily": contract.family, "instId": contract.inst_id, "instType": "SWAP", "uly": contract.family}
    return {"details": [detail], **names}


def book_update(contract: Contract, depth: Depth, prev_seq: int, seq: int) -> Json:
    """One ``books`` row; the checksum is dead and fixed to 0, as the venue's documents state."""
    return {
        "asks": delta_rows(contract, depth.asks),
        "bids": delta_rows(contract, depth.bids),
        "ts": ms(depth.ts_event),
        "checksum": 0,
        "prevSeqId": prev_seq,
        "seqId": seq,
    }
