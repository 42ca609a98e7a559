"""Who listens to what, and writing to them without waiting: frames gather per socket, one write per batch."""

import asyncio
from collections import defaultdict
from itertools import count
from struct import pack
from typing import Final

from aiohttp import web

from market.simulator.faults import Faults

MAX_BACKLOG: Final = 64 * 1024 * 1024
Topic = tuple[str, str]
_numbers: Final = count()


def text_frame(payload: bytes) -> bytes:
    """One unmasked WebSocket text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return pack("!BB", 0x81, size) + payload
    if size < 65_536:
        return pack("!BBH", 0x81, 126, size) + payload
    return pack("!BBQ", 0x81, 127, size) + payload


def wrap(name: bytes, data: bytes) -> bytes:
    """The combined-stream wrapper around one event."""
    return b'{"stream":"' + name + b'","data":' + data + b"}"


class Socket:
    """One client connection. ``is_wrapped``: it asked for the combined-stream wrapper, ``label`` on user streams.

    ``number`` tells older from younger ones. Faults of this line alone: the next ``swallow`` messages are never sent,
    and all are ``late_s`` late.
    """

    def __init__(
        self, ws: web.WebSocketResponse, transport: asyncio.Transport, is_wrapped: bool, label: str = ""
    ) -> None:
        self.ws = ws
        self.label = label
        self.is_wrapped = is_wrapped
        self.names: set[str] = set()
        self.number = next(_numbers)
        self.swallow = 0
        self.late_s = 0.0
        self._transport = transport
        self._waiting: list[bytes] = []
        self._not_before = 0.0

    def write(self, payload: bytes) -> None:
        """Queue one text message for the next flush."""
        if self.swallow > 0:
            self.swallow -= 1
            return
        self._waiting.append(text_frame(payload))

    def flush(self, delay_s: float = 0.0) -> None:
        """Send what waits, at once or later; messages keep their order whatever the delays were."""
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        self._waiting.clear()
        loop = asyncio.get_running_loop()
        due = max(loop.time() + delay_s + self.late_s, self._not_before)
        if due <= loop.time():
            self._send(data)
        else:
            self._not_before = due
            loop.call_at(due, self._send, data)

    def _send(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_BACKLOG:
            self._transport.abort()  # a client this slow is disconnected by the venue as well
            return
        self._transport.write(data)

    @property
    def pending_s(self) -> float:
        """Seconds until delayed messages are out."""
        return max(0.0, self._not_before - asyncio.get_running_loop().time())

    def drop(self) -> None:
        """Break the connection as a failing network would: no close frame."""
        self._transport.abort()


class Hub:
    """Subscriptions of market sockets, and the user sockets."""

    def __init__(self) -> None:
        self.sockets: set[Socket] = set()
        self.users: set[Socket] = set()
        self.delay_s = 0.0
        self.faults = Faults()
        self._names: dict[Topic, dict[bytes, list[Socket]]] = defaultdict(dict)
        self._dirty: set[Socket] = set()

    def subscribe(self, socket: Socket, topic: Topic, name: str) -> None:
        """Send events of a topic to a socket under the stream name it asked for."""
        listeners = self._names[topic].setdefault(name.encode(), [])
        if socket not in listeners:
            listeners.append(socket)
        socket.names.add(name)
        if socket not in self.users:
            self.sockets.add(socket)

    def unsubscribe(self, socket: Socket, name: str) -> None:
        """Stop sending a stream."""
        socket.names.discard(name)
        for topic, names in list(self._names.items()):
            listeners = names.get(name.encode(), [])
            if socket in listeners:
                listeners.remove(socket)
            if not listeners:
                names.pop(name.encode(), None)
            if not names:
                del self._names[topic]

    def forget(self, socket: Socket) -> None:
        """The connection is gone."""
        for name in list(socket.names):
            self.unsubscribe(socket, name)
        self.sockets.discard(socket)
        self.users.discard(socket)
        self._dirty.discard(socket)

    def wants(self, topic: Topic) -> bool:
        return topic in self._names

    def topics(self) -> list[Topic]:
        """Every topic somebody listens to."""
        return list(self._names)

    def publish(self, topic: Topic, data: bytes) -> None:
        """Queue one event, byte for byte but for planted faults, for everyone who subscribed to it."""
        if topic in self._names:
            for message in self.faults.alter(topic, data):
                self._queue(topic, message)

    def reset(self, symbol: str) -> None:
        """Start the sequence numbers of a symbol anew, as after maintenance of the venue; each face has its own way."""

    def _queue(self, topic: Topic, data: bytes) -> None:
        for name, listeners in self._names[topic].items():
            wrapped = wrap(name, data)
            for socket in listeners:
                socket.write(wrapped if socket.is_wrapped else data)
            self._dirty.update(listeners)

    def tell_users(self, payload: bytes) -> None:
        """Queue one account event for every user socket."""
        for socket in self.users:
            socket.write(wrap(socket.label.encode(), payload) if socket.is_wrapped else payload)
        self._dirty.update(self.users)

    def flush(self) -> None:
        """Write out everything queued."""
        for socket in self._dirty:
            socket.flush(0.0 if socket in self.users else self.delay_s)
        self._dirty.clear()
