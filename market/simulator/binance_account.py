"""Account calls of Binance USD-M that only read: balances, positions, fees, income, forced orders."""

from typing import Any, Final

from market.simulator.account import BPS, ZERO, Position
from market.simulator.binance_face import BinanceFace, Route, require
from market.simulator.binance_messages import LEG_NAMES, Json, money, ms, order_record, text
from market.simulator.binance_pages import page
from market.simulator.orders import Leg


class _Totals:
    """Account-wide sums in the quote asset, read at the current mark prices."""

    def __init__(self, face: BinanceFace) -> None:
        self.available = face.exchange.available()
        account, exchange = face.exchange.account, face.exchange
        self.quote = next(iter(account.instruments.values())).quote
        self.wallet = account.wallet
        self.unrealized = account.total_unrealized_pnl()
        self.position_margin = sum((account.position_margin(s) for s in exchange.markets), ZERO)
        orders = {s: list(m.matcher.resting.values()) for s, m in exchange.markets.items()}
        self.initial_margin = sum((account.initial_margin(s, orders[s]) for s in exchange.markets), ZERO)
        self.maintenance = sum((account.maintenance(s) for s in exchange.markets), ZERO)
        self.cross_wallet = account.cross_wallet()
        self.cross_unrealized = account.cross_unrealized_pnl()


def _asset(face: BinanceFace, totals: _Totals) -> Json:
    free = money(max(ZERO, totals.available))
    return {
        "asset": totals.quote,
        "walletBalance": money(totals.wallet),
        "unrealizedProfit": money(totals.unrealized),
        "marginBalance": money(totals.wallet + totals.unrealized),
        "maintMargin": money(totals.maintenance),
        "initialMargin": money(totals.initial_margin),
        "positionInitialMargin": money(totals.position_margin),
        "openOrderInitialMargin": money(totals.initial_margin - totals.position_margin),
        "crossWalletBalance": money(totals.cross_wallet),
        "crossUnPnl": money(totals.cross_unrealized),
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "marginAvailable": True,
        "updateTime": ms(face.exchange.now_ns),
    }


def account(face: BinanceFace, _params: dict[str, str]) -> Json:
    """Version 3: only positions that are not flat or have open orders."""
    asset = _asset(face, _Totals(face))
    return {
        "totalInitialMargin": asset["initialMargin"],
        "totalMaintMargin": asset["maintMargin"],
        "totalWalletBalance": asset["walletBalance"],
        "totalUnrealizedProfit": asset["unrealizedProfit"],
        "totalMarginBalance": asset["marginBalance"],
        "totalPositionInitialMargin": asset["positionInitialMargin"],
        "totalOpenOrderInitialMargin": asset["openOrderInitialMargin"],
        "totalCrossWalletBalance": asset["crossWalletBalance"],
        "totalCrossUnPnl": asset["crossUnPnl"],
        "availableBalance": asset["availableBalance"],
        "maxWithdrawAmount": asset["maxWithdrawAmount"],
        "assets": [asset],
        "positions": [_account_position(face, *row) for row in _rows(face) if _is_active(face, *row)],
    }


def account_v2(face: BinanceFace, params: dict[str, str]) -> Json:
    """Version 2: every symbol, and the account's flags."""
    flags = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0}
    flags |= {"multiAssetsMargin": False, "tradeGroupId": -1}
    return flags | account(face, params) | {"positions": [_account_position(face, *row) for row in _rows(face)]}


def _rows(face: BinanceFace, symbol: str | None = None) -> list[tuple[str, Leg]]:
    """Every position there can be in the account's position mode, or those of one symbol."""
    exchange = face.exchange
    symbols = [exchange.market(symbol).instrument.symbol] if symbol else list(exchange.markets)
    return [(one, leg) for one in symbols for leg, _ in exchange.account.legs(one)]


def _is_active(face: BinanceFace, symbol: str, leg: Leg) -> bool:
    resting = face.exchange.markets[symbol].matcher.resting.values()
    return face.exchange.account.position(symbol, leg).lots != 0 or any(order.leg is leg for order in resting)


def _account_position(face: BinanceFace, symbol: str, leg: Leg) -> Json:
    row, acc = position(face, symbol, leg), face.exchange.account
    names = ("symbol", "positionSide", "positionAmt", "entryPrice", "notional", "isolatedMargin", "isolatedWallet")
    margins = ("initialMargin", "maintMargin", "positionInitialMargin", "openOrderInitialMargin", "updateTime")
    return {name: row[name] for name in (*names, *margins)} | {
        "leverage": str(acc.leverage[symbol]),
        "unrealizedProfit": row["unRealizedProfit"],
        "isolated": acc.is_isolated[symbol],
        "breakEvenPrice": row["breakEvenPrice"],
        "maxNotional": text(acc.max_notional(symbol)),
        "bidNotional": "0",
        "askNotional": "0",
    }


def position(face: BinanceFace, symbol: str, leg: Leg) -> Json:
    """One position; margin and profit at the mark price."""
    exchange, acc = face.exchange, face.exchange.account
    exchange.refresh_marks()
    market, held = exchange.market(symbol), acc.position(symbol, leg)
    total = acc.initial_margin(symbol, list(market.matcher.resting.values()), leg)
    own = acc.position_margin(symbol, leg)
    entry = text(round(held.entry_px, 12).normalize())
    profit = acc.unrealized_pnl(symbol, leg)
    is_isolated = acc.is_isolated[symbol] and held.lots != 0
    return {
        "symbol": symbol,
        "positionSide": LEG_NAMES[leg],
        "positionAmt": text(market.instrument.qty(held.lots)),
        "entryPrice": entry,
        "breakEvenPrice": entry,
        "markPrice": text(round(acc.mark_px[symbol], 8)),
        "unRealizedProfit": money(profit),
        "liquidationPrice": _liquidation_px(face, symbol, leg, held),
        "isolatedMargin": money(held.margin + profit) if is_isolated else "0",
        "notional": money(acc.notional(symbol, leg)) if held.lots else "0",
        "marginAsset": market.instrument.quote,
        "isolatedWallet": money(held.margin) if is_isolated else "0",
        "initialMargin": money(total),
        "maintMargin": money(acc.maintenance(symbol, leg)) if held.lots else "0",
        "positionInitialMargin": money(own),
        "openOrderInitialMargin": money(total - own),
        "adl": 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": ms(held.updated_ns),
    }


def _liquidation_px(face: BinanceFace, symbol: str, leg: Leg, held: Position) -> str:
    px = face.exchange.account.liquidation_px(symbol, leg)
    return text(round(px, 8).normalize()) if held.lots and px else "0"


def position_risk(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Version 3: only positions that are not flat or have open orders."""
    return [position(face, *row) for row in _rows(face, params.get("symbol")) if _is_active(face, *row)]


def position_risk_v2(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Version 2: every symbol."""
    acc, found = face.exchange.account, []
    for symbol, leg in _rows(face, params.get("symbol")):
        more = {"marginType": "isolated" if acc.is_isolated[symbol] else "cross", "isAutoAddMargin": "false"}
        more |= {"maxNotionalValue": text(acc.max_notional(symbol)), "leverage": str(acc.leverage[symbol])}
        found.append(position(face, symbol, leg) | more)
    return found


def balance(face: BinanceFace, _params: dict[str, str]) -> list[Json]:
    asset = _asset(face, _Totals(face))
    names = ("asset", "crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount", "updateTime")
    row = {name: asset[name] for name in names} | {"balance": asset["walletBalance"], "marginAvailable": True}
    return [{"accountAlias": "sim"} | row]


def multi_assets(_face: BinanceFace, _params: dict[str, str]) -> Json:
    return {"multiAssetsMargin": False}


def commission_rate(face: BinanceFace, params: dict[str, str]) -> Json:
    instrument = face.exchange.market(require(params, "symbol")).instrument
    maker, taker = text(instrument.maker_fee_bps / BPS), text(instrument.taker_fee_bps / BPS)
    return {"symbol": instrument.symbol, "makerCommissionRate": maker, "takerCommissionRate": taker}


def account_config(face: BinanceFace, _params: dict[str, str]) -> Json:
    flags: dict[str, Any] = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True}
    return flags | {
        "dualSidePosition": face.exchange.account.is_hedged,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def symbol_config(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    acc, symbol = face.exchange.account, params.get("symbol")
    symbols = [face.exchange.market(symbol).instrument.symbol] if symbol else list(face.exchange.markets)
    return [
        {
            "symbol": one,
            "marginType": "ISOLATED" if acc.is_isolated[one] else "CROSSED",
            "isAutoAddMargin": "false",
            "leverage": acc.leverage[one],
            "maxNotionalValue": text(acc.max_notional(one)),
        }
        for one in symbols
    ]


def income(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Every change of the wallet; of one kind with ``incomeType``, of one symbol with ``symbol``."""
    kind, symbol, rows = params.get("incomeType"), params.get("symbol"), list(enumerate(face.exchange.incomes, 1))
    rows = [row for row in rows if kind in (None, "", row[1].kind) and symbol in (None, "", row[1].symbol)]
    quote = next(iter(face.exchange.markets.values())).instrument.quote
    return [
        {
            "symbol": row.symbol,
            "incomeType": row.kind,
            "income": money(row.amount),
            "asset": quote,
            "info": row.kind,
            "time": ms(row.ts_ns),
            "tranId": number,
            "tradeId": str(row.trade_id or ""),
        }
        for number, row in page(rows, params, False, lambda row: row[1].ts_ns, default=100)
    ]


def force_orders(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """The account's own liquidation orders."""
    symbol = params.get("symbol")
    orders = [o for o in face.exchange.orders.values() if o.is_liquidation and symbol in (None, "", o.symbol)]
    markets = face.exchange.markets
    return [order_record(markets[o.symbol].instrument, o) for o in orders]


def adl_quantile(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Nobody is deleveraged here: every position is last in the queue."""
    symbols = [params["symbol"]] if params.get("symbol") else list(face.exchange.markets)
    levels = {LEG_NAMES[leg]: 0 for leg in (Leg.LONG, Leg.SHORT, Leg.NET)}
    return [{"symbol": face.exchange.market(symbol).instrument.symbol, "adlQuantile": levels} for symbol in symbols]


ROUTES: Final = {
    ("GET", "/fapi/v2/account"): Route(account_v2, 5),
    ("GET", "/fapi/v3/account"): Route(account, 5),
    ("GET", "/fapi/v2/balance"): Route(balance, 5),
    ("GET", "/fapi/v3/balance"): Route(balance, 5),
    ("GET", "/fapi/v2/positionRisk"): Route(position_risk_v2, 5),
    ("GET", "/fapi/v3/positionRisk"): Route(position_risk, 5),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(multi_assets, 30),
    ("GET", "/fapi/v1/commissionRate"): Route(commission_rate, 20),
    ("GET", "/fapi/v1/accountConfig"): Route(account_config, 5),
    ("GET", "/fapi/v1/symbolConfig"): Route(symbol_config, 5),
    ("GET", "/fapi/v1/income"): Route(income, 30),
    ("GET", "/fapi/v1/forceOrders"): Route(force_orders, 20, weight_all=50),
    ("GET", "/fapi/v1/adlQuantile"): Route(adl_quantile, 5),
}
