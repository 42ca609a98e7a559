"""The scorer against a real socket server that answers well, late, wrongly, partly or not at all."""

import asyncio
import struct
import time

import msgspec
import numpy as np
import pytest

from trader.scorer import (
    X_BYTES,
    Answer,
    ReplyReader,
    TritonLane,
    TritonScorer,
    check_proba,
    parse_reply,
    to_answer,
)

X = bytes(X_BYTES)
GOOD = np.array([0.2, 0.5, 0.3], dtype=np.float32)


def reply(proba, status=200, name="proba"):
    header = msgspec.json.encode(
        {"outputs": [{"name": name, "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}]}
    )
    body = header + np.asarray(proba, dtype=np.float32).tobytes()
    head = (
        f"HTTP/1.1 {status} OK\r\nInference-Header-Content-Length: {len(header)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Local:
    """The in-process copy: one fixed, recognisable answer."""

    model, version = "scalper", 1

    def score(self, x, now_ns):
        return to_answer(np.array([0.1, 0.8, 0.1], dtype=np.float32), "scalper", 1, "local", 1)


async def serve(answer):
    """A server that reads whole requests and lets ``answer(writer, n)`` reply to the n-th."""
    count = 0

    async def handle(reader, writer):
        nonlocal count
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[-1].split(b"\r\n")[0])
                await reader.readexactly(length)
                count += 1
                await answer(writer, count)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def scores(answer, requests=1, deadline_s=0.1, pause_s=0.0):
    server, url = await serve(answer)
    lane = TritonLane(url, "scalper", 1)
    await lane.open()
    scorer = TritonScorer({"X": lane}, Local(), deadline_s, time.monotonic_ns)
    got = []
    for _ in range(requests):
        done = asyncio.get_running_loop().create_future()
        scorer.request("X", X, done.set_result)
        got.append(await asyncio.wait_for(done, 2))
        await asyncio.sleep(pause_s)
    scorer.close()
    server.close()
    return got, scorer


async def write(writer, data):
    writer.write(data)
    await writer.drain()


async def test_triton_answers_in_time():
    got, scorer = await scores(lambda w, n: write(w, reply(GOOD)), requests=20)
    assert {a.score.source for a in got} == {"triton"}
    assert got[0].score.up == pytest.approx(0.3)
    assert (scorer.requests, scorer.failures, scorer.fallbacks) == (20, 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        reply(GOOD, status=500),
        reply([float("nan"), 0.5, 0.5]),
        reply([0.9, 0.9, 0.9]),
        reply([-0.1, 0.6, 0.5]),
        reply(GOOD, name="other"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
async def test_bad_answers_are_replaced_by_the_local_copy(data):
    got, scorer = await scores(lambda w, n: write(w, data), requests=3)
    assert {a.score.source for a in got} == {"local"}
    assert scorer.fallbacks == 3


async def test_a_late_answer_is_replaced_at_the_deadline_and_its_reply_dropped():
    async def slow_once(writer, n):
        await asyncio.sleep(0.3 if n == 1 else 0)
        await write(writer, reply(GOOD))

    start = time.monotonic()
    got, _ = await scores(slow_once, requests=2, deadline_s=0.05, pause_s=0.5)
    assert [a.score.source for a in got] == ["local", "triton"]
    assert time.monotonic() - start < 1.5


async def test_a_hung_server_never_leaves_a_tick_without_a_score():
    async def hang(writer, n):
        await asyncio.sleep(60)

    got, scorer = await scores(hang, requests=5, deadline_s=0.02)
    assert [a.score.source for a in got] == ["local"] * 5
    assert scorer.fallbacks == 5


async def test_a_connection_cut_mid_reply_falls_back_and_comes_back():
    async def cut_first(writer, n):
        if n == 1:
            await write(writer, reply(GOOD)[:40])
            writer.close()
        else:
            await write(writer, reply(GOOD))

    got, scorer = await scores(cut_first, requests=2, pause_s=0.4)
    assert [a.score.source for a in got] == ["local", "triton"]
    assert scorer.failures == 1


def test_replies_split_anywhere_are_collected_once():
    data = reply(GOOD)
    for cut in range(1, len(data)):
        reader = ReplyReader()
        assert reader.feed(data[:cut]) is None
        whole = reader.feed(data[cut:])
        proba, reason = parse_reply(*whole)
        assert reason == ""
        np.testing.assert_array_equal(proba, GOOD)


@pytest.mark.parametrize(
    "garbage", [b"", b"{}", b'{"outputs":[]}', b'{"outputs":[{"name":"proba"}]}', struct.pack("<3f", 1, 2, 3)]
)
def test_garbled_bodies_are_refused_not_raised(garbage):
    assert parse_reply(200, len(garbage), garbage) == (None, "garbled")


def test_a_refused_vector_carries_its_reason():
    assert to_answer(np.array([0.5, 0.5], np.float32), "m", 1, "triton", 7) == Answer(None, "triton_wrong_shape", 7)
    assert check_proba(GOOD) == ""
