"""Faults planted into outgoing market messages: dropped, doubled, late, missing in sequence. For every venue."""

from collections import Counter, defaultdict, deque

Topic = tuple[str, str]
SEQUENCED = ("depth", "books", "orderbook")


class Faults:
    """Counts, per symbol, of the messages still to be harmed. Only messages that somebody listens to are counted."""

    def __init__(self) -> None:
        self.drop: Counter[str] = Counter()
        self.duplicate: Counter[str] = Counter()
        self.reorder: Counter[str] = Counter()
        self.gap: Counter[str] = Counter()
        self.late_by = 1
        self._held: dict[Topic, deque[tuple[int, bytes]]] = defaultdict(deque)

    def alter(self, topic: Topic, data: bytes) -> list[bytes]:
        """The messages to send now in place of this one, in order."""
        symbol = topic[0]
        if _use(self.drop, symbol):
            return []
        if topic[1].startswith(SEQUENCED) and _use(self.gap, symbol):
            return []
        released = self._release(topic)
        if _use(self.reorder, symbol):
            self._held[topic].append((self.late_by, data))
            return released
        return [data, data, *released] if _use(self.duplicate, symbol) else [data, *released]

    def _release(self, topic: Topic) -> list[bytes]:
        """Held messages whose time has come: each waits until ``late_by`` later ones of its topic went out."""
        held = self._held.pop(topic, None)
        if held is None:
            return []
        left = deque((waits - 1, data) for waits, data in held if waits > 1)
        if left:
            self._held[topic] = left
        return [data for waits, data in held if waits <= 1]


def _use(counts: Counter[str], symbol: str) -> bool:
    """Take one of the planted faults of a symbol, if any is left."""
    if not counts or counts[symbol] <= 0:
        return False
    counts[symbol] -= 1
    return True
