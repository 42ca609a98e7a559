"""Account calls of Binance USD-M: balances, positions, leverage, modes, fees, listen keys."""

from decimal import Decimal
from typing import Any, Final

from market.simulator.account import BPS, ZERO
from market.simulator.binance_auth import ApiError
from market.simulator.binance_face import BinanceFace, Route, boolean, integer, require
from market.simulator.binance_messages import Json, money, ms, text
from market.simulator.errors import Reason, Reject

MAX_LEVERAGE: Final = 125
MAINTENANCE: Final = Decimal("0.004")
MAX_NOTIONAL: Final = 100_000_000


class _Totals:
    """Account-wide sums in the quote asset, read at the current mark prices."""

    def __init__(self, face: BinanceFace) -> None:
        self.available = face.exchange.available()
        account, exchange = face.exchange.account, face.exchange
        self.quote = next(iter(account.instruments.values())).quote
        self.wallet = account.wallet
        self.unrealized = account.total_unrealized_pnl()
        self.position_margin = sum((account.position_margin(s) for s in exchange.markets), ZERO)
        self.initial_margin = self.wallet + self.unrealized - self.available
        self.maintenance = sum((abs(account.notional(s)) for s in exchange.markets), ZERO) * MAINTENANCE


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
        "crossWalletBalance": money(totals.wallet),
        "crossUnPnl": money(totals.unrealized),
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "marginAvailable": True,
        "updateTime": ms(face.exchange.now_ns),
    }


def account(face: BinanceFace, _params: dict[str, str]) -> Json:
    """Version 3: only symbols with a position or an open order."""
    totals = _Totals(face)
    asset = _asset(face, totals)
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
        "positions": [_account_position(face, symbol) for symbol in _active(face)],
    }


def account_v2(face: BinanceFace, params: dict[str, str]) -> Json:
    """Version 2: every symbol, and the account's flags."""
    flags = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0}
    flags |= {"multiAssetsMargin": False, "tradeGroupId": -1}
    positions = [_account_position(face, symbol) for symbol in face.exchange.markets]
    return flags | account(face, params) | {"positions": positions}


def _active(face: BinanceFace) -> list[str]:
    exchange = face.exchange
    return [s for s, m in exchange.markets.items() if exchange.account.positions[s].lots or m.matcher.resting]


def _account_position(face: BinanceFace, symbol: str) -> Json:
    row = position(face, symbol)
    names = ("symbol", "positionSide", "positionAmt", "entryPrice", "notional", "isolatedMargin", "isolatedWallet")
    margins = (
        "initialMargin",
        "maintMargin",
        "positionInitialMargin",
        "openOrderInitialMargin",
        "updateTime",
        "leverage",
    )
    return {name: row[name] for name in (*names, *margins)} | {
        "unrealizedProfit": row["unRealizedProfit"],
        "isolated": False,
        "breakEvenPrice": row["breakEvenPrice"],
        "maxNotional": str(MAX_NOTIONAL),
        "bidNotional": "0",
        "askNotional": "0",
    }


def position(face: BinanceFace, symbol: str) -> Json:
    """One symbol's position; margin and profit at the mark price."""
    exchange, acc = face.exchange, face.exchange.account
    exchange.refresh_marks()
    market, held = exchange.market(symbol), acc.positions[symbol]
    total = acc.initial_margin(symbol, list(market.matcher.resting.values()))
    entry = text(round(held.entry_px, 12).normalize())
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": text(market.instrument.qty(held.lots)),
        "entryPrice": entry,
        "breakEvenPrice": entry,
        "markPrice": text(round(acc.mark_px[symbol], 8)),
        "unRealizedProfit": money(acc.unrealized_pnl(symbol)),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": money(acc.notional(symbol)) if held.lots else "0",
        "marginAsset": market.instrument.quote,
        "isolatedWallet": "0",
        "initialMargin": money(total),
        "maintMargin": money(abs(acc.notional(symbol)) * MAINTENANCE) if held.lots else "0",
        "positionInitialMargin": money(acc.position_margin(symbol)),
        "openOrderInitialMargin": money(total - acc.position_margin(symbol)),
        "adl": 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": ms(held.updated_ns),
        "leverage": str(acc.leverage[symbol]),
    }


def position_risk(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Version 3: only symbols with a position or an open order."""
    wanted = params.get("symbol")
    return [_without_v2(position(face, symbol)) for symbol in _active(face) if wanted in (None, "", symbol)]


def _without_v2(row: Json) -> Json:
    return {name: value for name, value in row.items() if name != "leverage"}


def position_risk_v2(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Version 2: every symbol."""
    more = {"marginType": "cross", "isAutoAddMargin": "false", "maxNotionalValue": str(MAX_NOTIONAL)}
    symbols = [params["symbol"]] if params.get("symbol") else list(face.exchange.markets)
    return [position(face, symbol) | more for symbol in symbols]


def balance(face: BinanceFace, _params: dict[str, str]) -> list[Json]:
    asset = _asset(face, _Totals(face))
    names = ("asset", "crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount", "updateTime")
    row = {name: asset[name] for name in names} | {"balance": asset["walletBalance"], "marginAvailable": True}
    return [{"accountAlias": "sim"} | row]


def set_leverage(face: BinanceFace, params: dict[str, str]) -> Json:
    symbol, leverage = require(params, "symbol"), integer(params, "leverage")
    if not 1 <= leverage <= MAX_LEVERAGE:
        raise Reject(Reason.LEVERAGE)
    face.exchange.set_leverage(symbol, leverage)
    return {"leverage": leverage, "maxNotionalValue": str(MAX_NOTIONAL), "symbol": symbol}


def leverage_bracket(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """One bracket: the simulation does not step margin rates by size."""
    bracket = {
        "bracket": 1,
        "initialLeverage": MAX_LEVERAGE,
        "notionalCap": MAX_NOTIONAL,
        "notionalFloor": 0,
        "maintMarginRatio": float(MAINTENANCE),
        "cum": 0.0,
    }
    symbols = [params["symbol"]] if params.get("symbol") else list(face.exchange.markets)
    return [{"symbol": face.exchange.market(symbol).instrument.symbol, "brackets": [bracket]} for symbol in symbols]


def position_mode(_face: BinanceFace, _params: dict[str, str]) -> Json:
    return {"dualSidePosition": False}


def set_position_mode(_face: BinanceFace, params: dict[str, str]) -> Json:
    require(params, "dualSidePosition")
    if boolean(params, "dualSidePosition"):
        raise ApiError(-4068, "Hedge mode is not simulated; this account trades in one-way mode.")
    raise ApiError(-4059, "No need to change position side.")


def set_margin_type(face: BinanceFace, params: dict[str, str]) -> Json:
    face.exchange.market(require(params, "symbol"))
    if require(params, "marginType") != "CROSSED":
        raise ApiError(-4047, "Isolated margin is not simulated; this account uses cross margin.")
    raise ApiError(-4046, "No need to change margin type.")


def multi_assets(_face: BinanceFace, _params: dict[str, str]) -> Json:
    return {"multiAssetsMargin": False}


def commission_rate(face: BinanceFace, params: dict[str, str]) -> Json:
    instrument = face.exchange.market(require(params, "symbol")).instrument
    maker, taker = text(instrument.maker_fee_bps / BPS), text(instrument.taker_fee_bps / BPS)
    return {"symbol": instrument.symbol, "makerCommissionRate": maker, "takerCommissionRate": taker}


def account_config(_face: BinanceFace, _params: dict[str, str]) -> Json:
    flags: dict[str, Any] = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True}
    return flags | {"dualSidePosition": False, "updateTime": 0, "multiAssetsMargin": False, "tradeGroupId": -1}


def symbol_config(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    symbols = [params["symbol"]] if params.get("symbol") else list(face.exchange.markets)
    same = {"marginType": "CROSSED", "isAutoAddMargin": "false", "maxNotionalValue": str(MAX_NOTIONAL)}
    leverage = {face.exchange.market(s).instrument.symbol: face.exchange.account.leverage[s] for s in symbols}
    return [{"symbol": symbol, "leverage": value} | same for symbol, value in leverage.items()]


def open_listen_key(face: BinanceFace, _params: dict[str, str]) -> Json:
    return {"listenKey": face.open_listen_key()}


def keep_listen_key(face: BinanceFace, _params: dict[str, str]) -> Json:
    return {"listenKey": face.keep_listen_key()}


def close_listen_key(face: BinanceFace, _params: dict[str, str]) -> Json:
    face.keep_listen_key()
    face.expire_sessions()
    return {}


ROUTES: Final = {
    ("GET", "/fapi/v2/account"): Route(account_v2, 5),
    ("GET", "/fapi/v3/account"): Route(account, 5),
    ("GET", "/fapi/v2/balance"): Route(balance, 5),
    ("GET", "/fapi/v3/balance"): Route(balance, 5),
    ("GET", "/fapi/v2/positionRisk"): Route(position_risk_v2, 5),
    ("GET", "/fapi/v3/positionRisk"): Route(position_risk, 5),
    ("POST", "/fapi/v1/leverage"): Route(set_leverage, 1),
    ("GET", "/fapi/v1/leverageBracket"): Route(leverage_bracket, 1),
    ("GET", "/fapi/v1/positionSide/dual"): Route(position_mode, 30),
    ("POST", "/fapi/v1/positionSide/dual"): Route(set_position_mode, 1),
    ("POST", "/fapi/v1/marginType"): Route(set_margin_type, 1),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(multi_assets, 30),
    ("GET", "/fapi/v1/commissionRate"): Route(commission_rate, 20),
    ("GET", "/fapi/v1/accountConfig"): Route(account_config, 5),
    ("GET", "/fapi/v1/symbolConfig"): Route(symbol_config, 5),
    ("POST", "/fapi/v1/listenKey"): Route(open_listen_key, 1, "key"),
    ("PUT", "/fapi/v1/listenKey"): Route(keep_listen_key, 1, "key"),
    ("DELETE", "/fapi/v1/listenKey"): Route(close_listen_key, 1, "key"),
}
