"""A lint over what Dagster loads: every asset says what it is, whose it is, and is guarded; nothing phones home."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from pipelines.definitions import JOB, SELECT_JOB, build_definitions, defs
from pipelines.settings import PipelineError, PipelineSettings, settings_from_env

ROOT = Path(__file__).parents[2]
GROUPS = {"history", "ingest", "quality", "features", "training", "serving"}
DATA_HALF = {
    "ingest": {"raw_ticks", "clean_ticks"},
    "features": {"tick_features", "feature_store", "labels", "training_set", "bank_rows", "feature_selection"},
}
SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_asset_has_group_owner_kinds_and_one_sentence(name):
    spec = SPECS[name]
    assert spec.group_name in GROUPS
    assert spec.owners
    assert spec.kinds
    assert spec.description
    assert spec.description.endswith(".")
    assert spec.description.count(". ") == 0, "one sentence"
    assert spec.description[0].isupper() or spec.description[0].isdigit()


def test_the_data_half_is_there_under_its_names():
    for group, names in DATA_HALF.items():
        assert {name for name, spec in SPECS.items() if spec.group_name == group} == names


def dependencies(name):
    return {dep.asset_key.to_user_string() for dep in SPECS[name].deps}


def test_lineage_of_the_data_half():
    assert dependencies("clean_ticks") == {"raw_ticks"}
    assert dependencies("tick_features") == {"clean_ticks"}
    assert dependencies("feature_store") == {"tick_features"}
    assert dependencies("labels") == {"tick_features"}
    assert dependencies("training_set") == {"tick_features", "labels"}


def check_specs():
    checks = [check for check in defs.asset_checks if isinstance(check, dg.AssetChecksDefinition)]
    return {(spec.asset_key.to_user_string(), spec.name): spec for check in checks for spec in check.check_specs}


@pytest.mark.parametrize(
    "check",
    [
        ("clean_ticks", "quotes_meet_expectations"),
        ("clean_ticks", "trades_meet_expectations"),
        ("clean_ticks", "depth_meets_expectations"),
        ("clean_ticks", "few_ticks_are_rejected"),
        ("tick_features", "batch_equals_stream"),
        ("feature_store", "online_equals_offline"),
        ("feature_store", "point_in_time_equals_own_join"),
    ],
)
def test_data_checks_block_what_comes_after(check):
    assert check_specs()[check].blocking
    assert check_specs()[check].description


SELECTED_APART = {"bank_rows", "feature_selection"}


def checks_of(assets):
    checks = [check for check in defs.asset_checks if isinstance(check, dg.AssetChecksDefinition)]
    return {c.node_def.name for c in checks if {key.asset_key.to_user_string() for key in c.check_keys} <= assets}


def test_the_job_holds_every_asset_and_every_check_and_runs_in_process():
    job = defs.resolve_job_def(JOB)
    held = {name for name, spec in SPECS.items() if spec.group_name != "history"} - SELECTED_APART
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == held
    assert {node.name for node in job.nodes} == held | checks_of(held)
    assert job.executor_def is dg.in_process_executor


def test_features_are_selected_in_a_job_of_their_own():
    job = defs.resolve_job_def(SELECT_JOB)
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == SELECTED_APART
    assert {node.name for node in job.nodes} == SELECTED_APART | checks_of(SELECTED_APART)
    assert job.executor_def is dg.in_process_executor


def test_the_schedule_waits_to_be_switched_on():
    schedule = defs.resolve_schedule_def("daily")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert schedule.job_name == JOB


def test_settings_reach_the_workspace():
    built = build_definitions(PipelineSettings(home="/somewhere", split_ns=17))
    assert built.resources["workspace"].settings.split_ns == 17
    assert str(built.resources["workspace"].path("labels")) == "/somewhere/labels"


def test_settings_come_from_the_environment():
    given = {"CRYPTOSCALP__PIPELINE__LABEL_K": "20", "CRYPTOSCALP__PIPELINE__TAPE": "/t", "OTHER": "x"}
    settings = settings_from_env(given)
    assert (settings.label_k, settings.tape, settings.home) == (20, "/t", "var/demo")


@pytest.mark.parametrize(
    ("name", "value"),
    [("LABEL_K", "many"), ("LABEL_K", "0"), ("LABLE_K", "5"), ("TRAIN_SHARE", "1.5"), ("MAX_SAMPLES", "")],
)
def test_a_wrong_setting_is_named(name, value):
    with pytest.raises(PipelineError, match=f"CRYPTOSCALP__PIPELINE__{name}"):
        settings_from_env({f"CRYPTOSCALP__PIPELINE__{name}": value})


@pytest.mark.integration
def test_importing_the_pipeline_switches_telemetry_off_and_loads_no_heavy_library():
    code = (
        "import os, sys, pipelines.definitions\n"
        "names = 'DO_NOT_TRACK', 'DAGSTER_DISABLE_TELEMETRY', 'FEAST_USAGE', 'GX_ANALYTICS_ENABLED'\n"
        "print([os.environ[n] for n in names],"
        "[m for m in ('feast', 'great_expectations', 'evidently') if m in sys.modules])"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("DO_NOT_TRACK", "FEAST_USAGE")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip().splitlines()[-1] == "['1', '1', 'False', 'false'] []"
