"""Group ``ingest``: recorded frames to ticks, and ticks to clean ticks behind blocking checks."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from market.events import QUOTE
from market.tape import Session
from pipelines.asset_metadata import OWNERS, bounds, counts, picture, span, verdict
from pipelines.plots import Floats, Ints, counts_by_name, tick_rate_and_mid
from pipelines.quality import (
    depth_table,
    quarantine_rows,
    quote_table,
    run_suite,
    split_clean,
    trade_table,
)
from pipelines.resources import Workspace
from pipelines.ticks import (
    Columns,
    Recording,
    SymbolTicks,
    by_session,
    chosen_sessions,
    parts_of,
    read_session,
    session_column,
)

UNREADABLE = "unreadable_frames.parquet"


@dg.asset(
    group_name="ingest",
    owners=OWNERS,
    kinds={"python", "parquet"},
    description="One row per quote or trade of the chosen sessions, as decoded and before any judgement.",
)
def raw_ticks(workspace: Workspace) -> dg.MaterializeResult[None]:
    settings = workspace.settings
    chosen, left_out = chosen_sessions(
        settings.tape_paths, settings.sessions, settings.session_gap_s, settings.split_ns
    )
    recordings = [read_session(session, settings.split_ns, settings.max_ticks) for session in chosen]
    tables = dict(_by_symbol(recordings, lambda taken: taken.ticks))
    workspace.replace_tables("raw_depth", _by_symbol(recordings, lambda taken: taken.depth))
    workspace.write_table(pl.concat([recording.quarantine_table() for recording in recordings]), UNREADABLE)
    rows = workspace.replace_tables("raw_ticks", tables.items())
    return dg.MaterializeResult(
        metadata={
            **bounds(sum(rows.values()), *span([table["ts_recv"].to_numpy() for table in tables.values()])),
            **_about(chosen, left_out, recordings),
            "symbols": counts(rows),
            "ticks": picture(tick_rate_and_mid({s: _series(table) for s, table in tables.items()}), "ticks over time"),
        }
    )


def _by_symbol(
    recordings: list[Recording], columns: Callable[[SymbolTicks], Columns]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """One table per symbol: its sessions one after another, numbered."""
    for symbol in sorted({symbol for recording in recordings for symbol in recording.symbols}):
        taken = [(number, recording.symbols.get(symbol)) for number, recording in enumerate(recordings)]
        parts = [columns(own).table().with_columns(session_column(number)) for number, own in taken if own]
        yield symbol, pl.concat(parts)


def _about(chosen: list[Session], left_out: list[Session], recordings: list[Recording]) -> dict[str, Any]:
    by_type = sum((recording.counts for recording in recordings), Counter[str]())
    reasons = [f"{why}: {detail}" for recording in recordings for _, _, why, detail in recording.quarantine]
    return {
        "venue": ", ".join(sorted({session.venue for session in chosen})),
        "tape": ", ".join(dict.fromkeys(str(file.path) for session in chosen for file in session.files)),
        "sessions": [_name(session) for session in chosen],
        "sessions_left_out": ", ".join(map(_name, left_out)) or "none",
        "frames": sum(recording.frames for recording in recordings),
        "frames_by_type": counts(by_type),
        "quarantined": sum(recording.quarantined for recording in recordings),
        "quarantine_reasons": reasons[:5],
        "received_out_of_order": sum(recording.late for recording in recordings),
        "truncated_files": [str(path) for recording in recordings for path in recording.truncated],
    }


def _name(session: Session) -> str:
    start = datetime.fromtimestamp(session.first_ns / 1e9, UTC).isoformat(timespec="seconds")
    return f"{session.venue} {'+'.join(session.symbols)} from {start} ({session.frames} frames)"


def _series(ticks: pl.DataFrame) -> tuple[Ints, Ints, Floats]:
    quotes = ticks.filter((pl.col("kind") == QUOTE) & (pl.col("a") > 0) & (pl.col("c") > 0))
    mid_px = (quotes["a"] + quotes["c"]) / 2
    return ticks["ts_recv"].to_numpy(), quotes["ts_recv"].to_numpy(), mid_px.to_numpy()


@dg.asset(
    group_name="ingest",
    owners=OWNERS,
    kinds={"polars", "parquet"},
    deps=[raw_ticks],
    description="One row per tick that no rule rejects; rejected ones stand in quarantine.parquet with their reason.",
)
def clean_ticks(workspace: Workspace) -> dg.MaterializeResult[None]:
    quarantine, spans, by_reason = [workspace.read_table(UNREADABLE)], [], Counter[str]()

    def cleaned() -> Iterator[tuple[str, pl.DataFrame]]:
        for symbol, raw in workspace.read_tables("raw_ticks"):
            clean = by_session(raw, partial(kept, symbol))
            spans.append(clean["ts_recv"].to_numpy())
            yield symbol, clean

    def kept(symbol: str, ticks: pl.DataFrame) -> pl.DataFrame:
        clean, rejected = split_clean(ticks)
        quarantine.append(quarantine_rows(symbol, rejected))
        by_reason.update(rejected["reason"].to_list())
        return clean

    rows = workspace.replace_tables("clean_ticks", cleaned())
    workspace.write_table(pl.concat(quarantine), "quarantine.parquet")
    by_reason.update(quarantine[0]["reason"].to_list())
    return dg.MaterializeResult(
        metadata={
            **bounds(sum(rows.values()), *span(spans)),
            "rejected": by_reason.total(),
            "rejected_by_reason": counts(by_reason),
            "symbols": counts(rows),
            "rejected_plot": picture(counts_by_name(by_reason, "rejected rows"), "rejected by reason"),
        }
    )


def _judge(workspace: Workspace, event: str, tables: Iterator[tuple[str, pl.DataFrame]]) -> dg.AssetCheckResult:
    """Run one suite on every stream that has such events; one without any is named, not refused."""
    problems, absent, rows, passed = [], [], 0, 0
    for symbol, table in tables:
        if table.is_empty() and event != "quote":
            absent.append(symbol)
            continue
        result = run_suite(event, table)
        problems += [f"{symbol}: {failure}" for failure in result.failed]
        rows, passed = rows + result.rows, passed + result.passed
    return verdict(problems, rows=rows, expectations_passed=passed, symbols_without=absent)


def _of(
    workspace: Workspace, name: str, view: Callable[[pl.DataFrame], pl.DataFrame]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Streams to judge: each symbol of each session by itself, for ids and prices start anew with a session."""
    for symbol, table in workspace.read_tables(name):
        parts = dict(parts_of(table))
        for number, rows in parts.items():
            yield symbol if len(parts) == 1 else f"{symbol} in session {number}", view(rows)


@dg.asset_check(asset=clean_ticks, blocking=True, description="Great Expectations suite of quotes, per stream.")
def quotes_meet_expectations(workspace: Workspace) -> dg.AssetCheckResult:
    return _judge(workspace, "quote", _of(workspace, "clean_ticks", quote_table))


@dg.asset_check(asset=clean_ticks, blocking=True, description="Great Expectations suite of trades, per stream.")
def trades_meet_expectations(workspace: Workspace) -> dg.AssetCheckResult:
    return _judge(workspace, "trade", _of(workspace, "clean_ticks", trade_table))


@dg.asset_check(asset=clean_ticks, blocking=True, description="Great Expectations suite of depth events, per stream.")
def depth_meets_expectations(workspace: Workspace) -> dg.AssetCheckResult:
    return _judge(workspace, "depth", _of(workspace, "raw_depth", depth_table))


@dg.asset_check(
    asset=clean_ticks, blocking=True, description="No more ticks and frames rejected than the settings allow."
)
def few_ticks_are_rejected(workspace: Workspace) -> dg.AssetCheckResult:
    kept = sum(table.height for _, table in workspace.read_tables("clean_ticks", columns=["kind"]))
    rejected = workspace.read_table("quarantine.parquet", columns=["reason"]).height
    share, most = rejected / max(kept + rejected, 1), workspace.settings.max_rejected_share
    problems = [f"{share:.1%} of all ticks were rejected, max_rejected_share is {most:.1%}"] if share > most else []
    return verdict(problems, rejected=rejected, share=share)
