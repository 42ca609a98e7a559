"""Which version serves, and which may: only what its own gate promoted, and back to what served before in one step."""

import os
from pathlib import Path
from typing import Final

import msgspec

from infra.triton.config import write_config
from pipelines.publish import MAX_BATCH, now_ns
from pipelines.resources import replacing
from pipelines.settings import PipelineError
from trader.bundle import MEMBERS, BundleError, Manifest, load_manifest, read_manifest, version_dir, versions
from trader.serving import Serving, read_serving, serving_path, serving_version

KEPT: Final = 16
"""Versions that served before, as far back as is remembered."""
_LOADED: Final = 2


class Listed(msgspec.Struct, frozen=True):
    """One published version; ``manifest`` is None where it cannot be read, ``problem`` then says why."""

    name: str
    version: int
    serving: bool
    manifest: Manifest | None
    problem: str = ""


def list_models(repository: Path) -> list[Listed]:
    """Every published version of every model, models by name, versions oldest first."""
    names = sorted(folder.name for folder in Path(repository).glob("*") if versions(repository, folder.name))
    return [_listed(repository, name, version) for name in names for version in versions(repository, name)]


def _listed(repository: Path, name: str, version: int) -> Listed:
    try:
        serves = serving_version(repository, name) == version
    except BundleError:
        serves = False
    try:
        return Listed(name, version, serves, read_manifest(version_dir(repository, name, version)))
    except BundleError as error:
        return Listed(name, version, serves, None, error.message)


def promote(repository: Path, name: str, version: int, reason: str, schema_id: str | None = None) -> Serving:
    """Make a version the serving one.

    ``schema_id`` is that of the features that will be served; None stands for those of this code.

    Raises
    ------
    PipelineError
        When its gate refused it, with the gate's reasons.
    BundleError
        When it is not whole, or of another schema.
    """
    manifest = _fit(repository, name, version, schema_id)
    return _choose(repository, manifest, reason, _history(repository, name, version))


def rollback(repository: Path, name: str, reason: str, schema_id: str | None = None) -> Serving:
    """Go back to the latest version that served before and still may; where none is left, the newest older one.

    Raises
    ------
    PipelineError
        When there is none.
    BundleError
        When the present choice cannot be read.
    """
    current, serving = serving_version(repository, name), read_serving(repository, name)
    before = () if serving is None else serving.previous
    served = [(before[at], before[:at]) for at in reversed(range(len(before)))]
    older = [(version, ()) for version in reversed(versions(repository, name)) if version < current]
    passed_over = ""
    for version, previous in [*served, *older]:
        try:
            manifest = _fit(repository, name, version, schema_id)
        except (BundleError, PipelineError) as error:
            passed_over = passed_over or f" ({error.message})"
            continue
        return _choose(repository, manifest, reason, previous)
    raise PipelineError(
        f"{name}: no version that may serve did so before {current}{passed_over}",
        "see what there is: cryptoscalp models list; or train a version that passes",
    )


def published(repository: Path, manifest: Manifest) -> None:
    """What a new version means for the choice: promoted, it serves; a shadow is only published where nothing can."""
    if manifest.gate.promoted:
        promote(repository, manifest.name, manifest.version, "published", manifest.schema_id)
    else:
        serving_path(repository, manifest.name).unlink(missing_ok=True)


def _fit(repository: Path, name: str, version: int, schema_id: str | None) -> Manifest:
    if version not in versions(repository, name):
        found = ", ".join(map(str, versions(repository, name))) or "none"
        raise PipelineError(f"{name} has no version {version}", f"choose one of those published: {found}")
    manifest = load_manifest(version_dir(repository, name, version), schema_id)
    if not manifest.gate.promoted:
        reasons = "; ".join(manifest.gate.reasons)
        raise PipelineError(f"{name}@{version} was refused by its gate: {reasons}", "train a version that passes")
    return manifest


def _history(repository: Path, name: str, version: int) -> tuple[int, ...]:
    """Versions that served before ``version``, the latest last; none where the choice so far cannot be read."""
    try:
        serving = read_serving(repository, name)
    except BundleError:
        return ()
    if serving is None:
        return tuple(v for v in versions(repository, name) if v != version)[-1:]
    return tuple(v for v in (*serving.previous, serving.version) if v != version)


def _choose(repository: Path, manifest: Manifest, reason: str, previous: tuple[int, ...]) -> Serving:
    """Have Triton load the version beside the newest ones, then write the choice."""
    name, version = manifest.name, manifest.version
    loaded = sorted({version, *versions(repository, name)[-_LOADED:]})
    write_config(repository, name, MAX_BATCH, manifest.window, manifest.features, len(MEMBERS), loaded)
    serving = Serving(version, now_ns(), reason, previous[-KEPT:])
    with replacing(serving_path(repository, name)) as part, part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(serving), indent=1))
        file.flush()
        os.fsync(file.fileno())
    return serving
