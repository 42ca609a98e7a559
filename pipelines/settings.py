"""Every knob of the pipeline, once: frozen, unknown keys forbidden, and the configuration of the Dagster resource."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from dagster import Config
from pydantic import ConfigDict, Field, ValidationError

from market.errors import CryptoScalpError

ENV_PREFIX = "CRYPTOSCALP__PIPELINE__"


class PipelineError(CryptoScalpError):
    """An asset cannot be made from what it was given."""


class PipelineSettings(Config):
    """Where the pipeline reads and writes, and the parameters that decide what it computes.

    Frames received at or after ``split_ns`` are never read: they stay unseen for the live half. ``None`` reads
    everything.
    """

    model_config = ConfigDict(extra="forbid")

    home: str = Field("var/demo", description="folder that holds every table, model and report of this run")
    tape: str = Field("var/demo/tape", description="tape files or folders of tapes, separated as in PATH")
    sessions: Literal["latest", "all"] = Field("latest", description="recording sessions of the tapes to learn from")
    model_repository: str = Field("model_repository", description="Triton model repository to publish to")
    model_name: str = Field("scalper", description="name the model is published and its features are served under")
    split_ns: int | None = Field(None, description="first receive time, ns UTC, that the pipeline must not see")
    session_gap_s: float = Field(3600.0, gt=0, description="silence that separates two recording sessions")
    max_ticks: int = Field(2_000_000, gt=0, description="ticks kept per symbol and session; the latest win")
    max_rejected_share: float = Field(
        0.05, ge=0, le=1, description="share of ticks that may be rejected before data is unfit"
    )
    label_k: int = Field(50, gt=0, description="top-of-book quotes between a decision and its outcome")
    label_latency_ms: float = Field(10.0, ge=0, description="delay between decision and reference price, event clock")
    train_share: float = Field(0.60, gt=0, lt=1, description="share of samples, first in time, that members learn from")
    calibrate_share: float = Field(0.15, gt=0, lt=1, description="share of samples, next in time, that calibrate them")
    max_samples: int = Field(40_000, gt=0, description="samples kept in the training set, evenly thinned")
    reference_symbol: str = Field("BTC", description="symbol, or how its name begins, that cross-asset features watch")
    selection_tapes: list[str] = Field([], description="tapes that features are selected on, every session; else tape")
    selection_count: int = Field(25, gt=0, description="features that a selection chooses")
    selection_rows: int = Field(12_000, gt=0, description="decision points kept per symbol and session to select on")
    selection_embargo_s: float = Field(
        10.0, ge=0, description="time that a label must be known before what it judges begins, event clock"
    )
    allow_shadow: bool = Field(False, description="publish a refused model where nothing can serve; never traded")
    seed: int = Field(7, description="seed of everything that draws at random")
    redis_url: str | None = Field(None, description="Redis or Valkey of the online feature store, redis://host:port/db")
    pg_dsn: str | None = Field(None, description="Postgres for model versions and runs; SQLite under home when absent")

    @property
    def home_path(self) -> Path:
        """``home`` as an absolute path."""
        return Path(self.home).expanduser().resolve()

    @property
    def tape_paths(self) -> tuple[Path, ...]:
        """``tape`` as absolute paths; one that exists as it is written is one path, whatever its name holds.

        Raises
        ------
        PipelineError
            When it names none.
        """
        whole = Path(self.tape).expanduser()
        given = [whole] if whole.exists() else [Path(path).expanduser() for path in self.tape.split(os.pathsep) if path]
        if not given:
            raise PipelineError(f"tape {self.tape!r} names no path", "name a tape file or a folder of tapes")
        return tuple(path.resolve() for path in given)

    @property
    def model_repository_path(self) -> Path:
        """``model_repository`` as an absolute path."""
        return Path(self.model_repository).expanduser().resolve()


def settings_from_env(environ: Mapping[str, str] | None = None) -> PipelineSettings:
    """Defaults overlaid with ``CRYPTOSCALP__PIPELINE__<FIELD>`` variables.

    Raises
    ------
    PipelineError
        When a variable names no setting or holds a value the setting does not accept.
    """
    source = os.environ if environ is None else environ
    given = {
        name.removeprefix(ENV_PREFIX).lower(): value for name, value in source.items() if name.startswith(ENV_PREFIX)
    }
    try:
        return PipelineSettings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ENV_PREFIX + ".".join(str(part) for part in first["loc"]).upper()
        raise PipelineError(f"{name}: {first['msg'].lower()}", f"set {name} to a valid value or unset it") from error
