"""Start-up and shut-down of the simulated exchange, shared by ``python -m market.simulator`` and the command line."""

import asyncio
import contextlib
import errno
import importlib
import json
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from aiohttp import web

from market.simulator import admin
from market.simulator.errors import SimulatorError
from market.simulator.face import KITS, Face, Kit
from market.simulator.face import VENUE as VENUE
from market.simulator.face import Options as Options
from market.tape import Session, sessions

HOST: Final = "127.0.0.1"
SHUTDOWN_S: Final = 1.0
TICK_S: Final = 0.5


def check(options: Options) -> None:
    """Refuse settings that make no sense."""
    if options.venue not in KITS:
        raise SimulatorError(f"venue {options.venue!r} is not simulated", f"pass --venue {', '.join(KITS)}")
    if not 0 < options.speed < float("inf"):
        raise SimulatorError(f"speed {options.speed} is not a positive number", "pass --speed 1 for real time")
    if not 0 <= options.latency_ms < 60_000:
        raise SimulatorError(
            f"latency {options.latency_ms} ms is out of range", "pass --latency-ms between 0 and 60000"
        )
    if not 0 <= options.port < 65_536:
        raise SimulatorError(f"port {options.port} is out of range", "pass --port 0 to pick a free one")
    if not options.wallet.is_finite() or options.wallet <= 0 or not 1 <= options.leverage <= 125:
        raise SimulatorError("the account needs money and a leverage of 1 to 125", "check --wallet and --leverage")


def bind(port: int) -> socket.socket:
    """A listening loopback socket.

    Raises
    ------
    SimulatorError
        The port is used by another program, or not ours to use.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        why = "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise SimulatorError(
            f"port {port} on {HOST} {why}", "pass --port 0 to pick a free one, or stop the other program"
        ) from None
    return listener


def session_of(options: Options, scratch: Path) -> Session:
    """The recording to play: of the tape given, else of one generated into ``scratch``, the session ``start_ns`` is in.

    A session ends where nothing was received for an hour, so that a folder of several recordings plays one of them.

    Raises
    ------
    CryptoScalpError
        The tape is missing, empty, of another venue, or ends before ``start_ns``.
    """
    folder = scratch if options.tape is None else options.tape
    if options.tape is None:
        from market.simulator.generator import generate  # numpy is only needed for this

        generate(scratch, options.seed)
    found, playable = sessions(folder), kit_of(options.venue).tape_venues
    ours = next((own for venue in playable if (own := [s for s in found if s.venue == venue])), [])
    if not ours:
        fix = f"pass a tape of {' or '.join(playable)} with --tape, or leave it out to generate one"
        raise SimulatorError(
            f"{folder} was recorded on {found[0].venue}, and this exchange serves {options.venue}", fix
        )
    for session in ours:
        if session.last_ns >= options.start_ns:
            return session
    raise SimulatorError(
        f"{folder} ends at {ours[-1].last_ns}, before --start-ns {options.start_ns}", "pass an earlier --start-ns"
    )


def kit_of(venue: str) -> Kit:
    """How to build a venue's face; only that venue's modules are imported."""
    kit: Kit = importlib.import_module(KITS[venue]).KIT
    return kit


def build(options: Options, session: Session) -> Face:
    """The face of the venue, its markets warmed up to ``start_ns``."""
    face = kit_of(options.venue).build(options, session)
    face.player.warm(options.start_ns)
    return face


def application(face: Face) -> web.Application:
    """Every path of the venue and the admin door."""
    app = web.Application(client_max_size=1 << 20)
    app.router.add_routes([*admin.routes(face), *face.routes()])
    return app


async def run(face: Face, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(application(face), access_log=None, shutdown_timeout=SHUTDOWN_S, handle_signals=False)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    playing, ticking = asyncio.create_task(face.player.run()), asyncio.create_task(_tick(face))
    ready()
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
    ticking.cancel()
    await _shut_down(face, runner, playing)


async def _tick(face: Face) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        face.tick()


async def _shut_down(face: Face, runner: web.AppRunner, playing: "asyncio.Task[None]") -> None:
    failed = playing.exception() if playing.done() else None
    playing.cancel()
    sockets = [*face.hub.sockets, *face.hub.users]
    closing = asyncio.gather(*(s.ws.close(code=1001, message=b"going away") for s in sockets), return_exceptions=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(closing, SHUTDOWN_S / 2)
    for open_socket in sockets:
        open_socket.drop()
    await runner.cleanup()
    if failed is not None:
        raise failed


def ready_line(face: Face, port: int) -> str:
    """The one line of JSON a parent process waits for."""
    return json.dumps({"rest": f"http://{HOST}:{port}", "ws": f"ws://{HOST}:{port}", **face.keys()})


@contextlib.contextmanager
def _leave_on_sigterm() -> Iterator[None]:
    """Before the server listens for it: end the process in good order, temporary files removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def serve(options: Options) -> None:
    """Run the simulated exchange until it is told to stop; prints one JSON line on stdout when it is ready.

    Raises
    ------
    CryptoScalpError
        A setting makes no sense, the port is taken, or the tape is missing, empty, too short or of another venue.
    """
    check(options)
    temporary = tempfile.TemporaryDirectory(prefix="cryptoscalp-sim-")
    with _leave_on_sigterm(), bind(options.port) as listener, temporary as scratch:
        face = build(options, session_of(options, Path(scratch)))
        port = listener.getsockname()[1]
        asyncio.run(run(face, listener, lambda: print(ready_line(face, port), flush=True)))
