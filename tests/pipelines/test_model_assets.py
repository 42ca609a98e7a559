"""The model half under Dagster: what learned becomes champion, the same again is refused, noise is at most shadowed."""

import json

import pytest

from infra.cli.main import run
from infra.cli.train import in_words, summarize
from pipelines import storage
from pipelines.dataset import save
from pipelines.definitions import defs
from pipelines.run import run_pipeline
from pipelines.settings import PipelineError, PipelineSettings
from tests.pipelines.model_data import make_dataset
from trader.bundle import latest_version, load_manifest, sha256_file, version_dir, versions
from trader.serving import read_serving

TRAINING = ("logistic_regression", "random_forest", "xgboost_classifier", "lstm", "ensemble")
SERVING = ("onnx_models", "drift_report", "promotion_gate", "published_bundle")
pytestmark = pytest.mark.integration

CHECKS = {"parity", "known_answer", "quantization"}


def settings_at(folder, *, learnable=True, **changes):
    settings = PipelineSettings(home=str(folder / "home"), model_repository=str(folder / "repository"), **changes)
    save(make_dataset(learnable=learnable), settings.home_path / "training_set" / "dataset.npz")
    return settings


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    settings = settings_at(tmp_path_factory.mktemp("models"))
    return settings, run_pipeline(settings, None, only=[*TRAINING, *SERVING])


def published(settings):
    version = latest_version(settings.model_repository_path, settings.model_name)
    return load_manifest(version_dir(settings.model_repository_path, settings.model_name, version))


def test_a_candidate_that_learned_something_is_published_in_both_precisions(first):
    settings, result = first
    said = result.assets["published_bundle"]
    assert (said["published"], said["promoted"], said["version"]) == (True, True, 1)
    manifest = published(settings)
    assert manifest.gate.promoted
    assert read_serving(settings.model_repository_path, manifest.name).version == 1
    assert manifest.metrics.logloss < manifest.metrics.baseline_logloss
    sibling = load_manifest(version_dir(settings.model_repository_path, manifest.int8.name, 1))
    assert sibling.sha256["model.onnx"] == manifest.int8.sha256 != manifest.sha256["model.onnx"]
    assert sibling.metrics.logloss == manifest.int8.logloss


def test_all_three_checks_pass_and_say_their_numbers(first):
    checks = {check.name: check for check in first[1].checks if check.asset == "onnx_models"}
    assert set(checks) == CHECKS
    assert all(check.passed for check in checks.values())
    assert max(checks["parity"].metadata["max_abs_diff"].values()) < 1e-5
    assert checks["quantization"].metadata["quantized_nodes"] == 3


def test_every_model_asset_tells_its_rows_group_and_owner(first):
    _, result = first
    assert all(result.assets[name]["rows"] > 0 for name in (*TRAINING, *SERVING))
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    assert {name: specs[name].group_name for name in TRAINING} == dict.fromkeys(TRAINING, "training")
    assert {name: specs[name].group_name for name in SERVING} == dict.fromkeys(SERVING, "serving")
    assert all(list(specs[name].owners) == ["team:models"] for name in (*TRAINING, *SERVING))


def test_drift_and_verdict_lie_beside_the_model(first):
    settings, result = first
    assert (settings.home_path / "drift" / "report.html").stat().st_size > 100_000
    assert 0 <= result.assets["drift_report"]["share_drifted"] <= 1
    verdict = json.loads((settings.home_path / "models" / "verdict.json").read_bytes())
    assert verdict["gate"]["promoted"]
    assert verdict["sha256"] == sha256_file(settings.home_path / "models" / "fp32.onnx")


def test_the_version_is_recorded_with_its_reasons_and_digests(first):
    settings, result = first
    store = storage.open_store(storage.database_url(settings))
    (row,) = storage.models(store, settings.model_name)
    store.dispose()
    manifest = published(settings)
    assert (row.version, row.promoted, row.run_id) == (1, True, result.run_id)
    assert row.sha256 == manifest.sha256["model.onnx"]
    assert row.data_sha256 == manifest.data.sha256
    assert row.reasons == list(manifest.gate.reasons)


def test_the_same_data_again_give_the_same_graph_which_is_refused_and_the_champion_stays(first):
    settings, _ = first
    again = run_pipeline(settings, None, only=["ensemble", "onnx_models", "promotion_gate", "published_bundle"])
    said = again.assets["published_bundle"]
    assert (said["published"], said["promoted"]) == (False, False)
    assert said["reasons"][0] == "refused: champion: identical to version 1"
    assert versions(settings.model_repository_path, settings.model_name) == [1]


def test_noise_is_refused_and_published_only_where_shadowing_is_allowed(tmp_path):
    settings = settings_at(tmp_path, learnable=False)
    needed = [name for name in (*TRAINING, *SERVING) if name != "drift_report"]
    assert not run_pipeline(settings, None, only=needed).assets["published_bundle"]["published"]
    assert versions(settings.model_repository_path, settings.model_name) == []
    shadowing = settings.model_copy(update={"allow_shadow": True})
    said = run_pipeline(shadowing, None, only=["published_bundle"]).assets["published_bundle"]
    assert (said["published"], said["promoted"]) == (True, False)
    assert published(settings).gate.promoted is False


def test_a_member_fitted_on_another_training_set_is_not_blended(tmp_path):
    settings = settings_at(tmp_path)
    run_pipeline(settings, None, only=["logistic_regression"])
    save(make_dataset(seed=9), settings.home_path / "training_set" / "dataset.npz")
    with pytest.raises(PipelineError, match=r"logistic\.npz: fitted on another training set"):
        run_pipeline(settings, None, only=["ensemble"])


def test_the_train_command_tells_verdict_figures_and_seconds(first):
    settings, result = first
    told = summarize(settings, result)
    assert (told["published"], told["promoted"], told["name"], told["version"]) == (True, True, "scalper", 1)
    assert told["members"].keys() == told["weights"].keys() == published(settings).metrics.members.keys()
    assert told["checks_failed"] == []
    assert told["seconds"].keys() >= {*TRAINING, *SERVING}
    assert json.loads(json.dumps(told)) == told
    assert in_words(told).startswith("published scalper version 1 (promoted)")


def test_the_train_command_explains_a_missing_tape(tmp_path, capsys):
    tape, home = str(tmp_path / "no_such_tape"), str(tmp_path / "home")
    assert run(["train", "--tape", tape, "--home", home, "--repository", home, "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert tape in said.err
    assert "fix: " in said.err


def test_a_verdict_on_another_graph_publishes_nothing(first, tmp_path):
    settings, _ = first
    verdict = settings.home_path / "models" / "verdict.json"
    kept = verdict.read_bytes()
    verdict.write_text(json.dumps(json.loads(kept) | {"sha256": "0" * 64}))
    try:
        with pytest.raises(PipelineError, match=r"verdict\.json: judges another graph"):
            run_pipeline(settings, None, only=["published_bundle"])
    finally:
        verdict.write_bytes(kept)
