"""Account calls of OKX: balance, positions, leverage, position mode, fees, bills."""

from typing import Any, Final

from market.simulator import okx_rows as rows
from market.simulator.okx_auth import ApiError
from market.simulator.okx_calls import Call, Json, Route, asked, choice, contract_of, decimal, page, value
from market.simulator.okx_face import PARAMETER, OkxFace
from market.simulator.okx_messages import ms
from market.simulator.orders import Leg

MODES: Final = {"net_mode": False, "long_short_mode": True}
MARGIN_MODES: Final = {"cross": False, "isolated": True}
BILL_TYPES: Final = {"COMMISSION": "2", "REALIZED_PNL": "2", "FUNDING_FEE": "8", "INSURANCE_CLEAR": "5"}
FUNDING_PAID, FUNDING_RECEIVED = "173", "174"


def balance(face: OkxFace, call: Call) -> list[Json]:
    row = rows.balance_row(face.exchange)
    wanted = value(call.params, "ccy")
    details = [one for one in row["details"] if not wanted or one["ccy"] in wanted.split(",")]
    return [row | {"details": details}]


def positions(face: OkxFace, call: Call) -> list[Json]:
    return rows.position_rows(face.exchange, asked(face, call.params))


def config(face: OkxFace, _call: Call) -> list[Json]:
    mode = "long_short_mode" if face.exchange.account.is_hedged else "net_mode"
    return [
        {
            "uid": "1",
            "mainUid": "1",
            "acctLv": "2",
            "posMode": mode,
            "autoLoan": False,
            "greeksType": "PA",
            "level": "Lv1",
            "levelTmp": "",
            "ctIsoMode": "automatic",
            "mgnIsoMode": "automatic",
            "perm": "read_only,trade",
            "label": "simulated",
            "ip": "",
        }
    ]


def set_position_mode(face: OkxFace, call: Call) -> list[Json]:
    is_hedged = choice(call.params, "posMode", MODES)
    face.exchange.settings.set_hedged(is_hedged)
    return [{"posMode": value(call.params, "posMode")}]


def set_leverage(face: OkxFace, call: Call) -> list[Json]:
    """One leverage per instrument: it holds for both margin modes and both position sides."""
    contract, mode = contract_of(face, call.params), value(call.params, "mgnMode")
    choice(call.params, "mgnMode", MARGIN_MODES)
    lever = decimal(call.params, "lever")
    if lever != int(lever):
        raise ApiError(PARAMETER, "Parameter lever error")
    face.exchange.set_leverage(contract.inst_id, int(lever))
    side = value(call.params, "posSide")
    return [{"instId": contract.inst_id, "lever": str(int(lever)), "mgnMode": mode, "posSide": side}]


def leverage_info(face: OkxFace, call: Call) -> list[Json]:
    choice(call.params, "mgnMode", MARGIN_MODES)
    mode, account = value(call.params, "mgnMode"), face.exchange.account
    sides = ("long", "short") if account.is_hedged and mode == "isolated" else ("net",)
    return [
        {
            "instId": contract.inst_id,
            "mgnMode": mode,
            "posSide": side,
            "lever": str(account.leverage[contract.inst_id]),
            "ccy": "",
        }
        for contract in asked(face, call.params)
        for side in sides
    ]


def move_margin(face: OkxFace, call: Call) -> list[Json]:
    """Add margin to an isolated position, or take some away."""
    contract = contract_of(face, call.params)
    leg: Leg = choice(call.params, "posSide", rows.LEGS, "net")
    sign = choice(call.params, "type", {"add": 1, "reduce": -1})
    amount = decimal(call.params, "amt")
    face.exchange.settings.add_margin(contract.inst_id, leg, sign * amount)
    names = {name: value(call.params, name) for name in ("posSide", "type", "amt")}
    return [names | {"instId": contract.inst_id, "ccy": contract.instrument.quote}]


def trade_fee(face: OkxFace, call: Call) -> list[Json]:
    """Rates are negative when paid; ``makerU`` and ``takerU`` are those of contracts settled in the quote asset."""
    contracts = asked(face, call.params) or list(face.contracts.values())
    instrument = contracts[0].instrument
    maker, taker = rows.fee_rate(instrument.maker_fee_bps), rows.fee_rate(instrument.taker_fee_bps)
    rates = {"maker": maker, "taker": taker, "makerU": maker, "takerU": taker}
    return [{"instType": "SWAP", "level": "Lv1", "category": "1", **rates, "ts": ms(face.exchange.now_ns)}]


def bills(face: OkxFace, call: Call) -> list[Json]:
    """Every change of the wallet, newest first."""
    kind = value(call.params, "type")
    numbered = [pair for pair in enumerate(face.exchange.incomes, 1) if kind in ("", BILL_TYPES.get(pair[1].kind, "0"))]
    return [_bill(face, *pair) for pair in page(numbered, call.params, lambda pair: int(pair[0]))]


def _bill(face: OkxFace, bill_id: int, income: Any) -> Json:
    amount = rows.short(income.amount)
    return {
        "billId": str(bill_id),
        "instType": "SWAP",
        "instId": income.symbol,
        "ccy": face.contracts[income.symbol].instrument.quote,
        "type": BILL_TYPES.get(income.kind, "0"),
        "subType": _sub_type(income),
        "balChg": amount,
        "posBalChg": "0",
        "pnl": amount if income.kind == "REALIZED_PNL" else "0",
        "fee": amount if income.kind == "COMMISSION" else "0",
        "tradeId": str(income.trade_id or ""),
        "ts": ms(income.ts_ns),
    }


def _sub_type(income: Any) -> str:
    if income.kind != "FUNDING_FEE":
        return ""
    return FUNDING_PAID if income.amount < 0 else FUNDING_RECEIVED


def currencies(face: OkxFace, _call: Call) -> list[Json]:
    """The quote assets. No chain serves deposits or withdrawals."""
    assets = sorted({contract.instrument.quote for contract in face.contracts.values()})
    closed = {"canDep": False, "canWd": False, "minWd": "0", "fee": "0", "wdTickSz": "8"}
    return [{"ccy": asset, "name": asset, "chain": f"{asset}-Simulated"} | closed for asset in assets]


ROUTES: Final = {
    ("GET", "/api/v5/account/balance"): Route(balance, 10),
    ("GET", "/api/v5/account/positions"): Route(positions, 10),
    ("GET", "/api/v5/account/config"): Route(config, 5),
    ("POST", "/api/v5/account/set-position-mode"): Route(set_position_mode, 5),
    ("POST", "/api/v5/account/set-leverage"): Route(set_leverage, 20),
    ("GET", "/api/v5/account/leverage-info"): Route(leverage_info, 20),
    ("POST", "/api/v5/account/position/margin-balance"): Route(move_margin, 20),
    ("GET", "/api/v5/account/trade-fee"): Route(trade_fee, 5),
    ("GET", "/api/v5/account/bills"): Route(bills, 10),
    ("GET", "/api/v5/account/bills-archive"): Route(bills, 10),
    ("GET", "/api/v5/asset/currencies"): Route(currencies, 12),
}
