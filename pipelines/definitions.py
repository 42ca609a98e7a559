"""What Dagster loads: every asset and check of both halves, the job, its schedule, the workspace.

Runs are in process: starting a process per asset costs more than most assets take.
"""

from typing import Final

import dagster as dg

from pipelines.assets import features, history, ingest, quality, selection, serving, training
from pipelines.resources import Workspace
from pipelines.settings import PipelineSettings, settings_from_env

JOB: Final = "scalper_pipeline"
SELECT_JOB: Final = "select_features"
_MODULES: Final = [history, ingest, quality, features, selection, training, serving]
_SELECTION: Final = dg.AssetSelection.assets(selection.bank_rows, selection.feature_selection)

job = dg.define_asset_job(
    JOB,
    # history has partitions, which run one by one; the whole bank is looked at when features are chosen anew
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups(history.GROUP) - _SELECTION,
    executor_def=dg.in_process_executor,
    description="From the tape's latest session to a published model: every asset, every check.",
)

select_job = dg.define_asset_job(
    SELECT_JOB,
    selection=_SELECTION,
    executor_def=dg.in_process_executor,
    description="From tapes to the few features of the bank that are worth serving, judged out of sample.",
)

daily = dg.ScheduleDefinition(
    name="daily",
    job=job,
    cron_schedule="0 0 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Retrains every midnight UTC once switched on.",
)


def build_definitions(
    settings: PipelineSettings, loggers: dict[str, dg.LoggerDefinition] | None = None
) -> dg.Definitions:
    """The whole pipeline on one workspace."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules(_MODULES),
        asset_checks=dg.load_asset_checks_from_modules(_MODULES),
        jobs=[job, select_job],
        schedules=[daily],
        sensors=[history.history_sources],
        resources={"workspace": Workspace(settings=settings)},
        loggers=loggers,
        executor=dg.in_process_executor,
    )


defs = build_definitions(settings_from_env())
