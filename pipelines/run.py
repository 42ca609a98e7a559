"""One run of the whole job in this process: progress on the way, plain results at the end, or one clear error."""

import logging
import signal
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg
import msgspec

from market.errors import CryptoScalpError
from pipelines import storage
from pipelines.definitions import JOB, build_definitions, defs
from pipelines.settings import PipelineError, PipelineSettings

Progress = Callable[[str, str], None]
FAILURE_FILE: Final = "pipeline_failure.txt"
_RUN_FIX: Final = "correct the data or the setting it names, then run again; what was written before is kept"


class CheckOutcome(msgspec.Struct, frozen=True):
    """One asset check as it was evaluated."""

    asset: str
    name: str
    passed: bool
    description: str
    metadata: dict[str, Any]


class PipelineResult(msgspec.Struct, frozen=True):
    """A run that succeeded: metadata by asset (plots left out), seconds by step, and every check."""

    run_id: str
    assets: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    checks: list[CheckOutcome]


class _Follower(logging.Handler):
    """Hears Dagster's events as they happen, tells ``progress``, and remembers which step is under way."""

    def __init__(self, progress: Progress, names: Mapping[str, str]) -> None:
        super().__init__(logging.DEBUG)
        self._progress, self._names = progress, names
        self._started: dict[str, float] = {}
        self.step, self.seconds, self.failed_checks = "", dict[str, float](), list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_event", None) or getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is None or event.step_key is None:
            return
        step = self._names.get(event.step_key, event.step_key)
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            self._note(event.asset_check_evaluation_data)
        elif event.event_type_value == "STEP_START":
            self.step, self._started[step] = step, time.monotonic()
            self._progress(step, "started")
        elif event.event_type_value in ("STEP_SUCCESS", "STEP_FAILURE"):
            self.seconds[step] = time.monotonic() - self._started.get(step, time.monotonic())
            outcome = "done" if event.event_type_value == "STEP_SUCCESS" else "failed"
            self._progress(step, f"{outcome} in {self.seconds[step]:.1f} s")

    def _note(self, check: dg.AssetCheckEvaluation) -> None:
        if not check.passed:
            self.failed_checks.append(f"{check.asset_key.to_user_string()}: {check.check_name}: {check.description}")


def run_pipeline(
    settings: PipelineSettings,
    dagster_home: Path | None,
    progress: Progress = lambda _asset, _what: None,
    only: Collection[str] | None = None,
    job: str = JOB,
) -> PipelineResult:
    """Materialize every asset and evaluate every check, in order, in this process.

    Parameters
    ----------
    settings
        Where to read and write, and with which parameters.
    dagster_home
        Folder with a ``dagster.yaml``, so that the run shows in Dagster's UI; None keeps no record in Dagster.
    progress
        Called with the name of an asset, or "asset: check", and "started", "done in … s" or "failed in … s".
    only
        Names of the assets to materialize, with their checks; None means all. What they need must be there already.
    job
        Which job of ``pipelines.definitions`` to run.

    Raises
    ------
    CryptoScalpError
        An asset or a blocking check failed: one sentence naming it and the cause, and a fix. The trace of an unexpected
        failure is written to ``pipeline_failure.txt`` under ``home``.
    """
    run_id, follower = str(uuid.uuid4()), _Follower(progress, _step_names())
    keys = None if only is None else [dg.AssetKey(name) for name in only]
    with _recorded(settings, run_id) as outcome, _instance(dagster_home) as instance:
        defined = build_definitions(settings, {"follow": _following(follower)}).resolve_job_def(job)
        config: dict[str, Any] = {"loggers": {"follow": {}}}
        try:
            with signals_kept():
                result = defined.execute_in_process(config, instance=instance, run_id=run_id, asset_selection=keys)
        except Exception as error:
            raise _explained(error, follower, settings.home_path) from error
        outcome.update(status="succeeded")
    return PipelineResult(run_id, _assets(result), follower.seconds, list(_checks(result)))


@contextmanager
def signals_kept() -> Iterator[None]:
    """Leave the handlers of SIGINT and SIGTERM as they were.

    Dagster gives both the handler that SIGINT had. In a job started in the background SIGINT is ignored, so SIGTERM
    would be as well from then on, here and in every child process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _step_names() -> dict[str, str]:
    """What people call Dagster's steps that evaluate one check."""
    checks = [check for check in defs.asset_checks or [] if isinstance(check, dg.AssetChecksDefinition)]
    return {
        check.node_def.name: f"{key.asset_key.to_user_string()}: {key.name}"
        for check in checks
        for key in check.check_keys
    }


def _following(follower: _Follower) -> dg.LoggerDefinition:
    """A Dagster logger that only feeds ``follower``; without it Dagster prints every event."""

    def quiet(_context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("cryptoscalp.pipeline", logging.DEBUG)
        logger.addHandler(follower)
        return logger

    return dg.LoggerDefinition(quiet)


@contextmanager
def _recorded(settings: PipelineSettings, run_id: str) -> Iterator[dict[str, Any]]:
    """The run in ``pipeline_runs``: started, then succeeded or failed with its error."""
    store = storage.open_store(storage.database_url(settings))
    # addresses of stores may hold passwords
    shown = settings.model_dump(exclude={"pg_dsn", "redis_url"})
    run = storage.PipelineRun(
        run_id=run_id, status="started", started_ns=time.time_ns(), ended_ns=None, settings=shown, error=None
    )
    storage.record_run(store, run)
    outcome: dict[str, Any] = {"status": "failed"}
    try:
        yield outcome
    except BaseException as error:
        outcome["error"] = str(error) or type(error).__name__
        raise
    finally:
        storage.record_run(store, msgspec.structs.replace(run, ended_ns=time.time_ns(), **outcome))
        store.dispose()


@contextmanager
def _instance(dagster_home: Path | None) -> Iterator[dg.DagsterInstance]:
    if dagster_home is None:
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance
        return
    if not (dagster_home / "dagster.yaml").is_file():
        raise PipelineError(f"{dagster_home}: no dagster.yaml here", "run `make up` once, or pass no Dagster home")
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        yield instance


def _explained(error: BaseException, follower: _Follower, home: Path) -> CryptoScalpError:
    """The failure in one sentence: ours as it says itself, a failed check by its words, anything else with its type."""
    for cause in _causes(error):
        if isinstance(cause, CryptoScalpError):
            return PipelineError(f"{follower.step}: {cause.message}", cause.fix)
    if follower.failed_checks:
        return PipelineError(follower.failed_checks[-1], _RUN_FIX)
    root = list(_causes(error))[-1]
    trace = home / FAILURE_FILE
    trace.write_text("".join(traceback.format_exception(error)))
    return PipelineError(f"{follower.step}: {type(root).__name__}: {root}", f"report it with {trace}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "user_exception", None) or error.__cause__


def _assets(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    return {
        event.asset_key.to_user_string(): _plain(event.step_materialization_data.materialization.metadata)
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def _checks(result: dg.ExecuteInProcessResult) -> Iterator[CheckOutcome]:
    for check in result.get_asset_check_evaluations():
        asset = check.asset_key.to_user_string()
        yield CheckOutcome(asset, check.check_name, check.passed, check.description or "", _plain(check.metadata))


def _plain(metadata: Mapping[str, dg.MetadataValue[Any]]) -> dict[str, Any]:
    return {name: value.value for name, value in metadata.items() if not isinstance(value, dg.MarkdownMetadataValue)}
