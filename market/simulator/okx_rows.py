"""OKX's JSON rows of an account: orders, fills, positions, balance."""

from decimal import Decimal
from typing import Final

import msgspec

from market.simulator.account import BPS, ZERO
from market.simulator.okx_contracts import Contract, text
from market.simulator.okx_exchange import OkxExchange
from market.simulator.okx_messages import Json, ms, side_name
from market.simulator.orders import Fill, Leg, Order, Status

STATES: Final = {
    Status.NEW: "live",
    Status.PARTIALLY_FILLED: "partially_filled",
    Status.FILLED: "filled",
    Status.CANCELED: "canceled",
    Status.EXPIRED: "canceled",
}
POS_SIDES: Final = {Leg.NET: "net", Leg.LONG: "long", Leg.SHORT: "short"}
LEGS: Final = {name: leg for leg, name in POS_SIDES.items()}
DIGITS: Final = 10
EMPTY_ORDER: Final = dict.fromkeys(
    (
        *("algoClOrdId", "algoId", "attachAlgoClOrdId", "ccy", "pxType", "pxUsd", "pxVol", "quickMgnType", "rebateCcy"),
        *("slOrdPx", "slTriggerPx", "slTriggerPxType", "stpId", "tgtCcy", "tpOrdPx", "tpTriggerPx", "tpTriggerPxType"),
    ),
    "",
)


class Traded(msgspec.Struct):
    """What an order's executions came to; fee positive when paid."""

    fee: Decimal = ZERO
    pnl: Decimal = ZERO
    last: Fill | None = None

    def add(self, fill: Fill) -> None:
        self.fee += fill.fee
        self.pnl += fill.realized_pnl
        self.last = fill


def short(value: Decimal) -> str:
    """A derived amount, rid of digits nobody needs."""
    return text(round(value, DIGITS))


def shown_id(client_id: str) -> str:
    """A client's own id, "" where the exchange made one up: those have a dash, which clients may not use."""
    return "" if "-" in client_id else client_id


def margin_mode(exchange: OkxExchange, symbol: str) -> str:
    return "isolated" if exchange.account.is_isolated[symbol] else "cross"


def kind_of(order: Order) -> str:
    """The venue's order type."""
    return order.label or ("market" if order.ticks is None else "limit")


def order_row(exchange: OkxExchange, contract: Contract, order: Order, traded: Traded, tag: str) -> Json:
    instrument, source = contract.instrument, exchange.source_of(order)
    return EMPTY_ORDER | {
        "instType": "SWAP",
        "instId": order.symbol,
        "ordId": str(order.order_id),
        "clOrdId": shown_id(order.client_id),
        "tag": tag,
        "px": "" if order.ticks is None else contract.px(order.ticks),
        "sz": contract.size(order.lots),
        "ordType": kind_of(order),
        "side": side_name(order.side),
        "posSide": POS_SIDES[order.leg],
        "tdMode": margin_mode(exchange, order.symbol),
        "accFillSz": contract.size(order.filled_lots),
        "avgPx": short(order.average_px(instrument)) if order.filled_lots else "",
        "state": STATES[order.status],
        "lever": str(exchange.account.leverage[order.symbol]),
        "fee": short(-traded.fee),
        "feeCcy": instrument.quote,
        "rebate": "0",
        "pnl": short(traded.pnl),
        "category": "full_liquidation" if order.is_liquidation else "normal",
        "reduceOnly": "true" if order.reduce_only else "false",
        "cancelSource": source,
        "cancelSourceReason": "",
        "source": "",
        "isTpLimit": "false",
        "stpMode": "cancel_maker",
        "attachAlgoOrds": [],
        "linkedAlgoOrd": {"algoId": ""},
        "uTime": ms(order.updated_ns),
        "cTime": ms(order.created_ns),
        **last_fill(contract, traded.last),
    }


def last_fill(contract: Contract, fill: Fill | None) -> Json:
    """Fields of an order's last execution."""
    if fill is None:
        return {"fillPx": "", "fillSz": "0", "fillTime": "", "tradeId": "", "execType": ""}
    return {
        "fillPx": contract.px(fill.ticks),
        "fillSz": contract.size(fill.lots),
        "fillTime": ms(fill.ts_ns),
        "tradeId": str(fill.trade_id),
        "execType": "M" if fill.is_maker else "T",
        "fillPnl": short(fill.realized_pnl),
        "fillFee": short(-fill.fee),
        "fillFeeCcy": contract.instrument.quote,
    }


def fill_row(exchange: OkxExchange, contract: Contract, fill: Fill, tag: str) -> Json:
    """A row of ``/trade/fills``."""
    last = last_fill(contract, fill)
    names = ("fillPx", "fillSz", "fillTime", "tradeId", "execType", "fillPnl")
    return {name: last[name] for name in names} | {
        "instType": "SWAP",
        "instId": fill.symbol,
        "ordId": str(fill.order_id),
        "clOrdId": shown_id(exchange.orders[fill.order_id].client_id),
        "billId": str(fill.trade_id),
        "tag": tag,
        "side": side_name(fill.side),
        "posSide": POS_SIDES[fill.leg],
        "feeCcy": contract.instrument.quote,
        "fee": last["fillFee"],
        "ts": ms(fill.ts_ns),
    }


def fills_push_row(exchange: OkxExchange, contract: Contract, fill: Fill) -> Json:
    """A row of the ``fills`` channel."""
    return {
        "instId": fill.symbol,
        "fillSz": contract.size(fill.lots),
        "fillPx": contract.px(fill.ticks),
        "side": side_name(fill.side),
        "ts": ms(fill.ts_ns),
        "ordId": str(fill.order_id),
        "clOrdId": shown_id(exchange.orders[fill.order_id].client_id),
        "tradeId": str(fill.trade_id),
        "execType": "M" if fill.is_maker else "T",
        "count": "1",
    }


def position_row(exchange: OkxExchange, contract: Contract, leg: Leg) -> Json:
    """One position; margin and profit at the mark price. Call after ``refresh_marks``."""
    account, symbol, instrument = exchange.account, contract.inst_id, contract.instrument
    held, mode = account.position(symbol, leg), margin_mode(exchange, symbol)
    lots = held.lots if leg is Leg.NET else abs(held.lots)
    margin, upl = account.position_margin(symbol, leg), account.unrealized_pnl(symbol, leg)
    maintenance, mark_px = account.maintenance(symbol, leg), account.mark_px[symbol]
    behind = held.margin + upl if mode == "isolated" else account.cross_equity()
    liquidation_px = account.liquidation_px(symbol, leg)
    return {
        "instType": "SWAP",
        "instId": symbol,
        "mgnMode": mode,
        "posId": f"{contract.code}{list(POS_SIDES).index(leg)}",
        "posSide": POS_SIDES[leg],
        "pos": contract.size(lots),
        "availPos": contract.size(abs(lots)) if leg is not Leg.NET else "",
        "posCcy": "",
        "ccy": instrument.quote,
        "avgPx": short(held.entry_px) if lots else "",
        "bePx": short(held.entry_px) if lots else "",
        "markPx": short(mark_px),
        "idxPx": short(mark_px),
        "last": text(round(Decimal(repr(exchange.market(symbol).stats.last_px)), DIGITS)),
        "lever": str(account.leverage[symbol]),
        "upl": short(upl),
        "uplRatio": short(upl / margin) if margin else "",
        "imr": short(margin) if mode == "cross" else "",
        "margin": short(held.margin) if mode == "isolated" else "",
        "mmr": short(maintenance),
        "mgnRatio": short(behind / maintenance) if maintenance else "",
        "liqPx": short(liquidation_px) if liquidation_px else "",
        "notionalUsd": short(abs(account.notional(symbol, leg))),
        "realizedPnl": short(held.realized_pnl),
        "pnl": short(held.realized_pnl),
        "fee": "0",
        "fundingFee": "0",
        "liqPenalty": "0",
        "interest": "",
        "adl": "0",
        "tradeId": "",
        "closeOrderAlgo": [],
        "cTime": ms(held.updated_ns),
        "uTime": ms(held.updated_ns),
        "pTime": ms(exchange.now_ns),
    }


def position_rows(exchange: OkxExchange, contracts: list[Contract], with_flat: bool = False) -> list[Json]:
    """Positions of these contracts; flat ones only on demand."""
    exchange.refresh_marks()
    legs = [(c, leg, held.lots) for c in contracts for leg, held in exchange.account.legs(c.inst_id)]
    return [position_row(exchange, contract, leg) for contract, leg, lots in legs if lots or with_flat]


def balance_row(exchange: OkxExchange) -> Json:
    """The account in its one currency."""
    available, account = max(ZERO, exchange.available()), exchange.account
    upl, ccy = account.total_unrealized_pnl(), next(iter(account.instruments.values())).quote
    equity, isolated = account.wallet + upl, account.isolated_margin()
    cross = account.cross_equity()
    frozen, maintenance = max(ZERO, equity - available), account.cross_maintenance()
    bound = sum((account.position_margin(s) for s, alone in account.is_isolated.items() if not alone), ZERO)
    orders = max(ZERO, cross - exchange.available() - bound)
    ratio = short(cross / maintenance) if maintenance else ""
    shared = {
        "imr": short(bound + orders),
        "mmr": short(maintenance),
        "mgnRatio": ratio,
        "isoEq": short(isolated),
        "upl": short(upl),
        "uTime": ms(exchange.now_ns),
    }
    detail = shared | {
        "ccy": ccy,
        "eq": short(equity),
        "eqUsd": short(equity),
        "disEq": short(equity),
        "cashBal": short(account.wallet),
        "availEq": short(available),
        "availBal": short(available),
        "frozenBal": short(frozen),
        "ordFrozen": short(orders),
        "isoUpl": short(upl - account.cross_unrealized_pnl()),
    }
    total = {"totalEq": short(equity), "adjEq": short(equity), "ordFroz": short(orders), "notionalUsd": ""}
    return shared | total | {"details": [detail]}


def fee_rate(fee_bps: Decimal) -> str:
    """A fee as the venue states rates: negative when paid."""
    return text(-fee_bps / BPS)
