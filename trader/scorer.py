"""Scores over Triton with a deadline, and the in-process copy of the same bundle behind it.

One thin persistent HTTP/1.1 connection per lane speaks Triton's binary tensor extension: the request is a constant head
and 4 bytes per input value. A request that misses its deadline is answered by the local copy and its late reply
dropped.
"""

import asyncio
import math
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from features.schema import COUNT, WINDOW
from trader.view import Score

X_BYTES: Final = WINDOW * COUNT * 4
_SUM_TOLERANCE: Final = 1e-3


class Answer(msgspec.Struct, frozen=True):
    """A score, or None with the reason of the refusal; ``model_ns`` is the time the scoring took."""

    score: Score | None
    refusal: str
    model_ns: int


def check_proba(proba: npt.NDArray[np.float32]) -> str:
    """Reason to refuse ``proba`` (down, flat, up), or "" when it is a distribution.

    >>> check_proba(np.array([0.2, 0.5, 0.3], dtype=np.float32))
    ''
    >>> check_proba(np.array([0.2, float("nan"), 0.3], dtype=np.float32))
    'not_finite'
    """
    if proba.shape != (3,):
        return "wrong_shape"
    if not np.isfinite(proba).all():
        return "not_finite"
    if proba.min() < 0 or proba.max() > 1 or not math.isclose(float(proba.sum()), 1.0, abs_tol=_SUM_TOLERANCE):
        return "out_of_range"
    return ""


def to_answer(proba: npt.NDArray[np.float32], model: str, version: int, source: str, model_ns: int) -> Answer:
    """Checked answer from a raw probability vector."""
    refusal = check_proba(proba)
    if refusal:
        return Answer(score=None, refusal=f"{source}_{refusal}", model_ns=model_ns)
    down, flat, up = (float(p) for p in proba)
    score = Score(down=down, flat=flat, up=up, model=model, version=version, source=source)
    return Answer(score=score, refusal="", model_ns=model_ns)


class LocalScorer:
    """The bundle's own ONNX graph in this process: fallback, replay's recheck, and the known-answer reference."""

    def __init__(self, onnx_path: Path, model: str, version: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
        self.model = model
        self.version = version

    def proba(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Probabilities [batch, 3] of ``x`` [batch, WINDOW, COUNT]."""
        out: npt.NDArray[np.float32] = self._session.run(["proba"], {"x": x})[0]
        return out

    def score(self, x: bytes, now_ns: Callable[[], int]) -> Answer:
        start = now_ns()
        window = np.frombuffer(x, dtype=np.float32).reshape(1, WINDOW, COUNT)
        return to_answer(self.proba(window)[0], self.model, self.version, "local", now_ns() - start)


class TritonLane(asyncio.Protocol):
    """One HTTP connection to one model version, one request in flight. ``infer`` calls back with the raw reply.

    The callback gets ``(proba, "")`` or ``(None, reason)``. A lost connection reconnects in the background.
    """

    def __init__(self, url: str, model: str, version: int) -> None:
        parts = urllib.parse.urlsplit(url if "//" in url else f"//{url}")
        self._address = (parts.hostname or "127.0.0.1", parts.port or 8000)
        self._head = _request_head(f"{self._address[0]}:{self._address[1]}", model, version)
        self._transport: asyncio.Transport | None = None
        self._reader = ReplyReader()
        self._waiting: Callable[[npt.NDArray[np.float32] | None, str], None] | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._closed = False
        self.requests = 0
        self.failures = 0

    async def open(self) -> None:
        """Connect once; raises OSError when nobody listens."""
        await asyncio.get_running_loop().create_connection(lambda: self, *self._address)

    @property
    def ready(self) -> bool:
        """Connected and idle."""
        return self._transport is not None and self._waiting is None

    def infer(self, x: bytes, done: Callable[[npt.NDArray[np.float32] | None, str], None]) -> None:
        assert self._transport is not None and self._waiting is None, "infer on a lane that is not ready"
        self._waiting = done
        self.requests += 1
        self._transport.write(self._head + x)

    def reset(self) -> None:
        """Drop the connection (a reply is overdue) and build a new one."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._reader = ReplyReader()

    def data_received(self, data: bytes) -> None:
        reply = self._reader.feed(data)
        if reply is not None:
            self._answer(*parse_reply(*reply))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._closed:
            self._answer(None, "connection_lost")
            self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    def _answer(self, proba: npt.NDArray[np.float32] | None, reason: str) -> None:
        done, self._waiting = self._waiting, None
        if done is None:
            return
        self.failures += proba is None
        done(proba, reason)

    async def _reconnect(self) -> None:
        delay_s = 0.05
        while not self._closed:
            try:
                await self.open()
                return
            except OSError:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 2.0)


class TritonScorer:
    """Score requests by symbol: Triton first, the local copy on a missed deadline, a refused reply or a lost socket.

    Parameters
    ----------
    lanes
        One connected lane per symbol.
    deadline_s
        Longest wait for Triton; then the local copy answers.
    """

    def __init__(
        self, lanes: dict[str, TritonLane], local: LocalScorer, deadline_s: float, now_ns: Callable[[], int]
    ) -> None:
        self._lanes = lanes
        self._local = local
        self._deadline_s = deadline_s
        self._now_ns = now_ns
        self.fallbacks = 0

    def request(self, symbol: str, x: bytes, done: Callable[[Answer], None]) -> None:
        """Score ``x``; ``done`` is called exactly once."""
        lane = self._lanes[symbol]
        if not lane.ready:
            self._fall_back(x, done)
            return
        start = self._now_ns()
        call = _Call(done)
        timer = asyncio.get_running_loop().call_later(self._deadline_s, self._late, lane, call, x)

        def reply(proba: npt.NDArray[np.float32] | None, reason: str) -> None:
            timer.cancel()
            if call.finished:
                return
            answer = None
            if proba is not None:
                answer = to_answer(proba, self._local.model, self._local.version, "triton", self._now_ns() - start)
            if answer is None or answer.score is None:
                self._fall_back(x, call.finish)
            else:
                call.finish(answer)

        lane.infer(x, reply)

    def _late(self, lane: TritonLane, call: "_Call", x: bytes) -> None:
        if not call.finished:
            self._fall_back(x, call.finish)
            asyncio.get_running_loop().call_later(20 * self._deadline_s, self._reset_if_stuck, lane, lane.requests)

    def _reset_if_stuck(self, lane: TritonLane, requests: int) -> None:
        if lane.requests == requests and not lane.ready:
            lane.reset()

    def _fall_back(self, x: bytes, done: Callable[[Answer], None]) -> None:
        self.fallbacks += 1
        done(self._local.score(x, self._now_ns))

    @property
    def requests(self) -> int:
        return sum(lane.requests for lane in self._lanes.values())

    @property
    def failures(self) -> int:
        return sum(lane.failures for lane in self._lanes.values())

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()


class _Call:
    """Calls ``done`` once, whoever comes first."""

    __slots__ = ("_done", "finished")

    def __init__(self, done: Callable[[Answer], None]) -> None:
        self._done = done
        self.finished = False

    def finish(self, answer: Answer) -> None:
        if not self.finished:
            self.finished = True
            self._done(answer)


class ReplyReader:
    """Collects one HTTP/1.1 reply from chunks: returns (status, json_length, body) once it is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[int, int, bytes] | None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._buffer[:end]).lower()
        length = _header_int(head, b"content-length")
        if len(self._buffer) < end + 4 + length:
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        return int(head[9:12]), _header_int(head, b"inference-header-content-length"), body


def _header_int(head: bytes, name: bytes) -> int:
    at = head.find(b"\r\n" + name + b":")
    return int(head[at + len(name) + 3 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def parse_reply(status: int, json_length: int, body: bytes) -> tuple[npt.NDArray[np.float32] | None, str]:
    """The ``proba`` vector of a binary infer reply, or (None, reason)."""
    if status != 200:
        return None, f"http_{status}"
    try:
        proba = _output(body, json_length, "proba")
    except (KeyError, TypeError, ValueError, msgspec.DecodeError):
        return None, "garbled"
    return proba, ""


def _output(body: bytes, json_length: int, name: str) -> npt.NDArray[np.float32]:
    """One FP32 output of a binary reply; raises ValueError when absent or cut short."""
    offset = json_length
    for output in msgspec.json.decode(body[:json_length])["outputs"]:
        size = int(output["parameters"]["binary_data_size"])
        if output["name"] == name:
            if output["datatype"] != "FP32" or offset + size > len(body):
                raise ValueError(f"output {name} is cut short or of another type")
            return np.frombuffer(body[offset : offset + size], dtype=np.float32)
        offset += size
    raise ValueError(f"no output {name}")


def _request_head(host: str, model: str, version: int) -> bytes:
    """Constant bytes before the input values: HTTP head and Triton's JSON header asking for binary ``proba``."""
    header = msgspec.json.encode(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [1, WINDOW, COUNT],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": X_BYTES},
                }
            ],
            "outputs": [{"name": "proba", "parameters": {"binary_data": True}}],
        }
    )
    head = (
        f"POST /v2/models/{model}/versions/{version}/infer HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {len(header)}\r\n"
        f"Content-Length: {len(header) + X_BYTES}\r\n\r\n"
    )
    return head.encode() + header
