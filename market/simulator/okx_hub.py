"""Who listens to which OKX channel, and the ``books`` channel: snapshots that the next update goes on from.

``seqId`` is the id of the last change a message holds and ``prevSeqId`` that of the message before it, so that a frame
lost on the way shows as a broken chain, as it would on the venue.
"""

from typing import Any, Final

import msgspec

from market.events import Depth
from market.simulator import okx_messages as messages
from market.simulator.hub import Hub, Socket
from market.simulator.okx_contracts import Contract
from market.simulator.okx_exchange import OkxExchange
from market.simulator.player import Player

BOOK_LEVELS: Final = 400
RESET_SEQ: Final = 10
BOOKS: Final = "books"


def name_of(channel: str, inst_id: str) -> str:
    """What a subscription is kept under.

    >>> name_of("books", "BTC-USDT-SWAP")
    'books:BTC-USDT-SWAP'
    """
    return f"{channel}:{inst_id}"


def message(channel: str, inst_id: str, data: list[Any], action: str | None = None) -> bytes:
    """One push message; channels of all instruments (``inst_id`` "") name the instrument type instead."""
    arg = {"channel": channel, "instId": inst_id} if inst_id else {"channel": channel, "instType": "SWAP"}
    act = {} if action is None else {"action": action}
    return msgspec.json.encode({"arg": arg, **act, "data": data})


class BookChain:
    """Where the ``books`` channel of one symbol stands, and who waits for its snapshot."""

    def __init__(self) -> None:
        self.last_id = 0
        self.shift = 0
        self.resets = False
        self.waiting: list[Socket] = []

    @property
    def seq(self) -> int:
        """Sequence number of the last message."""
        return self.last_id - self.shift

    def advance(self, depth: Depth) -> tuple[int, int] | None:
        """(prevSeqId, seqId) of a delta; None when everyone has its contents already."""
        if depth.last_id <= self.last_id:
            return None
        before = depth.first_id - 1 if depth.prev_id < 0 else depth.prev_id
        prev_seq = max(before, self.last_id) - self.shift
        if self.resets:
            self.resets, self.shift = False, depth.last_id - RESET_SEQ
        self.last_id = depth.last_id
        return prev_seq, self.seq


class OkxHub(Hub):
    """Subscriptions by channel and instrument."""

    def __init__(self, contracts: dict[str, Contract]) -> None:
        super().__init__()
        self.contracts = contracts
        self.chains = {symbol: BookChain() for symbol in contracts}
        self._exchange: OkxExchange | None = None
        self._player: Player | None = None

    def attach(self, exchange: OkxExchange, player: Player) -> None:
        """Tell the hub whose market it serves."""
        self._exchange, self._player = exchange, player

    @property
    def exchange(self) -> OkxExchange:
        if self._exchange is None:
            raise AssertionError("the hub is attached before the market runs")
        return self._exchange

    def reset(self, symbol: str) -> None:
        """Maintenance: the next update's ``seqId`` is smaller than its ``prevSeqId``, and the chain goes on from it."""
        self.chains[symbol].resets = True

    def join_book(self, socket: Socket, symbol: str) -> None:
        """Subscribe a socket to ``books``: a snapshot as soon as one can be given that the next update goes on from."""
        self.sockets.add(socket)
        if socket not in self.chains[symbol].waiting:
            self.chains[symbol].waiting.append(socket)
        self.serve_waiting(symbol)

    def leave_book(self, socket: Socket, symbol: str) -> None:
        """Stop waiting for a snapshot."""
        waiting = self.chains[symbol].waiting
        if socket in waiting:
            waiting.remove(socket)

    def forget(self, socket: Socket) -> None:
        """The connection is gone."""
        for symbol in self.chains:
            self.leave_book(socket, symbol)
        super().forget(socket)

    def serve_waiting(self, symbol: str) -> None:
        """Send the snapshot to those who wait for it, if the book is there and nobody is between two updates."""
        chain, ladder = self.chains[symbol], self.exchange.markets[symbol].ladder
        if not chain.waiting or not self._is_ready(symbol):
            return
        if self.wants((symbol, BOOKS)) and ladder.last_id != chain.last_id:
            return  # others have less than the book: the snapshot waits until they are where it is
        chain.last_id = ladder.last_id
        snapshot = message(BOOKS, symbol, [self.book_row(symbol)], "snapshot")
        for socket in chain.waiting:
            socket.write(snapshot)
            self.subscribe(socket, (symbol, BOOKS), name_of(BOOKS, symbol))
            self._dirty.add(socket)
        chain.waiting.clear()

    def _is_ready(self, symbol: str) -> bool:
        """A book is there: its snapshot was played, or the recording holds none as far as one can see."""
        ladder = self.exchange.markets[symbol].ladder
        if ladder.synced or ladder.gaps or self._player is None:
            return True
        return ladder.last_id > 0 and not any(event.is_snapshot for event in self._player.upcoming(symbol))

    def book_row(self, symbol: str, levels: int = BOOK_LEVELS) -> dict[str, Any]:
        """The depth levels clients can go on from with updates."""
        contract, ladder = self.contracts[symbol], self.exchange.markets[symbol].ladder
        asks, bids = (messages.level_rows(contract, ladder.top(side, levels)) for side in (-1, 1))
        ids = {"checksum": 0, "prevSeqId": -1, "seqId": ladder.last_id - self.chains[symbol].shift}
        return {"asks": asks, "bids": bids, "ts": messages.ms(ladder.ts_event or self.exchange.now_ns), **ids}

    def keep_alive(self, symbol: str) -> None:
        """What the venue sends every minute when nothing changes: equal ids and empty sides."""
        seq = self.chains[symbol].seq
        row = {"asks": [], "bids": [], "ts": messages.ms(self.exchange.now_ns), "checksum": 0}
        self.publish((symbol, BOOKS), message(BOOKS, symbol, [row | {"prevSeqId": seq, "seqId": seq}], "update"))
