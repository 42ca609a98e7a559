"""A hand-written market server: counted frames to every socket, and every way a venue can misbehave."""

import asyncio
import contextlib

from aiohttp import WSMsgType, web


class Market:
    """Sends frame ``n`` of each stream to all sockets at a steady pace; sockets may be slow, cut, or told goodbye."""

    def __init__(self, frames, every_s=0.002, burst=4):
        self.frames = frames
        self.every_s, self.burst = every_s, burst
        self.sockets = {}
        self.opened = self.n = 0
        self.heard = []
        self.opened_s = []
        self.lag_of = lambda _order: 0.0
        self.alter = lambda _order, raw: [raw]
        self.host_of = {}
        self.on_open = lambda _order: []
        self.muted = set()
        self.answers = {}

    async def handle(self, request):
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        order, self.opened = self.opened, self.opened + 1
        self.opened_s.append(asyncio.get_running_loop().time())
        self.host_of[order] = request.host
        queue = asyncio.Queue()
        self.sockets[ws] = (order, queue)
        sender = asyncio.ensure_future(self._send(ws, order, queue))
        for raw in self.on_open(order):
            await ws.send_str(raw)
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    self.heard.append(message.data)
                    for answer in self.answers.get(message.data, []):
                        await ws.send_str(answer)
        finally:
            sender.cancel()
            self.sockets.pop(ws, None)
        return ws

    async def _send(self, ws, order, queue):
        with contextlib.suppress(ConnectionError):
            while True:
                due_s, raw = await queue.get()
                wait_s = due_s + self.lag_of(order) - asyncio.get_running_loop().time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                await ws.send_str(raw)

    def publish(self):
        self.n += 1
        for name, raw in self.frames(self.n):
            if name not in self.muted:
                self.say(raw)

    def say(self, raw):
        now_s = asyncio.get_running_loop().time()
        for order, queue in list(self.sockets.values()):
            for altered in self.alter(order, raw):
                queue.put_nowait((now_s, altered))

    async def play(self):
        while True:
            for _ in range(self.burst):
                self.publish()
            await asyncio.sleep(self.every_s)

    def cut(self, host=None):
        for ws, (order, _) in list(self.sockets.items()):
            if host is None or self.host_of[order] == host:
                transport = ws._req.transport
                if transport is not None:  # gone already
                    transport.abort()


@contextlib.asynccontextmanager
async def serving(market, is_playing=True, port=0):
    """The server's WebSocket address while it runs."""
    app = web.Application()
    app.router.add_get("/{tail:.*}", market.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    playing = asyncio.ensure_future(market.play()) if is_playing else None
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        if playing is not None:
            playing.cancel()
        market.cut()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def running(feed):
    """``feed`` in the background, cancelled at the end."""
    task = asyncio.ensure_future(feed.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition, limit_s=5.0):
    """Wait until ``condition()`` holds; fails when it never does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while not condition():
        assert loop.time() < end, "waited in vain"
        await asyncio.sleep(0.005)
