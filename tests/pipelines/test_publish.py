"""A version appears whole or not at all, and what stood before stays."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.schema import COUNT, SCHEMA_ID, WINDOW
from infra.triton.config import read_config
from pipelines import publish as publishing
from pipelines.anomaly import describe_anomaly, fit_anomaly
from pipelines.candidate import champion_on, fitted_until_ns
from pipelines.dataset import TEST
from pipelines.evaluate import open_session
from pipelines.manifest import Candidate, build_manifests
from pipelines.publish import STAGING, code_version, next_version, publish
from pipelines.quantize import describe_calibration
from pipelines.settings import PipelineError, PipelineSettings
from tests.pipelines.model_data import SEED, START_NS, examined, make_dataset, trained
from trader.anomaly import read_anomaly, to_bytes
from trader.bundle import (
    ANOMALY_FILE,
    MANIFEST_FILE,
    MEMBERS,
    MODEL_FILE,
    BundleError,
    Gate,
    latest_version,
    load_manifest,
    versions,
)

PROMOTED = Gate(True, ("ok: all",))
SHADOW = Gate(False, ("refused: baseline",))
ROOT = Path(__file__).parents[2]


def manifests(repository, gate=PROMOTED, int8_reason=""):
    candidate = Candidate(
        sha256="filled in when staged",
        examined=examined(),
        calibration=describe_calibration(np.zeros((1, WINDOW, COUNT), np.float32)),
        int8_sha256="i" * 64,
        int8_nodes=3,
        int8_diff=0.01,
        int8_examined=examined(),
        int8_reason=int8_reason,
    )
    settings = PipelineSettings(model_repository=str(repository), tape="somewhere/a_tape")
    return build_manifests(settings, trained().dataset, candidate, gate)


def publish_once(repository, gate=PROMOTED):
    return publish(repository, manifests(repository, gate)[0], trained().model)


def listing(repository):
    return sorted(str(p.relative_to(repository)) for p in repository.rglob("*") if p.is_file())


def test_what_is_published_loads_verifies_and_answers(tmp_path):
    folder = publish_once(tmp_path)
    assert folder == tmp_path / "scalper" / "1"
    manifest = load_manifest(folder, SCHEMA_ID)
    session = open_session((folder / MODEL_FILE).read_bytes())
    proba = session.run(["proba"], {"x": np.array(manifest.known_answer.x, np.float32)})[0][0]
    assert np.allclose(proba, manifest.known_answer.proba, atol=1e-6)
    assert listing(tmp_path) == ["scalper/1/manifest.json", "scalper/1/model.onnx", "scalper/config.pbtxt"]


def test_the_manifest_says_where_it_comes_from(tmp_path):
    manifest = load_manifest(publish_once(tmp_path), SCHEMA_ID)
    dataset = trained().dataset
    assert manifest.data.tape == "a_tape"
    assert manifest.data.symbols == ("A", "B")
    assert manifest.data.fitted_until_ns == fitted_until_ns(dataset)
    assert manifest.data.first_ts_ns < manifest.data.fitted_until_ns <= dataset.ts_ns[dataset.split == TEST].min()
    assert (manifest.label.kind, manifest.label.k, manifest.label.latency_ms) == ("nl", 50, 10.0)
    assert manifest.code_version == code_version()
    assert manifest.int8.quantized_nodes == 3


def test_triton_is_told_the_shapes_of_the_graph(tmp_path):
    publish_once(tmp_path)
    config = read_config(tmp_path, "scalper")
    assert list(config.input[0].dims) == [WINDOW, COUNT]
    assert {o.name: list(o.dims) for o in config.output} == {"proba": [3], "members": [len(MEMBERS), 3]}


def test_versions_count_up_over_both_precisions(tmp_path):
    publish_once(tmp_path)
    fp32, int8 = manifests(tmp_path)
    publish(tmp_path, int8, trained().model)
    assert publish(tmp_path, fp32, trained().model).name == "2"
    assert versions(tmp_path, "scalper_int8") == [2]
    assert next_version(tmp_path, "scalper", "scalper_int8") == 3
    assert next_version(tmp_path, "another") == 1


def test_a_refused_int8_leaves_its_reason_and_no_sibling(tmp_path):
    fp32, int8 = manifests(tmp_path, int8_reason="nothing was quantized")
    assert int8 is None
    assert fp32.int8 is None
    assert fp32.int8_reason == "nothing was quantized"


def fail(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["_write", "_sync", "load_manifest", "write_config"])
def test_a_full_disk_at_any_step_leaves_the_old_version_alone(tmp_path, monkeypatch, step):
    publish_once(tmp_path)
    before = listing(tmp_path)
    monkeypatch.setattr(publishing, step, fail)
    with pytest.raises(PipelineError, match="scalper: No space left"):
        publish_once(tmp_path)
    assert listing(tmp_path) == before
    assert latest_version(tmp_path, "scalper") == 1


@pytest.mark.integration
def test_a_publisher_killed_before_the_rename_leaves_nothing_to_serve_and_the_next_one_cleans_up(tmp_path):
    publish_once(tmp_path)
    code = f"""
import os
from pathlib import Path
from pipelines import publish as publishing
from pipelines.anomaly import describe_anomaly, fit_anomaly
from trader.bundle import read_manifest
publishing.write_config = lambda *a, **k: os._exit(9)
old = Path({str(tmp_path)!r}) / "scalper" / "1"
publishing.publish(old.parents[1], read_manifest(old), (old / "model.onnx").read_bytes())
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert killed.returncode == 9
    assert [p.name for p in (tmp_path / "scalper").iterdir() if p.name.startswith(STAGING)]
    assert versions(tmp_path, "scalper") == [1]
    load_manifest(tmp_path / "scalper" / "1", SCHEMA_ID)
    assert publish_once(tmp_path).name == "2"
    assert not [p for p in (tmp_path / "scalper").iterdir() if p.name.startswith(STAGING)]


def test_staging_of_a_publisher_that_still_runs_is_left_alone(tmp_path):
    other = tmp_path / "scalper" / f"{STAGING}{os.getppid()}"
    other.mkdir(parents=True)
    publish_once(tmp_path)
    assert other.is_dir()


def test_a_version_taken_meanwhile_is_never_overwritten(tmp_path, monkeypatch):
    fp32, _ = manifests(tmp_path)
    real = publishing.write_config

    def taken(repository, name, *more):
        rival = repository / name / "1"
        rival.mkdir(exist_ok=True)
        (rival / "theirs").write_text("other")
        return real(repository, name, *more)

    monkeypatch.setattr(publishing, "write_config", taken)
    folder = publish(tmp_path, fp32, trained().model)
    assert folder.name == "2"
    assert load_manifest(folder, SCHEMA_ID).version == 2
    assert (tmp_path / "scalper" / "1" / "theirs").read_text() == "other"


def test_the_champion_is_the_newest_promoted_unbroken_version_of_our_schema(tmp_path):
    dataset = trained().dataset
    assert champion_on(dataset, tmp_path, "scalper") is None
    publish_once(tmp_path, SHADOW)
    assert champion_on(dataset, tmp_path, "scalper") is None
    publish_once(tmp_path)
    publish_once(tmp_path, SHADOW)
    broken = publish_once(tmp_path)
    (broken / MODEL_FILE).write_bytes(b"torn")
    found = champion_on(dataset, tmp_path, "scalper")
    assert found.version == 2
    assert not np.isnan(found.losses).any()
    assert champion_on(msgspec.structs.replace(dataset, schema_id="another"), tmp_path, "scalper") is None


@pytest.mark.parametrize(("start_ns", "seen"), [(START_NS, "all"), (START_NS + 10**15, "none")])
def test_a_champion_is_not_heard_where_it_was_fitted(tmp_path, start_ns, seen):
    folder = publish_once(tmp_path)
    manifest = load_manifest(folder, SCHEMA_ID)
    everything = msgspec.structs.replace(manifest.data, fitted_until_ns=manifest.data.last_ts_ns + 1)
    told = msgspec.structs.replace(manifest, data=everything)
    (folder / MANIFEST_FILE).write_bytes(msgspec.json.encode(told))
    found = champion_on(make_dataset(seed=3, start_ns=start_ns), tmp_path, "scalper")
    assert np.isnan(found.losses).all() == (seen == "all")
    assert np.isnan(found.losses).any() == (seen == "all")


def test_a_bundle_carries_the_anomaly_model_or_works_without(tmp_path):
    dataset = make_dataset()
    model = fit_anomaly(dataset, SEED)
    plain = publish(tmp_path / "a", manifests(tmp_path / "a")[0], b"graph")
    assert read_anomaly(plain, load_manifest(plain, SCHEMA_ID)) == b""
    data, about = to_bytes(model), describe_anomaly(model, "", dataset, SEED)
    manifest = msgspec.structs.replace(manifests(tmp_path / "b")[0], anomaly=about)
    folder = publish(tmp_path / "b", manifest, b"graph", {ANOMALY_FILE: data})
    found = load_manifest(folder, SCHEMA_ID)
    assert set(found.sha256) == {"model.onnx", ANOMALY_FILE}
    assert read_anomaly(folder, found) == data
    (folder / ANOMALY_FILE).write_bytes(data[:-1])
    with pytest.raises(BundleError, match="altered"):
        load_manifest(folder, SCHEMA_ID)
