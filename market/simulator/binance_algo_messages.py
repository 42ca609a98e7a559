"""Binance USD-M's JSON of conditional (algo) orders."""

from market.instruments import Instrument
from market.simulator.binance_messages import LEG_NAMES, TIF_NAMES, Json, ms, side_name, text
from market.simulator.exchange import Exchange
from market.simulator.reports import Stop, StopReport


def stop_record(instrument: Instrument, stop: Stop) -> Json:
    """A conditional order as the algo endpoints return it."""
    request = stop.request
    return {
        "algoId": stop.stop_id,
        "clientAlgoId": request.client_id,
        "algoType": "CONDITIONAL",
        "orderType": request.label,
        "symbol": request.symbol,
        "side": side_name(request.side),
        "positionSide": LEG_NAMES[request.leg],
        "timeInForce": TIF_NAMES[request.tif],
        "quantity": text(request.qty),
        "algoStatus": stop.status.value,
        "actualOrderId": str(stop.order_id or ""),
        "triggerPrice": text(instrument.px(stop.trigger_ticks)),
        "price": "0" if request.px is None else text(request.px),
        "workingType": "MARK_PRICE" if stop.on_mark else "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "closePosition": stop.closes,
        "priceProtect": False,
        "reduceOnly": request.reduce_only,
        "createTime": ms(stop.created_ns),
        "updateTime": ms(stop.updated_ns),
        "triggerTime": ms(stop.triggered_ns),
        "goodTillDate": 0,
    } | _trailing(instrument, stop, "activatePrice", "callbackRate")


def stop_event(exchange: Exchange, report: StopReport) -> Json:
    """``ALGO_UPDATE``."""
    stop, request = report.stop, report.stop.request
    instrument = exchange.markets[request.symbol].instrument
    event = {
        "caid": request.client_id,
        "aid": stop.stop_id,
        "at": "CONDITIONAL",
        "o": request.label,
        "s": request.symbol,
        "S": side_name(request.side),
        "ps": LEG_NAMES[request.leg],
        "f": TIF_NAMES[request.tif],
        "q": text(request.qty),
        "X": stop.status.value,
        "ai": str(stop.order_id or ""),
        "tp": text(instrument.px(stop.trigger_ticks)),
        "p": "0" if request.px is None else text(request.px),
        "V": "EXPIRE_MAKER",
        "wt": "MARK_PRICE" if stop.on_mark else "CONTRACT_PRICE",
        "pm": "NONE",
        "cp": stop.closes,
        "pP": False,
        "R": request.reduce_only,
        "tt": 0,
        "gtd": 0,
        "rm": stop.failure,
    } | _trailing(instrument, stop, "AP", "cr")
    return {"e": "ALGO_UPDATE", "E": ms(report.ts_ns), "T": ms(report.ts_ns), "o": event}


def _trailing(instrument: Instrument, stop: Stop, activation: str, rate: str) -> Json:
    """Fields only trailing stops have: the price that activates them, and how far they follow, in percent."""
    if not stop.trails:
        return {}
    return {activation: text(instrument.px(stop.activation_ticks)), rate: text((stop.trail * 100).normalize())}
