"""The server's own environment: found, checked, and laid out the way ``tritonserver`` wants it.

It is apart from the project's because the server's Python stub silently returns wrong numbers with numpy 2.
"""

import contextlib
import filecmp
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.errors import TritonMissingError

ROOT = Path(__file__).resolve().parents[2]
VENV_SETTING = "CRYPTOSCALP_TRITON_VENV"
PYTHON = "3.11"
STUB = "triton_python_backend_stub"
FIX_SETUP = f"run `make setup`, or point {VENV_SETTING} at an environment with nvidia-pytriton"
_NO_CACHES = shutil.ignore_patterns("__pycache__")


def triton_venv() -> Path:
    """Folder of the server's own virtual environment."""
    return Path(os.environ.get(VENV_SETTING) or ROOT / ".venv-triton")


def site_packages() -> Path:
    """Where the server's packages lie; TritonMissingError when there is no server in them."""
    site = triton_venv() / "lib" / f"python{PYTHON}" / "site-packages"
    if not (site / "pytriton" / "tritonserver" / "bin" / "tritonserver").exists():
        raise TritonMissingError(f"no Triton server in {triton_venv()} ({VENV_SETTING})", FIX_SETUP)
    return site


def server_environment(site: Path) -> dict[str, str]:
    """The server's environment: its own Python first on the PATH, its own libraries first for the loader."""
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
    libraries = [str(site / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR") or ""]
    return kept | {
        "PATH": os.pathsep.join([str(triton_venv() / "bin"), kept.get("PATH", os.defpath)]),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@contextlib.contextmanager
def backend_folder(home: Path) -> Iterator[Path]:
    """Where the backends go: ``<home>/backends``, or a temporary folder when the server could not start from there.

    The server passes the path unquoted through a shell.
    """
    if re.fullmatch(r"[\w/.+:@=,-]+", str(home), re.ASCII):
        yield home / "backends"
        return
    with tempfile.TemporaryDirectory(prefix="cryptoscalp-backends-") as folder:
        yield Path(folder)


def copy_backends(site: Path, target: Path) -> None:
    """Lay out the backends the server loads, as copies: it resolves links, then misses the files beside them."""
    server = site / "pytriton" / "tritonserver"
    (target / "python").mkdir(parents=True, exist_ok=True)
    for source in (
        server / "backends" / "python" / "libtriton_python.so",
        server / "backends" / "python" / "triton_python_backend_utils.py",
        server / "python_backend_stubs" / PYTHON / STUB,
    ):
        _copy_once(source, target / "python" / source.name)
    ours = Path(__file__).parent / "backends"
    shutil.copytree(ours, target, dirs_exist_ok=True, ignore=_NO_CACHES, copy_function=_copy_once)


def _copy_once(source: str | Path, destination: str | Path) -> None:
    """Copy unless the same file is there; by rename, since a running server may have the old one mapped."""
    target = Path(destination)
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        return
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    shutil.copy2(source, part)
    part.replace(target)


def require_stub_loads(backends: Path, env: dict[str, str]) -> None:
    """The stub embeds Python: name the shared library it misses, since the server itself only says "timeout"."""
    said = subprocess.run([backends / "python" / STUB], env=env, capture_output=True, text=True, check=False).stderr
    missing = re.search(r"loading shared libraries: (\S+):", said)
    if missing:
        fix = f"install it (Debian/Ubuntu: `sudo apt-get install libpython{PYTHON}`)"
        raise TritonMissingError(f"Triton's Python backend needs {missing[1]}, which is not installed", fix)
