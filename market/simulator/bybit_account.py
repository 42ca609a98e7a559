"""Account and position calls of Bybit v5: wallet, fees, modes, leverage, position limits, key information."""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from market.simulator import bybit_stops
from market.simulator.account import BPS
from market.simulator.bybit_auth import BybitError
from market.simulator.bybit_calls import Route, linear_symbol
from market.simulator.bybit_messages import LEGS, Json, text
from market.simulator.bybit_params import check_linear, page, require
from market.simulator.bybit_positions import position_rows, wallet_row

if TYPE_CHECKING:
    from market.simulator.bybit_face import BybitFace

UNIFIED_2: Final = 5
ONE_WAY, HEDGE = "0", "3"


def wallet_balance(face: "BybitFace", params: dict[str, Any]) -> Json:
    """The unified account. Other account types hold nothing."""
    if require(params, "accountType") != "UNIFIED":
        raise BybitError(10001, "accountType only support UNIFIED.")
    row, coins = wallet_row(face.exchange), str(params.get("coin") or "")
    if coins:
        row["coin"] = [coin for coin in row["coin"] if coin["coin"] in coins.split(",")]
    return {"list": [row]}


def account_info(face: "BybitFace", _params: dict[str, Any]) -> Json:
    isolated = all(face.exchange.account.is_isolated.values())
    return {
        "marginMode": "ISOLATED_MARGIN" if isolated else "REGULAR_MARGIN",
        "unifiedMarginStatus": UNIFIED_2,
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
        "updatedTime": str(face.exchange.now_ns // 1_000_000),
    }


def set_margin_mode(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Cross or isolated margin of the whole account."""
    mode = require(params, "setMarginMode")
    if mode not in ("REGULAR_MARGIN", "ISOLATED_MARGIN"):
        raise BybitError(10001, f"params error: {mode} is not simulated")
    for symbol in face.exchange.markets:
        face.exchange.settings.set_isolated(symbol, mode == "ISOLATED_MARGIN")
    return {"reasons": []}


def fee_rate(face: "BybitFace", params: dict[str, Any]) -> Json:
    symbols = [linear_symbol(face, params)] if params.get("symbol") else list(face.exchange.markets)
    return {"list": [_fees(face, symbol) for symbol in symbols]}


def _fees(face: "BybitFace", symbol: str) -> Json:
    instrument = face.exchange.markets[symbol].instrument
    maker, taker = text(instrument.maker_fee_bps / BPS), text(instrument.taker_fee_bps / BPS)
    return {"symbol": symbol, "baseCoin": "", "makerFeeRate": maker, "takerFeeRate": taker}


def positions(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Of a symbol every position, flat ones included; of a settlement coin those that are held."""
    if require(params, "category") != "linear":
        return page([], params, 200)
    if params.get("symbol"):
        return page(position_rows(face.exchange, [linear_symbol(face, params)]), params, 200)
    settle = require(params, "settleCoin")
    symbols = [s for s, market in face.exchange.markets.items() if market.instrument.quote == settle]
    held = [row for row in position_rows(face.exchange, symbols) if row["side"]]
    return page(held, params, 200)


def set_leverage(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Both sides share one leverage in whole numbers."""
    symbol, buy, sell = linear_symbol(face, params), require(params, "buyLeverage"), require(params, "sellLeverage")
    if _number(buy) != _number(sell):
        raise BybitError(10001, "buy leverage and sell leverage must be equal here")
    leverage = _number(buy)
    if leverage != leverage.to_integral_value():
        raise BybitError(10001, "leverage must be a whole number here")
    if not face.exchange.settings.set_leverage(symbol, int(leverage)):
        raise BybitError(110043, "leverage not modified")
    return {}


def _number(value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise BybitError(10001, "leverage invalid")
    return number


def switch_mode(face: "BybitFace", params: dict[str, Any]) -> Json:
    """One-way or hedge mode. It holds for every symbol here, whatever symbol or coin was named."""
    check_linear(params)
    if params.get("symbol"):
        linear_symbol(face, params)
    mode = require({"mode": str(params.get("mode", ""))}, "mode")
    if mode not in (ONE_WAY, HEDGE):
        raise BybitError(10001, "params error: mode invalid")
    if not face.exchange.settings.set_hedged(mode == HEDGE):
        raise BybitError(110025, "Position mode is not modified")
    return {}


def trading_stop(face: "BybitFace", params: dict[str, Any]) -> Json:
    symbol, index = linear_symbol(face, params), str(params.get("positionIdx") or 0)
    if index not in LEGS:
        raise BybitError(10001, "position idx not match position mode")
    bybit_stops.set_limits(face, symbol, LEGS[index], params)
    return {}


def query_api(face: "BybitFace", _params: dict[str, Any]) -> Json:
    """What the account's key may do: trade contracts of a unified account."""
    return {
        "id": "1",
        "note": "simulated",
        "apiKey": face.credentials.api_key,
        "readOnly": 0,
        "secret": "",
        "permissions": {"ContractTrade": ["Order", "Position"], "Wallet": [], "Derivatives": ["DerivativesTrade"]},
        "ips": ["*"],
        "type": 1,
        "deadlineDay": 90,
        "expiredAt": "2100-01-01T00:00:00Z",
        "createdAt": "2020-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
    }


def coins(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Coins of the listed contracts; nothing can be deposited or withdrawn."""
    listed = {asset for m in face.exchange.markets.values() for asset in (m.instrument.base, m.instrument.quote)}
    wanted = params.get("coin")
    names = sorted(asset for asset in listed if wanted in (None, "", asset))
    return {"rows": [{"name": name, "coin": name, "remainAmount": "0", "chains": []} for name in names]}


ROUTES: Final = {
    ("GET", "/v5/account/wallet-balance"): Route(wallet_balance, 50),
    ("GET", "/v5/account/info"): Route(account_info, 50),
    ("GET", "/v5/account/fee-rate"): Route(fee_rate, 10),
    ("POST", "/v5/account/set-margin-mode"): Route(set_margin_mode, 10, travels=True),
    ("GET", "/v5/position/list"): Route(positions, 50),
    ("POST", "/v5/position/set-leverage"): Route(set_leverage, 10, travels=True),
    ("POST", "/v5/position/switch-mode"): Route(switch_mode, 10, travels=True),
    ("POST", "/v5/position/trading-stop"): Route(trading_stop, 10, travels=True),
    ("GET", "/v5/user/query-api"): Route(query_api, 10),
    ("GET", "/v5/asset/coin/query-info"): Route(coins, 5),
}
