"""``cryptoscalp check leak``: exit codes, what it says, functions of users, stored training sets."""

import json

import msgspec
import numpy as np
import pytest

from features.schema import COUNT
from infra.cli import main
from market.simulator.generator import generate
from pipelines.dataset import save
from tests.pipelines.small_data import make_dataset

HONEST = """
import numpy as np

def rows(events):
    mid = 0.5 * (events.bid_px + events.ask_px)
    return {"mid": mid, "step": np.diff(mid, prepend=np.nan)}

def centred(events):
    mid = 0.5 * (events.bid_px + events.ask_px)
    return {"mid": mid, "z": mid - np.nan_to_num(mid).mean()}

def label(ts_ns, bid_px, ask_px):
    n = max(len(ts_ns) - 5, 0)
    return np.sign(bid_px[5:] - bid_px[:n]), np.arange(n) + 5
"""


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tape")
    generate(folder, 3, minutes=1.5)
    return folder


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(HONEST)
    return file


def checked(capsys, code, *arguments):
    assert main.run(["check", "leak", *map(str, arguments)]) == code
    return capsys.readouterr()


def test_the_pipeline_is_clean_and_says_what_was_checked(capsys, tape):
    found = json.loads(checked(capsys, 0, "--tape", tape, "--label", "nl10", "--cuts", 20, "--json").out)
    assert (found["clean"], found["findings"]) == (True, [])
    said = " ".join(found["checked"])
    assert all(part in said for part in (f"features ({COUNT})", "label nl10", "training set", "scaler"))


def test_an_honest_function_of_a_user_is_clean(capsys, tape, mine):
    assert "no leak" in checked(capsys, 0, "--tape", tape, "--user", f"{mine}:rows", "--cuts", 50).out


def test_a_leaking_function_of_a_user_is_named_with_row_values_cause_and_fix(capsys, tape, mine):
    said = checked(capsys, 1, "--tape", tape, "--user", f"{mine}:centred", "--cuts", 50).out
    assert all(part in said for part in ("user: z, row ", "cause: whole_file_normalization", "fix: fit mean"))
    found = json.loads(checked(capsys, 1, "--tape", tape, "--user", f"{mine}:centred", "--cuts", 50, "--json").out)
    (finding,) = found["findings"]
    assert finding["feature"] == "z"
    assert finding["value"] != finding["honest"]


def test_a_label_of_a_user_that_ignores_latency_is_caught(capsys, tape, mine):
    said = checked(capsys, 1, "--tape", tape, "--label", f"{mine}:label", "--cuts", 200).out
    assert "cause: early_label" in said


def test_single_features_are_checked_alone(capsys, tape):
    said = checked(capsys, 0, "--tape", tape, "--feature", "imbalance", "--feature", "spread_relative", "--cuts", 20)
    assert said.out.startswith("checked: features (2)") and "label" not in said.out


def test_a_stored_training_set_is_checked(capsys, tmp_path):
    dataset = make_dataset()
    save(dataset, tmp_path / "clean.npz")
    checked(capsys, 0, "--dataset", tmp_path / "clean.npz")
    split = np.random.default_rng(0).permutation(dataset.split)
    save(msgspec.structs.replace(dataset, split=split), tmp_path / "shuffled.npz")
    assert "cause: shuffled_split" in checked(capsys, 1, "--dataset", tmp_path / "shuffled.npz").out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--feature", "imbalanse"], "no feature called 'imbalanse'"),
        (["--label", "next"], "no label 'next'"),
        (["--user", "nowhere.py:rows"], "no such file"),
        (["--dataset", "nowhere.npz"], "no readable training set"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence_and_a_fix(capsys, tape, arguments, error):
    said = checked(capsys, 2, "--tape", tape, "--cuts", 5, *arguments).err
    assert error in said and "fix: " in said
