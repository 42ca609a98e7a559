"""Writes what the sockets said, untouched, without ever holding up the trader.

Frames go into a queue; one thread drains it into a tape per symbol and day.
"""

import queue
import threading
from pathlib import Path

from market.tape import TapeWriter, tape_name

_CLOSE = ("", 0, b"")


class Recorder:
    """``write`` queues and returns; ``close`` waits until all is on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._queue: queue.SimpleQueue[tuple[str, int, bytes]] = queue.SimpleQueue()
        self._writers: dict[tuple[str, int], TapeWriter] = {}
        self.error: OSError | None = None
        self._thread = threading.Thread(target=self._drain, name="recorder")
        self._thread.start()

    def write(self, symbol: str, recv_ns: int, raw: bytes) -> None:
        self._queue.put((symbol, recv_ns, raw))

    def close(self) -> None:
        self._queue.put(_CLOSE)
        self._thread.join()

    def _drain(self) -> None:
        while (item := self._queue.get()) is not _CLOSE:
            if self.error is None:
                self._write(*item)
        for writer in self._writers.values():
            try:
                writer.close()
            except OSError as error:
                self.error = self.error or error

    def _write(self, symbol: str, recv_ns: int, raw: bytes) -> None:
        """A full disk stops the recording, not the trader: the engine sees ``error`` and takes no new risk."""
        try:
            self._writer(symbol, recv_ns).write(recv_ns, raw)
        except OSError as error:
            self.error = error

    def _writer(self, symbol: str, recv_ns: int) -> TapeWriter:
        key = (symbol, recv_ns // 86_400_000_000_000)
        if key not in self._writers:
            for old in [k for k in self._writers if k[0] == symbol]:
                self._writers.pop(old).close()
            self._writers[key] = TapeWriter(self._folder / tape_name(symbol, recv_ns))
        return self._writers[key]
