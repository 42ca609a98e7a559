"""The Dagster instance of one workspace: its runs and events in Postgres when there is one, in files otherwise."""

import json
import os
from pathlib import Path

RUN_LOGS = "compute_logs"


def write_dagster_home(home: Path, dsn: str | None) -> Path:
    """Write ``<home>/dagster/dagster.yaml`` in one step and return that folder, for ``DAGSTER_HOME``.

    Parameters
    ----------
    home
        The workspace.
    dsn
        Postgres for runs, events and schedules (through dagster-postgres); None keeps them in SQLite files beside.
    """
    folder = (home / "dagster").resolve()
    (folder / RUN_LOGS).mkdir(parents=True, exist_ok=True)
    part = folder / f"dagster.yaml.{os.getpid()}.part"
    # the DSN may hold a password; JSON is YAML, quoted safely
    part.touch(mode=0o600)
    part.write_text(json.dumps(_settings(folder, dsn), indent=2) + "\n")
    part.replace(folder / "dagster.yaml")
    return folder


def _settings(folder: Path, dsn: str | None) -> dict[str, object]:
    return {
        "storage": {"sqlite": {"base_dir": str(folder)}} if dsn is None else {"postgres": {"postgres_url": dsn}},
        "local_artifact_storage": _class("root", "LocalArtifactStorage", folder),
        "compute_logs": _class("local_compute_log_manager", "LocalComputeLogManager", folder / RUN_LOGS),
        # a launched run starts at once, also where no daemon runs
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
        "telemetry": {"enabled": False},
        # the first visit's e-mail form
        "nux": {"enabled": False},
    }


def _class(module: str, name: str, folder: Path) -> dict[str, object]:
    return {"module": f"dagster._core.storage.{module}", "class": name, "config": {"base_dir": str(folder)}}
