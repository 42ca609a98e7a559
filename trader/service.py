"""Puts a trader together: venue, bundle, Triton, engine. Every check that can refuse a start is made here."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from features import kernel
from features.online import OnlineRow
from features.schema import SCHEMA_ID
from market import book_kernel
from trader.anomaly import read_anomaly
from trader.bundle import MODEL_FILE, Manifest, load_manifest
from trader.clock import Clock
from trader.config import TraderConfig
from trader.errors import ConnectionRefused, ModeRefused
from trader.feeds.metrics import serve_metrics
from trader.heartbeat import Heartbeat
from trader.journal import Run
from trader.live import LiveTrader
from trader.online_store import OnlineStore
from trader.outcomes import OutcomeParams
from trader.records import AccountSnapshot, HeldPosition, OpenOrder, Start
from trader.scorer import LocalScorer, TritonLane, TritonScorer
from trader.serving import serving_version
from trader.venues import Addresses, Keys, Venue, make_venue
from trader.watchdog import Guardian, WatchdogSettings

KNOWN_ANSWER_TOLERANCE: Final = 1e-4


class ServiceSettings(msgspec.Struct, frozen=True):
    """Where the trader finds its services. ``rest`` None is the venue's own address.

    ``watchdog``: "auto" starts one where the venue has no dead-man's switch, "always" and "never" say so. It cancels
    after ``watchdog_s`` of silence. ``foreign_orders`` found open at the start are to be "keep" (left alone, counted as
    if they fill) or "cancel". ``online_store`` is its Redis address; None without one.
    """

    rest: str | None
    ws: str
    triton: str
    repository: Path
    model: str
    home: Path
    keys: Keys
    stop_on_tape_end: bool = False
    metrics_port: int | None = None
    venue: str = "binanceusdm"
    watchdog: str = "auto"
    watchdog_s: float = 5.0
    watchdog_flattens: bool = False
    foreign_orders: str = "keep"
    online_store: str | None = None


class Summary(msgspec.Struct, frozen=True):
    """What one run did, for the command line and the report."""

    run: str
    events: int
    requests: int
    failures: int
    fallbacks: int
    quarantined: int
    gaps: int
    orders: int
    net_pnl: float
    fees: float
    flat: bool
    online_rows: int


async def trade_paper(settings: ServiceSettings, config: TraderConfig) -> Summary:
    """Trade against the venue at ``settings.rest`` until it ends, SIGINT or SIGTERM; returns what happened.

    Raises
    ------
    CryptoScalpError
        A service does not answer, a bundle is unfit, or Triton computes something else than the bundle says.
    """
    clock = Clock()
    kernel.warm_up()
    book_kernel.warm_up()
    version = serving_version(settings.repository, settings.model)
    folder = settings.repository / settings.model / str(version)
    manifest = load_manifest(folder, SCHEMA_ID)
    local = LocalScorer(folder / MODEL_FILE, settings.model, version)
    lanes = await open_lanes(settings.triton, config.symbols, settings.model, version)
    scorer = TritonScorer(lanes, local, config.score_deadline_ms / 1e3, clock.now_ns)
    await check_known_answer(lanes[config.symbols[0]], manifest)
    # the market may come from several addresses; the account's is the first
    addresses = Addresses(rest=settings.rest, ws=settings.ws.split(",")[0])
    venue, budget = make_venue(settings.venue, addresses, settings.keys, clock.now_ns)
    online = OnlineStore(settings.online_store) if settings.online_store else None
    guardian: Guardian | None = None
    try:
        await venue.open()
        start = msgspec.structs.replace(
            await _start_record(venue, config, manifest, clock, settings.foreign_orders),
            anomaly=read_anomaly(folder, manifest),
            outcomes=_followed(manifest) if config.recalibrate else None,
            online={} if online is None else await _online_rows(online, config, clock),
        )
        heartbeat, guardian = await _guarded(settings, config, venue)
        trader = LiveTrader(
            start,
            Run(settings.home),
            venue,
            scorer,
            settings.ws,
            clock,
            stop_on_tape_end=settings.stop_on_tape_end,
            heartbeat=heartbeat,
            online=online,
        )
        guardian = None
        _stop_on_signals(trader)
        with contextlib.ExitStack() as stack:
            if settings.metrics_port is not None:
                stack.enter_context(serve_metrics(settings.metrics_port, trader.metrics()))
            await trader.run()
    finally:
        if guardian is not None:
            guardian.stop()
        scorer.close()
        await venue.close()
        await budget.close()
        if online is not None:
            await online.close()
    return _summary(start, trader, scorer)


def refuse_live() -> None:
    """Live trading stays shut until keys, confirmation and the validation gate exist.

    Raises
    ------
    ModeRefused
        Always.
    """
    raise ModeRefused(
        "mode live is shut: no validation gate (30 days out of sample) has passed", "use --mode paper until one has"
    )


async def open_lanes(url: str, symbols: Sequence[str], model: str, version: int) -> dict[str, TritonLane]:
    """One connected lane per symbol; raises ConnectionRefused when nobody listens at ``url``."""
    lanes = {symbol: TritonLane(url, model, version) for symbol in symbols}
    try:
        await asyncio.gather(*(lane.open() for lane in lanes.values()))
    except OSError as error:
        raise ConnectionRefused(f"Triton does not answer at {url}", "start it with `cryptoscalp serve`") from error
    return lanes


async def check_known_answer(lane: TritonLane, manifest: Manifest) -> None:
    """Ask Triton the bundle's recorded question; raises ConnectionRefused when the answer is another."""
    done: asyncio.Future[tuple[npt.NDArray[np.float32] | None, str]] = asyncio.get_running_loop().create_future()
    x = np.array(manifest.known_answer.x, dtype=np.float32)
    lane.infer(x.tobytes(), lambda proba, reason: done.set_result((proba, reason)))
    proba, reason = await asyncio.wait_for(done, timeout=5.0)
    diff = float("inf") if proba is None else float(np.abs(proba - np.array(manifest.known_answer.proba)).max())
    if not diff <= KNOWN_ANSWER_TOLERANCE:
        raise ConnectionRefused(
            f"Triton answers {manifest.name} version {manifest.version} wrongly (difference {diff:g} {reason})",
            "restart it with `cryptoscalp serve`; check .venv-triton has numpy 1.26",
        )


async def _guarded(
    settings: ServiceSettings, config: TraderConfig, venue: Venue
) -> tuple[Heartbeat | None, Guardian | None]:
    """A watchdog that guards already, where one is wanted."""
    if settings.watchdog == "never" or (settings.watchdog == "auto" and venue.has_dead_man):
        return None, None
    settings.home.mkdir(parents=True, exist_ok=True)
    heartbeat = Heartbeat(settings.home)
    heartbeat.beat()
    wanted = WatchdogSettings(
        venue=settings.venue,
        symbols=config.symbols,
        folder=settings.home,
        rest=settings.rest,
        timeout_s=settings.watchdog_s,
        flatten=settings.watchdog_flattens,
    )
    guardian = Guardian(wanted, settings.keys)
    await guardian.start()
    return heartbeat, guardian


async def _start_record(
    venue: Venue, config: TraderConfig, manifest: Manifest, clock: Clock, foreign_orders: str
) -> Start:
    """What the account holds already is adopted; raises ModeRefused when part of it is in symbols not traded here."""
    instruments = await venue.instruments(config.symbols)
    found = await _foreign_orders(venue, config.symbols, foreign_orders)
    account = await venue.account()
    seen = {s: [f.trade_id for f in await venue.fills(s, 0)] for s in config.symbols}
    return Start(
        ts_ns=clock.now_ns(),
        run_id=f"cs{int(time.time()):x}{os.getpid() & 0xFFFF:04x}",
        config=config,
        instruments=instruments,
        schema_id=SCHEMA_ID,
        model=manifest.name,
        model_version=manifest.version,
        model_sha256=manifest.sha256[MODEL_FILE],
        promoted=manifest.gate.promoted,
        balance=account.balance,
        positions=_adopted(account, config.symbols),
        foreign_orders=found,
        trades_seen=seen,
    )


def _followed(manifest: Manifest) -> OutcomeParams | None:
    """The label of the bundle as the trader can follow it; None for a kind it cannot."""
    label = manifest.label
    if label.kind != "nl":
        return None
    return OutcomeParams(label.k, round(label.latency_ms * 1e6), manifest.recalibration)


async def _online_rows(store: OnlineStore, config: TraderConfig, clock: Clock) -> dict[str, OnlineRow]:
    """Rows the online store has of our symbols, too old ones left out."""
    oldest_ns = clock.now_ns() - round(config.online.max_age_s * 1e9)
    rows = await store.read(config.symbols)
    return {symbol: row for symbol, row in rows.items() if row.event_ns >= oldest_ns}


async def _foreign_orders(venue: Venue, symbols: Sequence[str], what: str) -> list[OpenOrder]:
    """Orders that were open before us: cancelled if so asked, else listed."""
    found = await venue.open_orders(symbols)
    if what != "cancel" or not found:
        return found
    for symbol in sorted({o.symbol for o in found}):
        await venue.cancel_all(symbol)
    return await venue.open_orders(symbols)


def _adopted(account: AccountSnapshot, symbols: Sequence[str]) -> dict[str, HeldPosition]:
    strangers = sorted(account.positions.keys() - set(symbols))
    if strangers:
        raise ModeRefused(
            f"the account holds {', '.join(strangers)}, which this run does not trade",
            "add them to --symbols, or close these positions",
        )
    return {s: HeldPosition(qty, account.entries[s]) for s, qty in account.positions.items()}


def _stop_on_signals(trader: LiveTrader) -> None:
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, trader.stop, sign.name)
    loop.add_signal_handler(signal.SIGUSR1, trader.kill, False, "SIGUSR1")
    loop.add_signal_handler(signal.SIGUSR2, trader.kill, True, "SIGUSR2")


def _summary(start: Start, trader: LiveTrader, scorer: TritonScorer) -> Summary:
    books = trader.engine.books
    return Summary(
        run=start.run_id,
        events=sum(m.frames for m in books.markets.values()),
        requests=scorer.requests,
        failures=scorer.failures,
        fallbacks=scorer.fallbacks,
        quarantined=sum(m.quarantined for m in books.markets.values()),
        gaps=sum(m.gaps for m in books.markets.values()),
        orders=trader.engine.orders_sent,
        net_pnl=float(books.ledger.balance - start.balance),
        fees=float(books.ledger.fees),
        flat=books.flat,
        online_rows=0 if trader.online is None else trader.online.pushed,
    )
