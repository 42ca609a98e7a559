"""A bundle is loaded whole and of our schema, or refused with one sentence and a fix."""

import subprocess
import sys

import msgspec
import pytest

from features.schema import SCHEMA_ID
from market.errors import CryptoScalpError
from trader.bundle import (
    MANIFEST_FILE,
    MODEL_FILE,
    BundleError,
    Calibration,
    Data,
    Gate,
    KnownAnswer,
    Label,
    Manifest,
    Metrics,
    is_distribution,
    latest_version,
    load_manifest,
    sha256_file,
    version_dir,
    versions,
)

WINDOW, FEATURES = 2, 3


def manifest(digest: str, **changes) -> Manifest:
    good = Manifest(
        name="scalper",
        version=1,
        schema_id="s1",
        window=WINDOW,
        features=FEATURES,
        sha256={MODEL_FILE: digest},
        state="onnx_only",
        state_reason="",
        data=Data("tape", 1, 9, 5, 100, ("A",), "d" * 64),
        calibration=Calibration(10, "c" * 64),
        parity={"lstm": 1e-7},
        metrics=Metrics(25, 0.9, 1.0, 1.0, 0.5, 0.02, None, 0.0, {"lstm": 0.95}, {"lstm": 1.0}),
        gate=Gate(True, ("ok: parity: within tolerance",)),
        known_answer=KnownAnswer((((0.0,) * FEATURES,) * WINDOW,), (0.2, 0.5, 0.3)),
        label=Label("nl", 50, 10.0),
        created_ns=1,
        code_version="0",
    )
    return msgspec.structs.replace(good, **changes)


def write(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(b"graph")
    (folder / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest(sha256_file(folder / MODEL_FILE), **changes)))
    return folder


def test_a_whole_bundle_loads_as_it_was_written(tmp_path):
    folder = write(tmp_path / "1")
    assert load_manifest(folder, "s1") == manifest(sha256_file(folder / MODEL_FILE))


def test_the_schema_defaults_to_the_one_this_code_computes(tmp_path):
    assert load_manifest(write(tmp_path / "1", schema_id=SCHEMA_ID)).schema_id == SCHEMA_ID
    with pytest.raises(BundleError, match="'s1'"):
        load_manifest(write(tmp_path / "2"))


def no_manifest(folder):
    (folder / MANIFEST_FILE).unlink()


def no_model(folder):
    (folder / MODEL_FILE).unlink()


def other_model(folder):
    (folder / MODEL_FILE).write_bytes(b"another graph")


def cut_manifest(folder):
    path = folder / MANIFEST_FILE
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (no_manifest, "manifest.json: no such file"),
        (no_model, "model.onnx: no such file"),
        (other_model, "model.onnx: sha256 is"),
        (cut_manifest, "unreadable manifest"),
    ],
)
def test_a_broken_bundle_is_refused_naming_the_file(tmp_path, break_it, said):
    folder = write(tmp_path / "1")
    break_it(folder)
    with pytest.raises(BundleError, match=said) as refused:
        load_manifest(folder, "s1")
    assert isinstance(refused.value, CryptoScalpError)
    assert str(folder) in refused.value.message
    assert refused.value.fix


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_id": "s2"}, "schema_id is 's2', this code computes 's1'"),
        ({"sha256": {}}, "sha256 names no model.onnx"),
        ({"known_answer": KnownAnswer((((0.0,) * FEATURES,) * WINDOW,), (float("nan"), 0.5, 0.5))}, "known_answer"),
        ({"known_answer": KnownAnswer((((0.0,) * FEATURES,) * WINDOW,), (0.5, 0.5, 0.5))}, "known_answer"),
        ({"known_answer": KnownAnswer((((0.0,) * FEATURES,),), (0.2, 0.5, 0.3))}, r"known_answer.x is not \[1\]"),
        ({"known_answer": KnownAnswer((), (0.2, 0.5, 0.3))}, r"known_answer.x is not \[1\]"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(tmp_path, changes, said):
    with pytest.raises(BundleError, match=said):
        load_manifest(write(tmp_path / "1", **changes), "s1")


def test_versions_are_integers_and_nothing_else(tmp_path):
    for name in ("1", "12", "3", ".staging-77", "old", "2.bak"):
        (tmp_path / "scalper" / name).mkdir(parents=True)
    (tmp_path / "scalper" / "40").write_text("a file, no version")
    assert versions(tmp_path, "scalper") == [1, 3, 12]
    assert latest_version(tmp_path, "scalper") == 12
    assert version_dir(tmp_path, "scalper", 12).is_dir()


def test_no_version_is_said_with_a_fix(tmp_path):
    assert versions(tmp_path, "scalper") == []
    with pytest.raises(BundleError, match="no published version"):
        latest_version(tmp_path, "scalper")


@pytest.mark.parametrize(
    ("proba", "expected"),
    [
        ((0.2, 0.5, 0.3), True),
        ((0.0, 0.0, 1.0), True),
        ((0.2, 0.5), False),
        ((-0.2, 0.9, 0.3), False),
        ((0.2, 0.2, 0.2), False),
        ((float("inf"), 0.0, 0.0), False),
        ((float("nan"), 0.5, 0.5), False),
    ],
)
def test_only_three_finite_shares_of_one_are_a_distribution(proba, expected):
    assert is_distribution(proba) is expected


def test_reading_a_bundle_needs_no_array_or_model_library():
    heavy = "{'numpy', 'onnxruntime', 'onnx', 'torch', 'sklearn', 'dagster', 'pandas'}"
    code = f"import sys, trader.bundle; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
