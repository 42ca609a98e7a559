"""The peer of the feed benchmark: ccxt.pro's own Binance handlers, fed frames without a network."""

from typing import Any

import ccxt.pro
import orjson


class Sink:
    """What ccxt's handlers want of a WebSocket client: an address, and somewhere to hand results to."""

    url = "wss://fstream.binance.com/public/stream"

    def __init__(self) -> None:
        self.subscriptions: dict[str, Any] = {}
        self.resolved = 0

    def resolve(self, _result: object, _name: str) -> None:
        self.resolved += 1

    def reject(self, error: Exception, _name: str) -> None:
        raise error


class CcxtFeed:
    """``take`` runs one frame through JSON and ccxt's handlers; ``best`` reads its book."""

    def __init__(self, symbols: list[str]) -> None:
        self._exchange = ccxt.pro.binanceusdm()
        self._exchange.set_markets([self._exchange.parse_market(_listed(s)) for s in symbols])
        self._sink = Sink()
        self._names = {s: self._exchange.safe_market(s, None, None, "swap")["symbol"] for s in symbols}
        for name in self._names.values():
            self._exchange.orderbooks[name] = self._exchange.order_book({})

    def take(self, symbol: str, raw: bytes) -> None:
        message = orjson.loads(raw)
        if "lastUpdateId" in message:
            self._snapshot(self._names[symbol], message)
        else:
            self._exchange.handle_message(self._sink, message)

    def best(self, symbol: str) -> tuple[list[float], list[float]]:
        book = self._exchange.orderbooks[self._names[symbol]]
        return list(book["bids"][0]), list(book["asks"][0])

    def _snapshot(self, name: str, message: dict[str, Any]) -> None:
        """What ccxt does when its REST snapshot arrives after the first deltas."""
        book = self._exchange.orderbooks[name]
        waiting = list(book.cache)
        book.reset(self._exchange.parse_order_book(message, name, message.get("T")))
        book["nonce"], book["symbol"] = message["lastUpdateId"], name
        for delta in waiting:
            continues = delta["U"] <= book["nonce"] <= delta["u"] or delta["pu"] == book["nonce"]
            if delta["u"] >= book["nonce"] and continues:
                self._exchange.handle_order_book_message(self._sink, delta, book)


def _listed(symbol: str) -> dict[str, Any]:
    """An exchangeInfo row with what ccxt's parser asks for."""
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "baseAsset": symbol[:-4],
        "quoteAsset": symbol[-4:],
        "marginAsset": symbol[-4:],
        "onboardDate": "1",
        "deliveryDate": "4133404800000",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.0001", "minPrice": "0.0001", "maxPrice": "100000000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "100000000"},
        ],
    }
