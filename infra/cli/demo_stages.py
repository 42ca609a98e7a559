"""The stages behind `cryptoscalp demo`, in the order in which a tick meets them."""

import contextlib
import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from features.schema import SCHEMA_ID
from infra.cli.exchange import start_exchange, start_trader
from infra.cli.progress import Progress
from infra.dagster_instance import write_dagster_home
from infra.processes import Process
from infra.stores import postgres, redis_server
from infra.triton.client import known_answer
from infra.triton.launcher import TritonServer, triton_server
from market.errors import CryptoScalpError, TapeError
from market.simulator.generator import generate
from market.tape import Session, sessions
from pipelines.resources import replacing
from pipelines.run import PipelineResult, run_pipeline
from pipelines.settings import PipelineSettings
from trader.bundle import Manifest, load_manifest
from trader.journal import Run
from trader.serving import serving_version

UNSEEN_SHARE: Final = 0.25
SHORTEST_S: Final = 60.0
PATIENCE_S: Final = 90.0
MODEL: Final = "scalper"
VENUE: Final = "binanceusdm"
_NS: Final = 1_000_000_000


class DemoSettings(msgspec.Struct, frozen=True):
    """What the demo was asked to do."""

    tape: Path | None
    seed: int
    minutes: float
    live_seconds: float
    home: Path
    repository: Path


class Input(msgspec.Struct, frozen=True):
    """The tape in use: its latest session, and the receive time from which on nothing was shown to the pipeline."""

    tape: Path
    source: str
    session: Session
    earlier_sessions: int
    split_ns: int


def run_demo(settings: DemoSettings, as_json: bool) -> None:
    """Run all stages; writes ``summary.json`` and ``report.html`` under ``settings.home``."""
    say = Progress()
    settings.home.mkdir(parents=True, exist_ok=True)
    # other people's warnings belong in a file, not between our lines
    logging.basicConfig(filename=settings.home / "demo.log", level=logging.INFO, force=True)
    logging.captureWarnings(True)
    source = choose_input(settings, say)
    with (
        postgres(settings.home) as db,
        redis_server(settings.home) as cache,
    ):
        say.say("Postgres and Redis are up")
        pipeline = run_pipeline(
            _pipeline_settings(settings, source, db.dsn, cache.url),
            write_dagster_home(settings.home, db.dsn),
            say.asset,
        )
        manifest = _published(settings)
        with triton_server(settings.repository, settings.home / "triton", [manifest.name]) as triton:
            diff = known_answer(
                triton.http_url, manifest.name, manifest.version, manifest.known_answer.x, manifest.known_answer.proba
            )
            served = f"{manifest.name} version {manifest.version}"
            say.say(f"Triton {triton.version} serves {served}, known answer off by {diff:.1e}")
            run, traded = paper_trade(settings, source, triton, cache.url, say)
            summary = summarize(settings, source, pipeline, manifest, triton, diff, run, traded, say)
    _finish(settings, summary, say, as_json)


def choose_input(settings: DemoSettings, say: Progress) -> Input:
    """The given tape, or a simulated one (made once per seed and length)."""
    tape, origin = settings.tape, "recorded"
    if tape is None:
        origin = "simulated"
        tape = settings.home / "tapes" / f"seed{settings.seed}_{settings.minutes:g}min"
        if not tape.exists():
            _simulate(settings, tape, say)
    found = [s for s in sessions(tape) if s.venue == VENUE]
    if not found:
        raise TapeError(f"{tape} holds no {VENUE} frames", f"pass a tape recorded from {VENUE}")
    session = found[-1]
    span_s = (session.last_ns - session.first_ns) / _NS
    if span_s < SHORTEST_S:
        raise TapeError(
            f"{tape}: its latest session lasts {span_s:.0f} s, too short to learn from and trade on",
            f"pass a tape of at least {SHORTEST_S:.0f} s",
        )
    unseen_s = min(UNSEEN_SHARE * span_s, settings.live_seconds)
    split_ns = session.last_ns - int(unseen_s * _NS)
    say.say(f"{origin} tape {tape}: {session.frames:,} frames of {', '.join(session.symbols)} over {span_s:.0f} s")
    if len(found) > 1:
        say.say(f"{len(found) - 1} earlier session(s) on that tape are left out")
    return Input(tape=tape, source=origin, session=session, earlier_sessions=len(found) - 1, split_ns=split_ns)


def _simulate(settings: DemoSettings, tape: Path, say: Progress) -> None:
    """Generate into a temporary folder, so that an interrupted run leaves no half tape."""
    part = tape.with_name(f".{tape.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    say.say(f"simulating {settings.minutes:g} minutes of market (seed {settings.seed})")
    generate(part, settings.seed, minutes=settings.minutes)
    part.replace(tape)


def _pipeline_settings(settings: DemoSettings, source: Input, dsn: str, redis_url: str) -> PipelineSettings:
    chosen: dict[str, Any] = {
        "home": str(settings.home / "pipeline"),
        "tape": str(source.tape),
        "model_repository": str(settings.repository),
        "model_name": MODEL,
        "split_ns": source.split_ns,
        "seed": settings.seed,
        "redis_url": redis_url,
        "pg_dsn": dsn,
        "allow_shadow": True,
    }
    return PipelineSettings(**chosen)


def _published(settings: DemoSettings) -> Manifest:
    version = serving_version(settings.repository, MODEL)
    return load_manifest(settings.repository / MODEL / str(version), SCHEMA_ID)


def paper_trade(
    settings: DemoSettings, source: Input, triton: TritonServer, online_store: str, say: Progress
) -> tuple[Run, dict[str, Any]]:
    """Run the trader as its own lean process against a simulated exchange until the tape ends."""
    run = Run(settings.home / "runs" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    unseen_s = (source.session.last_ns - source.split_ns) / _NS
    with contextlib.ExitStack() as stack:
        venue = start_exchange(source.tape, source.split_ns, settings.seed, settings.home / "exchange.log")
        stack.callback(venue.stop)
        symbols = source.session.symbols
        trader = start_trader(venue, symbols, triton.http_url, settings.repository, run.folder, online_store)
        stack.callback(trader.stop)
        say.say(f"paper trading the unseen last {unseen_s:.0f} s of the tape")
        if not say.bar("trading", unseen_s, unseen_s + PATIENCE_S, trader.alive):
            raise CryptoScalpError(
                f"the trader did not end {unseen_s + PATIENCE_S:.0f} s after its start", f"read {trader.log}, run again"
            )
    return run, _printed_summary(trader)


def _printed_summary(trader: Process) -> dict[str, Any]:
    lines = [line for line in trader.log.read_text(errors="replace").splitlines() if line.startswith('{"run"')]
    if not lines:
        said = trader.log_tail().strip()[-600:]
        raise CryptoScalpError(f"the trader ended with code {trader.returncode}: {said}", f"read {trader.log}")
    summary: dict[str, Any] = json.loads(lines[-1])
    return summary


def summarize(
    settings: DemoSettings,
    source: Input,
    pipeline: PipelineResult,
    manifest: Manifest,
    triton: TritonServer,
    diff: float,
    run: Run,
    traded: dict[str, Any],
    say: Progress,
) -> dict[str, Any]:
    """Replay the run, hold its scores to outcomes, and write report and summary."""
    from infra.cli.demo_summary import build_summary, write_demo_report
    from pipelines.run_summary import fold_tape, outcomes, replay_run

    say.say("replaying the run from its tape and journal")
    result, observed = replay_run(run, settings.repository)
    say.say(f"{result.decisions:,} decisions replayed, {result.differing} differing")
    batch = fold_tape(run.tape)
    scored = outcomes(batch, observed, manifest.label.k, manifest.label.latency_ms)
    summary = build_summary(source, pipeline, manifest, triton.version, diff, result, observed, traded, batch, scored)
    summary["wall_s"] = round(say.wall_s, 1)
    write_demo_report(settings.home / "report.html", summary, pipeline, manifest, observed, scored)
    with replacing(settings.home / "summary.json") as part:
        part.write_text(json.dumps(summary, indent=1))
    return summary


def _finish(settings: DemoSettings, summary: dict[str, Any], say: Progress, as_json: bool) -> None:
    from pipelines.report import flatten

    if as_json:
        print(json.dumps(summary))
    else:
        table = Table("figure", "value", title="CryptoScalp demo", box=box.SIMPLE_HEAD)
        for name, text in flatten(summary):
            table.add_row(name, text)
        out = Console()
        out.print(table, width=None if out.is_terminal else 140, soft_wrap=False)
    say.say(f"report: {settings.home / 'report.html'}   summary: {settings.home / 'summary.json'}")
    if summary["replay"]["differing"]:
        raise CryptoScalpError("replay found differing decisions", "read replay.first_difference in summary.json")
