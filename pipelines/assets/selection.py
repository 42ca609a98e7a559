"""Group ``features``: rows of the whole bank, and which few of them are worth serving. A job of its own: it is long."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import dagster as dg
import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from features.bank import BANK_INDEX, BANK_NAMES, unfed
from features.plan import FeatureError
from features.schema import COUNT, NAMES
from features.served import SERVED
from market.tape import sessions
from pipelines.asset_metadata import OWNERS, bounds, counts, picture, span, verdict
from pipelines.assets.features import LABELS
from pipelines.bank_frames import BANK_ID, BANK_KEY, bank_frames, bank_table
from pipelines.resources import Workspace
from pipelines.selection import Samples, rank
from pipelines.selection_report import Selection, described, in_words, markdown_table, ranked_importance
from pipelines.selection_trial import compare
from pipelines.served_set import choose, schema_id_of
from pipelines.settings import PipelineError
from pipelines.told import tell

SELECTION: Final = ("selection", "selection.json")
RANKING: Final = ("selection", "ranking.parquet")
NOT_FED = {BANK_INDEX[name]: why for name, why in unfed().items()}


@dg.asset(
    group_name="features",
    owners=OWNERS,
    kinds={"numba", "parquet"},
    description="One row per kept decision point of every session: the outcome, and every feature of the bank.",
)
def bank_rows(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    settings, unreadable, decisions = workspace.settings, 0, Counter[str]()
    spans: list[npt.NDArray[np.int64]] = []

    def tables() -> Iterator[tuple[str, pl.DataFrame]]:
        nonlocal unreadable
        for number, session in enumerate(found):
            frames, bad = bank_frames(
                session,
                settings.reference_symbol,
                most=settings.selection_rows,
                label_k=settings.label_k,
                latency_ns=round(settings.label_latency_ms * 1e6),
                progress=tell(f"reading session {number + 1} of {len(found)}"),
            )
            unreadable += bad
            for frame in frames:
                name = f"{number:03d}_{frame.symbol}"
                spans.append(frame.ts_ns)
                decisions[name] = frame.decisions
                context.log.info(f"{name}: {len(frame.label):,} of {frame.decisions:,} decision points kept")
                yield name, bank_table(frame)

    named = [Path(tape).expanduser().resolve() for tape in settings.selection_tapes]
    found = [s for tape in named or settings.tape_paths for s in sessions(tape, settings.session_gap_s)]
    rows = workspace.replace_tables("bank_rows", tables(), metadata={BANK_KEY: BANK_ID})
    if not rows:
        raise PipelineError("no labelled decision point on these tapes", "record longer tapes, or lower label_k")
    return dg.MaterializeResult(
        metadata={
            **bounds(sum(rows.values()), *span(spans)),
            "streams": counts(rows),
            "decision_points": counts(decisions),
            "features": len(BANK_NAMES),
            "bank_id": BANK_ID,
            "unreadable_frames": unreadable,
        }
    )


@dg.asset_check(
    asset=bank_rows,
    blocking=True,
    description="Every value of every stream is finite, times rise, and no outcome is known before its decision.",
)
def bank_rows_can_be_learned_from(workspace: Workspace) -> dg.AssetCheckResult:
    problems, streams = [], 0
    for name, table in workspace.read_tables("bank_rows"):
        streams += 1
        infinite = np.flatnonzero(~np.isfinite(table.select(BANK_NAMES).to_numpy()).all(axis=0))
        problems += [f"{name}: {BANK_NAMES[column]} is not finite" for column in infinite]
        if (table["ts_ns"].diff() < 0).any() or (table["end_ns"] < table["ts_ns"]).any():
            problems.append(f"{name}: times fall, or an outcome comes before its decision")
    return verdict(problems, streams=streams)


def read_samples(workspace: Workspace) -> Samples:
    """All kept rows, streams one after another.

    Raises
    ------
    PipelineError
        When they were written for another bank.
    """
    parts = []
    for number, name in enumerate(workspace.symbols("bank_rows")):
        parts_of = ("bank_rows", f"{name}.parquet")
        written = workspace.table_metadata(*parts_of).get(BANK_KEY)
        if written != BANK_ID:
            why = f"{workspace.path(*parts_of)}: rows of bank {written}, but this code computes {BANK_ID}"
            raise PipelineError(why, "materialize bank_rows again")
        table = workspace.read_table(*parts_of)
        outcome = (table[column].to_numpy() for column in ("label", "ts_ns", "end_ns"))
        parts.append((table.select(BANK_NAMES).to_numpy(), *outcome, np.full(table.height, number)))
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@dg.asset(
    group_name="features",
    owners=OWNERS,
    kinds={"xgboost", "scikitlearn", "scipy"},
    deps=[bank_rows],
    description="One row per feature of the bank: its cluster, how often it is selected, what it is worth, in or out.",
)
def feature_selection(workspace: Workspace) -> dg.MaterializeResult[None]:
    settings, samples = workspace.settings, read_samples(workspace)
    count, seed, embargo_ns = settings.selection_count, settings.seed, round(settings.selection_embargo_s * 1e9)
    ranking = rank(samples, count, embargo_ns, seed, tell("ranking the bank"), NOT_FED)
    choice = choose(ranking, SERVED.pinned, NAMES, count)
    served = [BANK_INDEX[name] for name in NAMES]

    def selected(learned: Samples) -> tuple[int, ...]:
        return choose(rank(learned, count, embargo_ns, seed, barred=NOT_FED), SERVED.pinned, NAMES, count).columns

    trials = compare(samples, served, selected, embargo_ns, seed, tell("comparing with the served set"))
    found = described(ranking, choice, trials, NAMES, bank_id=BANK_ID, samples=len(samples.y), seed=seed)
    workspace.write_json(msgspec.to_builtins(found), *SELECTION)
    workspace.write_table(pl.DataFrame([_flat(row) for row in msgspec.to_builtins(found.rows)]), *RANKING)
    return dg.MaterializeResult(metadata=_about(found, samples, str(workspace.path(*RANKING))))


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    importance = row.pop("importance") or dict.fromkeys(("mean", "low", "high"))
    return {**row, **{f"importance_{name}": value for name, value in importance.items()}}


def _about(found: Selection, samples: Samples, path: str) -> dict[str, Any]:
    return {
        **bounds(found.samples, *span([samples.ts_ns])),
        "classes": counts({name: int((samples.y == i).sum()) for i, name in enumerate(LABELS)}),
        "features": len(found.rows),
        "clusters": found.clusters,
        "chosen": dg.MetadataValue.json(list(found.chosen)),
        "leaving": dg.MetadataValue.json(found.leaving),
        "coming": dg.MetadataValue.json(found.coming),
        "schema_id": found.schema_id,
        "served_schema_id": found.served_schema_id,
        "trials": dg.MetadataValue.json(msgspec.to_builtins(found.trials)),
        "out_of_sample": dg.MetadataValue.md("\n".join(f"- {in_words(trial)}" for trial in found.trials)),
        "ranking": dg.MetadataValue.md(markdown_table(found)),
        "table": dg.MetadataValue.path(path),
        "importance": picture(ranked_importance(found), "ranked importance"),
    }


def read_selection(workspace: Workspace) -> Selection:
    """What ``feature_selection`` wrote."""
    return msgspec.convert(workspace.read_json(*SELECTION), Selection)


@dg.asset_check(
    asset=feature_selection,
    blocking=True,
    description="The chosen set can be served: no more than asked for, with what is pinned, mirror partners together.",
)
def chosen_set_can_be_served(workspace: Workspace) -> dg.AssetCheckResult:
    found, problems = read_selection(workspace), []
    problems += [f"{name} is pinned and not chosen" for name in SERVED.pinned if name not in found.chosen]
    if len(found.chosen) > workspace.settings.selection_count:
        problems.append(f"{len(found.chosen)} chosen, {workspace.settings.selection_count} wanted")
    try:
        schema_id_of(found.chosen)
    except FeatureError as error:
        problems.append(error.message)
    return verdict(problems, chosen=len(found.chosen), served=COUNT)


@dg.asset_check(
    asset=feature_selection,
    description="Out of sample no plain model is surely worse on selected sets than on the served one.",
)
def selection_is_no_worse(workspace: Workspace) -> dg.AssetCheckResult:
    trials = read_selection(workspace).trials
    told = verdict([in_words(trial) for trial in trials if trial.difference.low > 0.0], trials=len(trials))
    return told._replace(severity=dg.AssetCheckSeverity.WARN)
