"""``cryptoscalp features``: the bank can be listed and shown, and a set chosen, compared and written."""

import json

import pytest

from features.bank import BANK
from features.schema import COUNT, NAMES, SCHEMA_ID
from features.served import FILE, SERVED, read_served
from infra.cli import main
from market.simulator.generator import generate


def told(capsys, *arguments):
    assert main.run(["features", *arguments]) == 0
    return capsys.readouterr().out


def test_the_whole_bank_is_listed_and_what_is_served_is_marked(capsys):
    found = json.loads(told(capsys, "list", "--json"))["features"]
    assert [feature["name"] for feature in found] == [feature.name for feature in BANK]
    assert {feature["name"] for feature in found if feature["served"]} == set(NAMES)
    assert all(feature["definition"] and feature["unit"] and feature["source"] for feature in found)


@pytest.mark.parametrize("part", ["calendar", "cross_asset"])
def test_a_family_or_a_group_can_be_listed_alone(capsys, part):
    found = json.loads(told(capsys, "list", "--family", part, "--json"))["features"]
    assert 0 < len(found) < len(BANK)
    assert all(part in (feature["family"], feature["group"]) for feature in found)


def test_a_list_for_people_names_every_feature(capsys):
    shown = told(capsys, "list", "--family", "calendar")
    assert all(name in shown for name in ("day_sin", "to_funding_boundary"))


def test_a_feature_is_shown_with_its_definition(capsys):
    shown = json.loads(told(capsys, "show", "imbalance", "--json"))
    assert shown["definition"] == "(bid_qty - ask_qty) / (bid_qty + ask_qty)"
    assert "Gould and Bonart" in told(capsys, "show", "imbalance")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(["show", "imbalanse"], "no feature called 'imbalanse'"), (["list", "--family", "nope"], "no family 'nope'")],
)
def test_an_unknown_name_is_one_sentence_and_a_fix(capsys, arguments, error):
    assert main.run(["features", *arguments]) == 2
    said = capsys.readouterr().err
    assert error in said and "fix: " in said


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)  # the whole bank is compiled where no cache holds it yet
def test_a_set_is_chosen_compared_and_written_and_nothing_else_changes(tmp_path, capsys, monkeypatch):
    generate(tmp_path / "tape", 5, minutes=0.6)
    monkeypatch.setenv("CRYPTOSCALP__PIPELINE__SELECTION_EMBARGO_S", "0.2")
    monkeypatch.setenv("CRYPTOSCALP__PIPELINE__LABEL_K", "10")
    before = FILE.read_bytes()
    arguments = ["--tape", str(tmp_path / "tape"), "--home", str(tmp_path / "home"), "--rows", "1000", "--count", "9"]
    found = json.loads(told(capsys, "select", *arguments, "--apply", str(tmp_path / "set.toml"), "--json"))
    assert set(SERVED.pinned) <= set(found["chosen"]) and len(found["chosen"]) == 9 < COUNT
    assert found["served_schema_id"] == SCHEMA_ID != found["schema_id"]
    assert len(found["rows"]) == len(BANK)
    assert [row["name"] for row in found["rows"] if row["chosen"] and not row["why"]] == []
    assert [trial["model"] for trial in found["trials"]] == ["logistic", "trees"]
    assert read_served(tmp_path / "set.toml").features == tuple(found["chosen"])
    assert found["schema_id"] in told(capsys, "apply", str(tmp_path / "again.toml"), "--home", str(tmp_path / "home"))
    assert (tmp_path / "again.toml").read_bytes() == (tmp_path / "set.toml").read_bytes()
    assert FILE.read_bytes() == before
