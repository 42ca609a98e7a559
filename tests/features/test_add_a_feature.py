"""``docs/add-a-feature.md`` done word for word in a copy of the package: files, edits, commands, output."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from features.schema import SCHEMA_ID
from features.served import VARIABLE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "add-a-feature.md"
BLOCK = re.compile(r"(?:`([^`\n]+)`:\n\n)?```(\w+)\n(.*?)```", re.DOTALL)
COMPARED = """
import numpy as np
from features.bank import kernel_of
from tests.features.oracles.compare import errors
from tests.features.oracles.history import History
from tests.features.streams import full_market, run
kernel = kernel_of(["persistence_100ms", "persistence_1s", "persistence_30s"])
stream = full_market(90, 8_000)
rows, index = run(kernel, stream)
columns = {feature.name: column for column, feature in enumerate(kernel.plan.features)}
ticks = np.random.default_rng(0).choice(len(index), 1_000, replace=False)
print(max(errors(History(stream), kernel.plan.features, columns, rows, index, ticks).values()))
"""


def blocks():
    """File named before each block (or ""), language, text; in the order of the page."""
    return BLOCK.findall(PAGE.read_text())


def patched(text, diff):
    """``text`` with the ``+`` lines of ``diff`` put before the last line that equals the context after them."""
    lines, new = text.splitlines(), []
    for line in diff.splitlines():
        if line.startswith("+"):
            new.append(line[1:])
        else:
            at = len(lines) - lines[::-1].index(line[1:]) - 1
            lines[at:at] = new
            new = []
    return "\n".join(lines) + "\n"


def shell(folder, command):
    """What ``command`` prints in ``folder``, with this Python first in the path and nothing of the repository."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "PYTHONPATH")}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment | {"PATH": path, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The rooms a feature needs, with the page's files written and its edits made."""
    folder = tmp_path_factory.mktemp("copy")
    for room in ("features", "market", "tests/features"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name, language, text in blocks():
        if language == "diff":
            families = folder / "features" / "families" / "__init__.py"
            families.write_text(patched(families.read_text(), text))
        elif name:
            (folder / name).write_text(text)
    return folder


def test_the_page_names_every_file_it_writes_and_edits_one():
    assert [name for name, language, _ in blocks() if language in ("python", "toml")] == [
        "features/families/persistence.py",
        "example.py",
        "tests/features/oracles/persistence.py",
        "mine.toml",
    ]
    assert sum(language == "diff" for _, language, _ in blocks()) == 2


def test_the_commands_of_the_page_print_what_the_page_shows(copy):
    for _, language, text in blocks():
        if language != "console":
            continue
        for command, *shown in (part.splitlines() for part in text.split("$ ")[1:]):
            assert shell(copy, command).splitlines() == shown, command


def test_the_oracle_of_the_page_agrees_at_a_thousand_random_ticks(copy):
    assert float(shell(copy, f"python -c '{COMPARED}'")) < 1e-8


def test_one_name_in_the_shipped_file_is_another_schema_and_nothing_else(copy):
    served = copy / "features" / "served.toml"
    shipped = served.read_text()
    asked = "python -c 'from features.schema import *; print(SCHEMA_ID, COUNT, NAMES[-1])'"
    before = shell(copy, asked).split()
    served.write_text(shipped.replace("features = [", 'features = [\n  "persistence_1s",', 1))
    after = shell(copy, asked.replace("NAMES[-1]", "NAMES[0]")).split()
    served.write_text(shipped)
    assert before[0] == SCHEMA_ID
    assert after[0] != SCHEMA_ID
    assert (int(after[1]) - int(before[1]), after[2]) == (1, "persistence_1s")
