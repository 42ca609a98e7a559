"""``cryptoscalp models``: list, show, promote, rollback, as a person and a script see them."""

import json

import pytest

from features.schema import SCHEMA_ID
from infra.cli import main
from tests.trader.test_bundle import write
from trader.bundle import Gate, version_dir

NAME = "scalper"


@pytest.fixture
def repository(tmp_path):
    for version in (1, 2, 3):
        gate = {"gate": Gate(False, ("champion: not better than 2",))} if version == 3 else {}
        write(version_dir(tmp_path, NAME, version), version=version, schema_id=SCHEMA_ID, **gate)
    return tmp_path


@pytest.fixture
def models(repository, capsys):
    def run(code, *arguments):
        assert main.run(["models", *arguments, "--repository", str(repository)]) == code
        return capsys.readouterr()

    return run


def serving(models):
    listed = json.loads(models(0, "list", "--json").out)["models"]
    return [row["version"] for row in listed if row["serving"]]


def test_promote_and_rollback_change_what_serves(models):
    assert serving(models) == [3]
    assert f"{NAME}@1 serves" in models(0, "promote", f"{NAME}@1").out
    assert json.loads(models(0, "promote", f"{NAME}@2", "--reason", "livelier", "--json").out)["previous"] == [3, 1]
    assert serving(models) == [2]
    assert f"{NAME}@1 serves (rolled back by hand)" in models(0, "rollback", NAME).out
    assert serving(models) == [1]


def test_a_refused_version_is_refused_with_the_reasons_of_its_gate(models):
    said = models(2, "promote", f"{NAME}@3").err
    assert "champion: not better than 2" in said
    assert serving(models) == [3]


def test_list_says_what_each_gate_said(models):
    listed = json.loads(models(0, "list", "--json").out)["models"]
    assert [row["gate"] for row in listed] == ["promoted", "promoted", "refused"]
    assert NAME in models(0, "list").out


def test_show_tells_data_metrics_gate_parity_and_hashes(models):
    said = models(0, "show", f"{NAME}@2").out
    parts = (
        f"{NAME}@2",
        "100 samples of A",
        "log loss 0.90000",
        "gate: promoted",
        "ok: parity",
        "lstm 1.0e-07",
        "sha256",
    )
    assert all(part in said for part in parts)
    found = json.loads(models(0, "show", NAME, "--json").out)
    assert (found["version"], found["gate"]["promoted"]) == (3, False)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["promote", NAME], "no version in 'scalper'"),
        (["promote", f"{NAME}@x"], "is no NAME@VERSION"),
        (["promote", f"{NAME}@9"], "has no version 9"),
        (["show", f"{NAME}@9"], "no such file"),
        (["rollback", "other"], "no published version"),
    ],
)
def test_what_is_not_there_is_one_sentence_and_a_fix(models, arguments, error):
    said = models(2, *arguments).err
    assert error in said and "fix: " in said
