"""The trader's process stays small: its rooms import nothing of the offline half, not even by way of a package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("market", "features", "risk", "trader")
HEAVY = {
    "torch", "dagster", "feast", "pandas", "polars", "sklearn", "xgboost", "onnx", "great_expectations", "evidently",
    "matplotlib", "sqlalchemy", "tensorrt",
}  # fmt: skip
IMPORT_ALL = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({module.partition(".")[0] for module in sys.modules})))
"""


def modules_of(room: str) -> list[str]:
    """Every module of a room; ``__main__`` too, which does nothing when it is merely imported."""
    files = sorted((ROOT / room).rglob("*.py"))
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in files]
    return [".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts]


def top_level_after_importing(names: list[str]) -> set[str]:
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(names)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_of_a_lean_room_imports_without_the_offline_half(room):
    names = modules_of(room)
    assert room in names
    assert top_level_after_importing(names) & HEAVY == set()


def test_the_trade_command_imports_nothing_of_the_offline_half():
    assert top_level_after_importing(["infra.cli.main", "infra.cli.trade", "trader"]) & HEAVY == set()


def test_a_heavy_import_would_be_seen():
    assert "sqlalchemy" in top_level_after_importing(["market", "sqlalchemy"])
