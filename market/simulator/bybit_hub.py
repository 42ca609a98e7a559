"""Who listens to which Bybit topic, public and private."""

from collections import Counter, defaultdict
from collections.abc import Callable

from market.simulator.hub import Hub, Socket, Topic

PRIVATE = ("order", "execution", "position", "wallet")


class BybitHub(Hub):
    """Knows which topics of a symbol are listened to. ``before_flush`` lets timed topics be sent.

    Account messages take ``account_delay_s`` to their reader, so that the acknowledgement of a request comes first, as
    it does on the venue: it says that the request was taken, the order stream says what became of it.
    """

    def __init__(self, account_delay_s: float = 0.0) -> None:
        super().__init__()
        self.account_delay_s = account_delay_s
        self.before_flush: Callable[[], None] = lambda: None
        self.on_reset: Callable[[str], None] = lambda _symbol: None
        self._topics: dict[str, Counter[Topic]] = defaultdict(Counter)

    def subscribe(self, socket: Socket, topic: Topic, name: str) -> None:
        """Send a topic to a socket; asking twice changes nothing."""
        if name not in socket.names:
            self._topics[topic[0]][topic] += 1
        super().subscribe(socket, topic, name)

    def unsubscribe(self, socket: Socket, name: str) -> None:
        """Stop sending a topic."""
        channel, _, symbol = name.rpartition(".")
        counts = self._topics[symbol]
        if name in socket.names and counts[symbol, channel] > 0:
            counts[symbol, channel] -= 1
        super().unsubscribe(socket, name)

    def topics_of(self, symbol: str) -> list[Topic]:
        """Topics of a symbol that someone listens to."""
        return [topic for topic, listeners in self._topics[symbol].items() if listeners > 0]

    def is_shared(self, topic: Topic) -> bool:
        """Whether a topic that was just subscribed to had listeners before."""
        return self._topics[topic[0]][topic] > 1

    def tell(self, topic: str, payload: bytes) -> None:
        """Queue one account message for the user sockets that asked for its topic, or for its linear part."""
        for socket in self.users:
            if topic in socket.names or f"{topic}.linear" in socket.names:
                socket.write(payload)
                self._dirty.add(socket)

    def reset(self, symbol: str) -> None:
        """As after a restart of the venue's service."""
        self.on_reset(symbol)

    def flush(self) -> None:
        """Write out everything queued."""
        self.before_flush()
        for socket in self._dirty & self.users:
            socket.flush(self.account_delay_s)
        super().flush()
