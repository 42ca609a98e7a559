"""The checks behind ``cryptoscalp doctor``: each returns one row and never raises for what it looks for."""

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement

from infra.errors import InfraError
from infra.processes import require_free
from infra.stores import postgres, redis_server
from infra.triton.config import model_names
from infra.triton.environment import ROOT, triton_venv
from infra.triton.launcher import triton_server

EXTRAS_NEEDED = ("", "pipelines", "embedded")
FIX_SETUP = "run `make setup`"
FIX_PYTHON = "sudo apt-get install python3.11 python3.11-venv libpython3.11; make clean setup"
PORTS = {8000: "Triton HTTP", 8001: "Triton gRPC", 8002: "Triton metrics", 3000: "Dagster"}
FREE_GB_NEEDED, FREE_GB_GOOD = 1.0, 5.0
MEMORY_GB_GOOD = 4.0
SHARED_MB_GOOD = 64


State = Literal["ok", "warn", "fail"]


class Row(NamedTuple):
    """One finding; ``fix`` is empty when there is nothing to fix."""

    check: str
    state: State
    found: str
    fix: str = ""


def examine(home: Path, repository: Path, start_servers: bool = True) -> list[Row]:
    """All rows, in the order in which a newcomer would meet the failures."""
    rows = [python(), packages(), disk(home), memory(), shared_memory(), triton_environment()]
    if start_servers:
        rows += servers()
    return [*rows, *ports(), data(), models(repository)]


def python() -> Row:
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] == (3, 11):
        return Row("python", "ok", found)
    return Row(
        "python", "fail", found, "sudo apt-get install python3.11 python3.11-venv libpython3.11; make clean setup"
    )


def packages() -> Row:
    """Whether what the project asks for is installed in a version it accepts."""
    try:
        wanted = [Requirement(text) for text in metadata.requires("cryptoscalp") or ()]
    except metadata.PackageNotFoundError:
        return Row("packages", "fail", "cryptoscalp itself is not installed", FIX_SETUP)
    needed = [r for r in wanted if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in EXTRAS_NEEDED)]
    wrong = [text for requirement in needed if (text := _unmet(requirement))]
    if wrong:
        return Row("packages", "fail", f"{len(wrong)} of {len(needed)} wrong: {', '.join(wrong)}", FIX_SETUP)
    return Row("packages", "ok", f"all {len(needed)} that the project names")


def _unmet(requirement: Requirement) -> str:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} missing"
    return "" if requirement.specifier.contains(version, prereleases=True) else f"{requirement.name} {version}"


def disk(home: Path) -> Row:
    there = next(path for path in (home, *home.parents) if path.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    found = f"{free_gb:.1f} GB free for {home}"
    if not os.access(there, os.W_OK):
        return Row("disk", "fail", f"{there} is not writable", "give this user access to it, or pass another --home")
    if free_gb < FREE_GB_GOOD:
        return Row(
            "disk", "fail" if free_gb < FREE_GB_NEEDED else "warn", found, "free some space, or pass another --home"
        )
    return Row("disk", "ok", found)


def memory() -> Row:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free_gb = int(fields["MemAvailable"].split()[0]) * 1024 / 1e9
    found = f"{free_gb:.1f} GB available, {os.cpu_count()} cores"
    if free_gb < MEMORY_GB_GOOD:
        return Row("memory", "warn", found, f"close other programs: training wants about {MEMORY_GB_GOOD:g} GB")
    return Row("memory", "ok", found)


def shared_memory() -> Row:
    """Triton talks to its backend through it; small containers get too little."""
    try:
        total_mb = shutil.disk_usage("/dev/shm").total / 2**20
    except OSError as error:
        return Row("shared memory", "fail", f"/dev/shm: {error.strerror}", "mount a tmpfs at /dev/shm")
    if total_mb < SHARED_MB_GOOD:
        return Row("shared memory", "warn", f"{total_mb:.0f} MB", "in a container: --shm-size=256m")
    return Row("shared memory", "ok", f"{total_mb:,.0f} MB")


def triton_environment() -> Row:
    site = triton_venv() / "lib" / "python3.11" / "site-packages"
    found = {d.metadata["Name"]: d.version for d in metadata.distributions(path=[str(site)])}
    numpy, server = found.get("numpy", "missing"), found.get("nvidia-pytriton", "missing")
    text = (
        f"{triton_venv()}: nvidia-pytriton {server}, numpy {numpy}, onnxruntime {found.get('onnxruntime', 'missing')}"
    )
    whole = server != "missing" and numpy.startswith("1.") and "onnxruntime" in found
    return Row("triton environment", "ok", text) if whole else Row("triton environment", "fail", text, FIX_SETUP)


def servers() -> Iterator[Row]:
    """Start each real server on throw-away data, then stop it."""
    with tempfile.TemporaryDirectory(prefix="cryptoscalp-doctor-") as folder:
        home = Path(folder)
        yield _started("triton", lambda: triton_server(home / "models", home))
        yield _started("postgres", lambda: postgres(home))
        yield _started("redis", lambda: redis_server(home))


def _started(check: str, starter: Callable[[], object]) -> Row:
    began = time.monotonic()
    try:
        with starter() as server:  # type: ignore[attr-defined]
            ready_s = time.monotonic() - began
            where = "yours" if server.pid is None else f"embedded, ready after {ready_s:.1f} s"
            return Row(check, "ok", f"{where} {getattr(server, 'version', '')}".strip())
    except InfraError as error:
        return Row(check, "fail", error.message, error.fix)


def ports() -> Iterator[Row]:
    for port, use in PORTS.items():
        try:
            require_free(port, use)
        except InfraError as error:
            yield Row(f"port {port}", "warn", error.message, f"stop what listens there, or give {use} another port")
        else:
            yield Row(f"port {port}", "ok", f"free for {use}")


def data() -> Row:
    """Recorded data is optional: without it the demo simulates a market."""
    folder = Path(os.environ.get("DATA_DIR") or ROOT.parent / "shared" / "data")
    found = sum(1 for _ in folder.rglob("*.gz")) if folder.is_dir() else 0
    if found:
        return Row("recorded data", "ok", f"{found} compressed files in {folder}")
    return Row("recorded data", "ok", f"none in {folder} (DATA_DIR); `make demo` simulates a market")


def models(repository: Path) -> Row:
    names = model_names(repository)
    if names:
        return Row("models", "ok", f"{', '.join(names)} in {repository}")
    return Row("models", "warn", f"none in {repository}", "run `make demo`: it trains and publishes one")
