"""Another ``served.toml`` is another schema and a working kernel; a bad one is one clear error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.bank import BANK_INDEX, bank_kernel
from features.schema import SCHEMA_ID, WARMUP_ROWS
from features.served import FILE, VARIABLE, ServedError, read_served
from market.events import QUOTE
from tests.features.streams import MS, full_market, run

ROOT = Path(__file__).parents[2]
SOME = ("imbalance", "return_1s_bps", "flow_100ms")
PROBE = """
import json
from features.kernel import SERVED
from features.schema import COUNT, NAMES, SCHEMA_ID, WARMUP_ROWS, WINDOW
from tests.features.streams import run
from tests.features.test_served_file import standing_market
rows, index = run(SERVED, standing_market())
told = {"id": SCHEMA_ID, "count": COUNT, "names": NAMES, "window": WINDOW, "warmup": WARMUP_ROWS}
print(json.dumps(told | {"rows": rows.tolist(), "index": index.tolist()}))
"""


def write(folder, text):
    path = folder / "served.toml"
    path.write_text(text)
    return path


def python(path, *arguments):
    """A process of its own under the served set of ``path``."""
    environment = os.environ | {VARIABLE: str(path)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def probed(folder, parameters="", features=SOME, window=16):
    """What a process says of the schema and of its rows over one stream."""
    text = f"features = {list(features)}\nwindow = {window}\n[parameters]\n{parameters}"
    done = python(write(folder, text), "-c", PROBE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def standing_market():
    """Every third quote is the one before it once more."""
    stream = full_market(80, 3_000)
    quotes = np.flatnonzero(stream.kinds == QUOTE)
    stream.values[quotes[2::3]] = stream.values[quotes[1::3]][: quotes[2::3].size]
    return stream


@pytest.fixture(scope="module")
def stream():
    return standing_market()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return probed(tmp_path_factory.mktemp("three"))


def test_another_set_is_another_schema_with_the_same_numbers(three, stream):
    rows, index = run(bank_kernel(), stream)
    assert (three["count"], tuple(three["names"]), three["window"]) == (3, SOME, 16)
    assert three["id"] != SCHEMA_ID
    assert three["index"] == index.tolist()
    assert three["rows"] == rows[:, [BANK_INDEX[name] for name in SOME]].tolist()


@pytest.mark.slow
def test_order_and_window_are_part_of_the_schema(three, tmp_path):
    turned = probed(tmp_path, features=SOME[::-1])
    longer = probed(tmp_path, window=17)
    assert len({three["id"], turned["id"], longer["id"]}) == 3
    assert [row[::-1] for row in turned["rows"]] == three["rows"]
    assert longer["rows"] == three["rows"]


@pytest.mark.slow
def test_decide_change_keeps_the_quotes_that_change_the_top(three, stream, tmp_path):
    told = probed(tmp_path, 'decide = "change"')
    quotes = np.flatnonzero(stream.kinds == QUOTE)
    moved = np.append(True, (np.diff(stream.values[quotes], axis=0) != 0).any(axis=1))
    assert told["index"] == quotes[WARMUP_ROWS:][moved[WARMUP_ROWS:]].tolist()
    assert 0 < len(told["index"]) < len(three["index"])
    assert told["id"] != three["id"]


def test_decide_span_keeps_the_first_quote_after_every_span(three, tmp_path):
    told = probed(tmp_path, 'decide = "span"\ndecide_ns = 50_000_000')
    clock = np.maximum.accumulate(standing_market().ts)
    expected, last = [], None
    for at in three["index"]:
        if last is None or clock[at] - last >= 50 * MS:
            expected.append(at)
            last = clock[at]
    assert told["index"] == expected
    kept = [three["rows"][three["index"].index(at)] for at in expected]
    assert told["rows"] == kept
    assert 10 < len(kept) < len(three["rows"])


def test_parameters_reach_the_kernel(three, tmp_path):
    told = probed(tmp_path, "warmup_quotes = 10")
    assert told["warmup"] == 10
    assert len(told["index"]) == len(three["index"]) + WARMUP_ROWS - 10
    assert told["rows"][WARMUP_ROWS - 10 :] == three["rows"]


BAD = {
    "unknown name": ('features = ["imbalence"]', "no feature called 'imbalence'", "did you mean imbalance?"),
    "a name twice": ('features = ["imbalance", "imbalance"]', "different names", "none twice"),
    "no name": ("features = []", "different names", "at least one"),
    "missing pinned": (
        'features = ["imbalance"]\npinned = ["ofi_200ms"]',
        "pinned ofi_200ms not among features",
        "add",
    ),
    "unknown key": ('features = ["imbalance"]\nwindows = 3', "unknown field `windows`", "write it like"),
    "unknown parameter": ('features = ["imbalance"]\n[parameters]\nwarm = 3', "unknown field `warm`", "parameters.py"),
    "parameter of another type": (
        'features = ["imbalance"]\n[parameters]\ndecide = "now"',
        "$.decide",
        "parameters.py",
    ),
    "no window": ('features = ["imbalance"]\nwindow = 0', "window 0 is below 1", "correct window"),
    "half of a mirror pair": ('features = ["bid_size"]', "swaps places with ask_size", "serve both"),
    "events nobody feeds": (
        'features = ["imbalance", "depth_imbalance_5l"]',
        "depth_imbalance_5l is made of levels, which the row is not fed",
        "quotes and trades",
    ),
    "a reference at bar closes": (
        'features = ["reference_correlation_10x100ms"]',
        "made of reference",
        "quotes and trades",
    ),
    "no TOML": ("features = [", "served.toml", "write it like"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_gives_one_clear_error(case, tmp_path):
    text, told, fix = BAD[case]
    done = python(write(tmp_path, text), "-m", "infra.cli.main", "trade", "--help")
    assert done.returncode == 2
    error, way_out = done.stderr.strip().splitlines()
    assert error.startswith("error: ") and told in error
    assert way_out.startswith("fix: ") and fix in way_out


def test_missing_file_gives_one_clear_error(tmp_path):
    with pytest.raises(ServedError, match=r"absent\.toml"):
        read_served(tmp_path / "absent.toml")


def test_shipped_file_is_read_without_the_variable():
    assert read_served(FILE).features
