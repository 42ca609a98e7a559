"""Bybit's view of positions and wallet: one position of index 0 per symbol, or in hedge mode 1 (long) and 2 (short)."""

from decimal import Decimal
from typing import Final

from market.simulator.account import ZERO
from market.simulator.bybit_exchange import BybitExchange
from market.simulator.bybit_messages import INDEX, Json, money, ms, text
from market.simulator.bybit_topics import plain
from market.simulator.orders import Leg
from market.simulator.reports import AccountReport

_FIXED: Final = {
    "bustPrice": "",
    "trailingStop": "0",
    "tpslMode": "Full",
    "positionStatus": "Normal",
    "adlRankIndicator": 0,
    "autoAddMargin": 0,
    "riskId": 1,
    "isReduceOnly": False,
    "sessionAvgPrice": "",
    "leverageSysUpdatedTime": "",
    "mmrSysUpdatedTime": "",
}


def position_row(exchange: BybitExchange, symbol: str, leg: Leg) -> Json:
    """One position at the mark price; flat ones have no side. Read after ``refresh_marks``."""
    account, instrument = exchange.account, exchange.markets[symbol].instrument
    held, is_isolated = account.position(symbol, leg), account.is_isolated[symbol]
    side = "" if held.lots == 0 else "Buy" if held.lots > 0 else "Sell"
    entry = text(round(held.entry_px, 12).normalize()) if held.lots else "0"
    limits = closing_stops(exchange, symbol, leg)
    liquidation = account.liquidation_px(symbol, leg)
    return _FIXED | {
        "category": "linear",
        "symbol": symbol,
        "positionIdx": INDEX[leg],
        "side": side,
        "size": text(abs(instrument.qty(held.lots))),
        "avgPrice": entry,
        "entryPrice": entry,
        "positionValue": money(abs(account.notional(symbol, leg))),
        "markPrice": plain(account.mark_px[symbol]),
        "unrealisedPnl": money(account.unrealized_pnl(symbol, leg)),
        "curRealisedPnl": money(held.realized_pnl),
        "cumRealisedPnl": money(held.realized_pnl),
        "leverage": str(account.leverage[symbol]),
        "tradeMode": int(is_isolated),
        "positionIM": money(account.position_margin(symbol, leg)),
        "positionMM": money(account.maintenance(symbol, leg)),
        "positionBalance": money(held.margin),
        "liqPrice": text(instrument.px(instrument.ticks(liquidation))) if liquidation else "",
        "takeProfit": limits.get("TakeProfit", ""),
        "stopLoss": limits.get("StopLoss", ""),
        "riskLimitValue": text(account.max_notional(symbol)),
        "seq": len(exchange.fills),
        "createdTime": ms(held.updated_ns),
        "updatedTime": ms(held.updated_ns),
    }


def funding_row(exchange: BybitExchange, report: AccountReport) -> Json:
    """A funding settlement: Bybit lists it among the executions, its ``execFee`` positive when paid."""
    account, symbol = exchange.account, report.symbol
    mark = exchange.markets[symbol].settled[-1]
    qty = account.instruments[symbol].qty(account.position(symbol, report.leg).lots)
    px = Decimal(repr(mark.mark_px))
    return {
        "category": "linear",
        "symbol": symbol,
        "execId": f"funding-{symbol}-{INDEX[report.leg]}-{mark.next_funding_ns}",
        "execType": "Funding",
        "execPrice": plain(px),
        "execQty": text(abs(qty)),
        "execValue": plain(abs(qty) * px),
        "execFee": money(-report.change),
        "feeRate": plain(Decimal(repr(mark.funding_rate))),
        "execTime": ms(report.ts_ns),
        "side": "Sell" if qty < 0 else "Buy",
        "isMaker": False,
        "orderId": "",
        "orderLinkId": "",
        "orderPrice": "0",
        "orderQty": "0",
        "leavesQty": "0",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "createType": "",
        "closedSize": "0",
    }


def closing_stops(exchange: BybitExchange, symbol: str, leg: Leg) -> dict[str, str]:
    """Prices of the take-profit and stop-loss that close the whole position, by their stop type."""
    instrument = exchange.markets[symbol].instrument
    return {
        stop.request.label.split("|")[1]: text(instrument.px(stop.trigger_ticks))
        for stop in exchange.stops.waiting.values()
        if stop.closes and stop.request.symbol == symbol and stop.request.leg is leg
    }


def position_rows(exchange: BybitExchange, symbols: list[str]) -> list[Json]:
    """All positions of these symbols, flat ones included."""
    exchange.refresh_marks()
    return [position_row(exchange, symbol, leg) for symbol in symbols for leg, _ in exchange.account.legs(symbol)]


def wallet_row(exchange: BybitExchange) -> Json:
    """The unified account: one settlement coin, worth one dollar here."""
    account = exchange.account
    available = exchange.available()
    equity = account.wallet + account.total_unrealized_pnl()
    held = sum((account.position_margin(symbol) for symbol in exchange.markets), ZERO)
    maintenance = sum((account.maintenance(symbol) for symbol in exchange.markets), ZERO)
    ordered = max(ZERO, _initial(exchange) - held)
    return {
        "accountType": "UNIFIED",
        "accountLTV": "0",
        "totalEquity": money(equity),
        "totalWalletBalance": money(account.wallet),
        "totalMarginBalance": money(equity),
        "totalAvailableBalance": money(max(ZERO, available)),
        "totalPerpUPL": money(account.total_unrealized_pnl()),
        "totalInitialMargin": money(held + ordered),
        "totalMaintenanceMargin": money(maintenance),
        "accountIMRate": _rate(held + ordered, equity),
        "accountMMRate": _rate(maintenance, equity),
        "coin": [_coin(exchange, equity, held, ordered, maintenance)],
    }


def _initial(exchange: BybitExchange) -> Decimal:
    return sum(
        (
            exchange.account.initial_margin(symbol, list(market.matcher.resting.values()))
            for symbol, market in exchange.markets.items()
        ),
        ZERO,
    )


def _rate(margin: Decimal, equity: Decimal) -> str:
    return format(margin / equity, ".4f") if equity > 0 else "0"


def _coin(exchange: BybitExchange, equity: Decimal, held: Decimal, ordered: Decimal, maintenance: Decimal) -> Json:
    account = exchange.account
    return {
        "coin": next(iter(account.instruments.values())).quote,
        "equity": money(equity),
        "usdValue": money(equity),
        "walletBalance": money(account.wallet),
        "availableToWithdraw": "",
        "availableToBorrow": "",
        "borrowAmount": "0",
        "spotBorrow": "0",
        "accruedInterest": "0",
        "locked": "0",
        "bonus": "0",
        "totalOrderIM": money(ordered),
        "totalPositionIM": money(held),
        "totalPositionMM": money(maintenance),
        "unrealisedPnl": money(account.total_unrealized_pnl()),
        "cumRealisedPnl": money(sum((p.realized_pnl for s in exchange.markets for _, p in account.legs(s)), ZERO)),
        "marginCollateral": True,
        "collateralSwitch": True,
        "spotHedgingQty": "0",
    }
