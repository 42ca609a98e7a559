"""Publishing: a version is staged beside its model, verified, and appears by one rename, or not at all."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from infra.triton.config import write_config
from pipelines.settings import PipelineError
from trader.bundle import (
    MANIFEST_FILE,
    MEMBERS,
    MODEL_FILE,
    Manifest,
    load_manifest,
    sha256_file,
    version_dir,
    versions,
)

MAX_BATCH: Final = 256
STAGING: Final = ".staging-"
ATTEMPTS: Final = 5
NONE: Final[Mapping[str, bytes]] = MappingProxyType({})


def next_version(repository: Path, *names: str) -> int:
    """One above the highest version that any of the models has."""
    return max([0, *(v for name in names for v in versions(repository, name))]) + 1


def publish(repository: Path, manifest: Manifest, model: bytes, extra: Mapping[str, bytes] = NONE) -> Path:
    """Publish ``model``, and files beside it, as ``manifest.name`` and the first free version from its own on.

    A process that dies on the way leaves a staging folder that nobody serves and the next publisher removes. The
    configuration is written before the version appears, so that there is no moment when a version lacks it.

    Raises
    ------
    PipelineError
        When the disk refuses; what was published before stays as it was.
    """
    folder = Path(repository) / manifest.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        for wanted in range(manifest.version, manifest.version + ATTEMPTS):
            target = version_dir(repository, manifest.name, wanted)
            if target.exists():
                continue
            if _appear(repository, msgspec.structs.replace(manifest, version=wanted), {MODEL_FILE: model, **extra}):
                return target
    except OSError as error:
        raise PipelineError(f"{folder}: {error.strerror or error}", "free space or correct permissions") from error
    raise PipelineError(f"{folder}: other publishers keep taking the next version", "publish from one place at a time")


def _appear(repository: Path, manifest: Manifest, files: Mapping[str, bytes]) -> bool:
    """Stage, verify, configure, rename. False when someone else took that version first."""
    target = version_dir(repository, manifest.name, manifest.version)
    staging = target.with_name(f"{STAGING}{os.getpid()}")
    try:
        manifest = _stage(staging, manifest, files)
        load_manifest(staging, manifest.schema_id)
        write_config(repository, manifest.name, MAX_BATCH, manifest.window, manifest.features, len(MEMBERS))
        staging.rename(target)
        _sync(target.parent)
    except OSError:
        if target.exists():
            return False
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return True


def _stage(staging: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    staging.mkdir()
    for name, data in files.items():
        _write(staging / name, data)
    manifest = msgspec.structs.replace(manifest, sha256={name: sha256_file(staging / name) for name in files})
    _write(staging / MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    _sync(staging)
    return manifest


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove what publishers that no longer run left behind."""
    for left in folder.glob(f"{STAGING}*"):
        if not _alive(left.name.removeprefix(STAGING)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: str) -> bool:
    if not pid.isdecimal() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def code_version() -> str:
    """Package version, and the commit where the code runs from a git checkout ("+" marks uncommitted changes)."""
    try:
        package = version("cryptoscalp")
    except PackageNotFoundError:
        package = "0"
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return package
    return f"{package}-g{done.stdout.strip()}"


def now_ns() -> int:
    """Wall clock, ns UTC."""
    return time.time_ns()
