"""Group ``history``: one partition per venue, symbol and UTC day of every kind of history.

Dagster allows two dimensions, and a grid of all venue-symbols by all days would be empty almost everywhere; so each
asset has its own dynamic partitions with keys ``venue|symbol|day``, which exist where an imported file holds rows.
The sensor adds them and runs each again when its files change.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import dagster as dg

from pipelines.asset_metadata import OWNERS, bounds, counts, picture, verdict
from pipelines.history import catalogue
from pipelines.history.build import Built, build
from pipelines.history.catalogue import Source
from pipelines.history.partitions import Partition
from pipelines.history.plots import day_picture
from pipelines.history.quality import verdict_of
from pipelines.history.schema import KINDS, clock
from pipelines.resources import Workspace

GROUP: Final = "history"
MOST_RUNS: Final = 50
_ONE_ROW_IS: Final = {
    "trades": "One row per trade or aggregate of fills, in time order, ids unique.",
    "quotes": "One row per change of the best bid and ask.",
    "klines": "One row per bar and interval.",
    "funding": "One row per settlement, or per reading of the running rate, told apart by is_settled.",
    "open_interest": "One row per reading of open interest and the venue's long/short ratios.",
    "depth": "One row per price level of a book snapshot or delta.",
    "depth_bands": "One row per band around the middle price of a book snapshot.",
    "liquidations": "One row per forced order or fill of one, as the venue tells it.",
}


def _name(kind: str) -> str:
    return f"history_{kind}"


PARTITIONS: Final = {kind: dg.DynamicPartitionsDefinition(name=_name(kind)) for kind in KINDS}


def _check(kind: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name=f"{_name(kind)}_meets_expectations",
        asset=_name(kind),
        blocking=True,
        description="Great Expectations suite of the partition, and no more rows rejected than the settings allow.",
    )


def _asset(kind: str) -> dg.AssetsDefinition:
    """The asset judges its partition itself: checks that stand alone have no partitions yet."""

    @dg.asset(
        name=_name(kind),
        group_name=GROUP,
        owners=OWNERS,
        kinds={"polars", "parquet"},
        partitions_def=PARTITIONS[kind],
        check_specs=[_check(kind)],
        description=_ONE_ROW_IS[kind],
    )
    # beside checks, Dagster reads the bare type only
    def history(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:  # type: ignore[type-arg]
        built = build(workspace, Partition.of(kind, context.partition_key))
        return dg.MaterializeResult(metadata=_about(built), check_results=[_judged(built, workspace)])

    return history


def _judged(built: Built, workspace: Workspace) -> dg.AssetCheckResult:
    found = [f"{built.partition.key}: {what}" for what in verdict_of(built, workspace.settings.max_rejected_share)]
    name = _check(built.partition.kind).name
    return verdict(found, check_name=name, rows=built.rows.height, rejected=built.rejected.height)


def _about(built: Built) -> Mapping[str, Any]:
    stamps = built.rows.select(clock())
    first_ns, last_ns = int(stamps.min().item()), int(stamps.max().item())
    return {
        **bounds(built.rows.height, first_ns, last_ns),
        "gaps": built.gaps.height,
        "gaps_by_reason": counts(dict(built.gaps["reason"].value_counts().rows())),
        "missing": int(built.gaps["missing"].sum()),
        "rejected": built.rejected.height,
        "rejected_by_reason": counts(built.rejected_by_reason),
        "repeated": built.repeated,
        "unsorted": built.unsorted,
        "sources": ", ".join(built.sources),
        "sha256": built.sha256,
        "day": picture(day_picture(built.partition.kind, built.rows, built.gaps), "the day and its gaps"),
    }


history_trades = _asset("trades")
history_quotes = _asset("quotes")
history_klines = _asset("klines")
history_funding = _asset("funding")
history_open_interest = _asset("open_interest")
history_depth = _asset("depth")
history_depth_bands = _asset("depth_bands")
history_liquidations = _asset("liquidations")


@dg.sensor(
    name="history_sources",
    target=dg.AssetSelection.groups(GROUP),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Adds the partitions that imported files hold and runs each one whose files changed.",
)
def history_sources(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult:
    wanted = fingerprints(catalogue.load(workspace).values())
    done = dict(line.split("=", 1) for line in (context.cursor or "").splitlines())
    stale = [partition for partition, print_ in wanted.items() if done.get(_line(partition)) != print_][:MOST_RUNS]
    done.update({_line(partition): wanted[partition] for partition in stale})
    return dg.SensorResult(
        run_requests=[_request(partition, wanted[partition]) for partition in stale],
        dynamic_partitions_requests=_additions(stale),
        cursor="\n".join(f"{line}={print_}" for line, print_ in sorted(done.items())),
    )


def fingerprints(sources: Iterable[Source]) -> dict[Partition, str]:
    """A short digest per partition of the files it is made from: size, time and names given."""
    digests: dict[Partition, list[str]] = {}
    for source in sorted(sources, key=lambda source: source.path):
        for partition in source.partitions:
            digests.setdefault(partition, []).append(f"{source.path} {source.size} {source.mtime_ns} {source.names}")
    return {
        partition: hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        for partition, parts in sorted(digests.items())
    }


def _line(partition: Partition) -> str:
    return f"{partition.kind}|{partition.key}"


def _request(partition: Partition, print_: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{_line(partition)}={print_}",
        asset_selection=[dg.AssetKey(_name(partition.kind))],
        partition_key=partition.key,
    )


def _additions(stale: Iterable[Partition]) -> list[dg.AddDynamicPartitionsRequest]:
    keys: dict[str, list[str]] = {}
    for partition in stale:
        keys.setdefault(partition.kind, []).append(partition.key)
    return [PARTITIONS[kind].build_add_request(found) for kind, found in keys.items()]
