"""A process of its own that cancels a silent trader's orders, for venues without a dead-man's switch.

It watches the heartbeat in the trader's run folder by its own clock, holds its own connection to the venue, and shares
nothing with the trader but the rate budget. A trader that is dead, stopped or stuck no longer beats. Then every order
of its symbols is cancelled, again and again until none is left and none can still arrive; positions are closed if so
asked. It cannot outlive its host: run a second one elsewhere on the same folder if the host may fail.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from market.errors import CryptoScalpError
from market.instruments import Instrument
from trader.clock import Clock
from trader.errors import ModeRefused
from trader.heartbeat import WatchdogState, read_beat, read_state, state_path, write
from trader.records import Order
from trader.venues import Addresses, Keys, Venue, make_venue

POLL_S: Final = 0.1
SWEEP_S: Final = 0.5
# a request of the dead trader may still be accepted for its receive window
SETTLED_S: Final = 6.0
START_S: Final = 30.0
KEY_SETTINGS: Final = ("CRYPTOSCALP_API_KEY", "CRYPTOSCALP_API_SECRET", "CRYPTOSCALP_API_PASSWORD")


class WatchdogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``folder`` is the trader's run folder. ``timeout_s`` without a beat means silent."""

    venue: str
    symbols: tuple[str, ...]
    folder: Path
    rest: str | None = None
    timeout_s: float = 5.0
    flatten: bool = False


class Watchdog:
    """Guards one run folder with one venue client."""

    def __init__(self, settings: WatchdogSettings, venue: Venue, instruments: list[Instrument]) -> None:
        self._settings = settings
        self._venue = venue
        self._instruments = {i.symbol: i for i in instruments}
        self._beat = read_beat(settings.folder)
        self._heard_s = time.monotonic()
        self._stopped = False
        self.state = WatchdogState(os.getpid(), "guarding")
        self._tell(self.state)

    def stop(self) -> None:
        self._stopped = True

    async def run(self) -> WatchdogState:
        """Guard until the trader says that it is done, it is dead and swept up after, or ``stop``."""
        while not self._stopped:
            self._listen()
            if self._beat is not None and self._beat.done:
                self._tell(msgspec.structs.replace(self.state, state="done"))
                break
            if self._silent() and await self._act() and self._trader_is_gone():
                break
            await asyncio.sleep(POLL_S)
        return self.state

    def _listen(self) -> None:
        beat = read_beat(self._settings.folder)
        if beat is not None and beat != self._beat:
            self._beat, self._heard_s = beat, time.monotonic()

    def _silent(self) -> bool:
        return time.monotonic() - self._heard_s > self._settings.timeout_s

    def _trader_is_gone(self) -> bool:
        return self._beat is None or not is_alive(self._beat.pid)

    async def _act(self) -> bool:
        """Sweep until the venue shows nothing of ours for ``SETTLED_S``; False when the trader has come back."""
        clean_s: float | None = None
        while self._silent() and not self._stopped:
            try:
                clean = await self._sweep()
                detail = "clean" if clean else "orders left"
            except CryptoScalpError as error:
                clean, detail = False, error.message
            self._tell(WatchdogState(os.getpid(), "fired", self.state.sweeps + 1, detail))
            now_s = time.monotonic()
            clean_s = (clean_s or now_s) if clean else None
            if clean_s is not None and now_s - clean_s > SETTLED_S:
                return True
            await asyncio.sleep(SWEEP_S)
            self._listen()
        return False

    async def _sweep(self) -> bool:
        """Cancel everything, close what is held if so asked; True when nothing was there."""
        symbols = self._settings.symbols
        found = await self._venue.open_orders(symbols) if self.state.sweeps else None
        if found is None or found:
            for symbol in symbols:
                await self._venue.cancel_all(symbol)
        held = await self._flatten() if self._settings.flatten else False
        return found == [] and not held

    async def _flatten(self) -> bool:
        """Close the positions of our symbols at the market; True when there were any."""
        account = await self._venue.account()
        held = {s: qty for s, qty in account.positions.items() if s in self._instruments}
        for symbol, qty in held.items():
            instrument = self._instruments[symbol]
            order = Order(
                client_id=f"wd{time.time_ns():x}",
                symbol=symbol,
                side=-1 if qty > 0 else 1,
                lots=min(int(abs(qty) / instrument.lot_size), instrument.max_lots),
                px_ticks=None,
                post_only=False,
                reduce_only=True,
                strategy="watchdog",
            )
            await self._venue.place(order, lambda: None)
        return bool(held)

    def _tell(self, state: WatchdogState) -> None:
        self.state = state
        write(state_path(self._settings.folder), state)


def is_alive(pid: int) -> bool:
    """Whether the process exists and is more than an entry waiting for its parent."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return True


async def guard(settings: WatchdogSettings, keys: Keys, ready: Callable[[], None] = lambda: None) -> WatchdogState:
    """Connect, guard and sweep; returns the last state.

    Raises
    ------
    CryptoScalpError
        The venue does not answer at start, or does not list the symbols.
    """
    venue, budget = make_venue(settings.venue, Addresses(rest=settings.rest), keys, Clock().now_ns)
    try:
        await venue.open()
        watchdog = Watchdog(settings, venue, await venue.instruments(settings.symbols))
        for sign in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sign, watchdog.stop)
        ready()
        return await watchdog.run()
    finally:
        await venue.close()
        await budget.close()


class Guardian:
    """The trader's handle on its watchdog process, which outlives it."""

    def __init__(self, settings: WatchdogSettings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it guards.

        Raises
        ------
        ModeRefused
            It did not come up: without it nobody would cancel our orders.
        """
        folder = self._settings.folder
        state_path(folder).unlink(missing_ok=True)
        secrets = dict(zip(KEY_SETTINGS, msgspec.structs.astuple(self._keys), strict=True))
        command = [sys.executable, "-m", "trader.watchdog", msgspec.json.encode(self._settings, enc_hook=str).decode()]
        with (folder / "watchdog.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **secrets},
                start_new_session=True,
            )
        end = time.monotonic() + START_S
        while read_state(folder) is None:
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise ModeRefused("the watchdog did not start", f"read {folder / 'watchdog.log'}, then try again")
            await asyncio.sleep(0.05)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it; only for a run that never began to trade."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def main() -> int:
    """``python -m trader.watchdog SETTINGS``: settings as JSON, keys from the environment."""
    settings = msgspec.json.decode(sys.argv[1], type=WatchdogSettings, dec_hook=lambda kind, text: kind(text))
    keys = Keys(*(os.environ.get(name, "") for name in KEY_SETTINGS))
    try:
        print(msgspec.json.encode(asyncio.run(guard(settings, keys))).decode())
    except CryptoScalpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
