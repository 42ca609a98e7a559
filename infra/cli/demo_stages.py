"""The stages behind `cryptoscalp demo`, in the order in which a tick meets them."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from infra.dagster_instance import write_dagster_home
from infra.processes import Process, start
from infra.stores import postgres, redis_server
from infra.triton.client import known_answer
from infra.triton.launcher import TritonServer, triton_server
from market.errors import CryptoScalpError, TapeError
from market.simulator.generator import generate
from market.tape import Session, sessions
from pipelines.resources import replacing
from pipelines.run import PipelineResult, run_pipeline
from pipelines.settings import PipelineSettings
from trader.bundle import Manifest, latest_version, load_manifest
from trader.journal import Run

UNSEEN_SHARE: Final = 0.25
SHORTEST_S: Final = 60.0
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


class Progress:
    """One line per stage: what, how long. Goes to stderr, so that stdout stays for figures."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        self.console.print(f"[dim]{time.monotonic() - self._start:6.1f} s[/dim]  {text}")

    def asset(self, name: str, what: str) -> None:
        """Progress of the pipeline: an asset or check has started or ended."""
        if what != "started":
            self.say(f"{name}: {what}")

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self._start


def run_demo(settings: DemoSettings, as_json: bool) -> None:
    """Run all stages; writes ``summary.json`` and ``report.html`` under ``settings.home``."""
    say = Progress()
    settings.home.mkdir(parents=True, exist_ok=True)
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
            say.say(
                f"Triton {triton.version} serves {manifest.name} version {manifest.version}; known answer differs by {diff:.1e}"
            )
            run, traded = paper_trade(settings, source, triton, manifest, say)
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
    import shutil

    part = tape.with_name(f".{tape.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    say.say(f"simulating {settings.minutes:g} minutes of market (seed {settings.seed})")
    generate(part, settings.seed, minutes=settings.minutes)
    part.replace(tape)


def _pipeline_settings(settings: DemoSettings, source: Input, dsn: str, redis_url: str) -> PipelineSettings:
    return PipelineSettings(
        home=str(settings.home / "pipeline"),
        tape=str(source.tape),
        model_repository=str(settings.repository),
        split_ns=source.split_ns,
        seed=settings.seed,
        redis_url=redis_url,
        pg_dsn=dsn,
        allow_shadow=True,
    )


def _published(settings: DemoSettings) -> Manifest:
    name = "scalper"
    version = latest_version(settings.repository, name)
    from features.schema import SCHEMA_ID

    return load_manifest(settings.repository / name / str(version), SCHEMA_ID)


@contextlib.contextmanager
def exchange(settings: DemoSettings, source: Input) -> Iterator[dict[str, Any]]:
    """A simulated Binance USD-M that streams the unseen end of the tape; yields its ready line."""
    log = settings.home / "exchange.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "market.simulator", "--tape", source.tape, "--start-ns", str(source.split_ns)]
    process = start([*command, "--seed", str(settings.seed)], name="simulated exchange", log=log)
    try:
        process.wait_ready(lambda: _ready_line(log) is not None, timeout_s=120)
        ready = _ready_line(log)
        assert ready is not None
        yield ready
    finally:
        process.stop()


def _ready_line(log: Path) -> dict[str, Any] | None:
    """The one JSON line that says where the exchange listens, once it stands in the log."""
    for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
        if line.startswith('{"rest"'):
            ready: dict[str, Any] = json.loads(line)
            return ready
    return None


def paper_trade(
    settings: DemoSettings, source: Input, triton: TritonServer, manifest: Manifest, say: Progress
) -> tuple[Run, dict[str, Any]]:
    """Run the trader as its own lean process against the simulated exchange until the tape ends."""
    run = Run(settings.home / "runs" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    run.folder.mkdir(parents=True)
    log = run.folder / "trader.log"
    with exchange(settings, source) as venue:
        command = [
            Path(sys.executable).with_name("cryptoscalp"), "trade", "--mode", "paper", "--json", "--stop-on-tape-end",
            "--symbols", ",".join(source.session.symbols), "--rest", venue["rest"], "--ws", venue["ws"],
            "--triton", triton.http_url, "--repository", settings.repository, "--model", manifest.name,
            "--home", run.folder,
        ]  # fmt: skip
        keys = {"CRYPTOSCALP_API_KEY": venue["api_key"], "CRYPTOSCALP_API_SECRET": venue["secret"]}
        trader = start(command, name="trader", log=log, env={**os.environ, **keys})
        try:
            _watch(trader, source, say)
        finally:
            trader.stop()
    return run, _printed_summary(log, trader)


def _watch(trader: Process, source: Input, say: Progress) -> None:
    """Wait for the trader with a progress bar over the tape's unseen seconds."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    unseen_s = (source.session.last_ns - source.split_ns) / _NS
    say.say(f"paper trading the unseen last {unseen_s:.0f} s of the tape")
    deadline = time.monotonic() + unseen_s + 90
    with Bar(TextColumn("trading"), BarColumn(), TimeRemainingColumn(), console=say.console, transient=True) as bar:
        task = bar.add_task("", total=unseen_s)
        while trader.alive():
            time.sleep(0.25)
            bar.advance(task, 0.25)
            if time.monotonic() > deadline:
                raise CryptoScalpError(
                    f"the trader did not end {unseen_s + 90:.0f} s after its start",
                    f"read {trader.log}, then run again",
                )


def _printed_summary(log: Path, trader: Process) -> dict[str, Any]:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith('{"run"')]
    if not lines:
        raise CryptoScalpError(
            f"the trader ended with code {trader.returncode}: {trader.log_tail().strip()[-600:]}", f"read {log}"
        )
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
        table = Table(title="CryptoScalp demo", show_header=False)
        for name, text in flatten(summary):
            table.add_row(name, text)
        Console().print(table)
    say.say(f"report: {settings.home / 'report.html'}   summary: {settings.home / 'summary.json'}")
    if summary["replay"]["differing"]:
        raise CryptoScalpError("replay found differing decisions", "read replay.first_difference in summary.json")
