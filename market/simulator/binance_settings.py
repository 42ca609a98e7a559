"""Account calls of Binance USD-M that change something: leverage, position and margin mode, margin, listen keys."""

from typing import Final

from market.simulator.binance_auth import ApiError
from market.simulator.binance_face import BinanceFace, Route, boolean, decimal, integer, require
from market.simulator.binance_messages import LEGS, Json, money, ms, text
from market.simulator.brackets import DEFAULT
from market.simulator.errors import Reason, Reject
from market.simulator.orders import Leg

OK: Final = {"code": 200, "msg": "success"}
MARGIN_TYPES: Final = {"CROSSED": False, "ISOLATED": True}


def set_leverage(face: BinanceFace, params: dict[str, str]) -> Json:
    symbol, leverage = require(params, "symbol"), integer(params, "leverage")
    face.exchange.set_leverage(symbol, leverage)
    limit = text(face.exchange.account.max_notional(symbol))
    return {"leverage": leverage, "maxNotionalValue": limit, "symbol": symbol}


def leverage_bracket(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """The stepped margin rates, the same for every symbol."""
    brackets = [
        {
            "bracket": number,
            "initialLeverage": bracket.leverage,
            "notionalCap": int(bracket.cap),
            "notionalFloor": int(bracket.floor),
            "maintMarginRatio": float(bracket.rate),
            "cum": float(bracket.cum),
        }
        for number, bracket in enumerate(DEFAULT, 1)
    ]
    symbols = [params["symbol"]] if params.get("symbol") else list(face.exchange.markets)
    return [{"symbol": face.exchange.market(symbol).instrument.symbol, "brackets": brackets} for symbol in symbols]


def position_mode(face: BinanceFace, _params: dict[str, str]) -> Json:
    return {"dualSidePosition": face.exchange.account.is_hedged}


def set_position_mode(face: BinanceFace, params: dict[str, str]) -> Json:
    """Hedge mode (true) or one-way mode for all symbols."""
    require(params, "dualSidePosition")
    if not face.exchange.settings.set_hedged(boolean(params, "dualSidePosition")):
        raise ApiError(-4059, "No need to change position side.")
    return OK


def set_margin_type(face: BinanceFace, params: dict[str, str]) -> Json:
    symbol, name = require(params, "symbol"), require(params, "marginType")
    if name not in MARGIN_TYPES:
        raise ApiError(-1130, "Data sent for parameter 'marginType' is not valid.")
    try:
        is_changed = face.exchange.settings.set_isolated(symbol, MARGIN_TYPES[name])
    except Reject as reject:
        if reject.reason is Reason.OPEN_ORDERS:
            raise ApiError(-4047, "Margin type cannot be changed if there exists open orders.") from None
        if reject.reason is Reason.OPEN_POSITIONS:
            raise ApiError(-4048, "Margin type cannot be changed if there exists position.") from None
        raise
    if not is_changed:
        raise ApiError(-4046, "No need to change margin type.")
    return OK


def position_margin(face: BinanceFace, params: dict[str, str]) -> Json:
    """Add margin to (type 1) or take it from (type 2) an isolated position."""
    symbol, amount, way = require(params, "symbol"), decimal(params, "amount"), integer(params, "type")
    leg = LEGS.get(params.get("positionSide", "BOTH"), Leg.NET)
    if amount <= 0 or way not in (1, 2):
        raise ApiError(-1130, "Data sent for parameter 'amount' is not valid.")
    if (leg is Leg.NET) is face.exchange.account.is_hedged:
        raise Reject(Reason.POSITION_SIDE)
    face.exchange.settings.add_margin(symbol, leg, amount if way == 1 else -amount)
    row = {"symbol": symbol, "type": way, "deltaType": "USER_ADJUST", "amount": money(amount), "asset": _quote(face)}
    row |= {"time": ms(face.exchange.now_ns), "positionSide": params.get("positionSide", "BOTH")}
    face.margin_moves.append(row)
    return {"amount": float(amount), "code": 200, "msg": "Successfully modify position margin.", "type": way}


def _quote(face: BinanceFace) -> str:
    return next(iter(face.exchange.markets.values())).instrument.quote


def margin_history(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Margin the client moved to and from isolated positions of a symbol."""
    symbol = require(params, "symbol")
    return [row for row in face.margin_moves if row["symbol"] == symbol]


def open_listen_key(face: BinanceFace, _params: dict[str, str]) -> Json:
    return {"listenKey": face.open_listen_key()}


def keep_listen_key(face: BinanceFace, _params: dict[str, str]) -> Json:
    return {"listenKey": face.keep_listen_key()}


def close_listen_key(face: BinanceFace, _params: dict[str, str]) -> Json:
    face.keep_listen_key()
    face.expire_sessions()
    return {}


ROUTES: Final = {
    ("POST", "/fapi/v1/leverage"): Route(set_leverage, 1),
    ("GET", "/fapi/v1/leverageBracket"): Route(leverage_bracket, 1),
    ("GET", "/fapi/v1/positionSide/dual"): Route(position_mode, 30),
    ("POST", "/fapi/v1/positionSide/dual"): Route(set_position_mode, 1),
    ("POST", "/fapi/v1/marginType"): Route(set_margin_type, 1),
    ("POST", "/fapi/v1/positionMargin"): Route(position_margin, 1),
    ("GET", "/fapi/v1/positionMargin/history"): Route(margin_history, 1),
    ("POST", "/fapi/v1/listenKey"): Route(open_listen_key, 1, "key"),
    ("PUT", "/fapi/v1/listenKey"): Route(keep_listen_key, 1, "key"),
    ("DELETE", "/fapi/v1/listenKey"): Route(close_listen_key, 1, "key"),
}
