"""What history there is, from the files themselves."""

from typing import Any

import polars as pl

from pipelines.history.partitions import Partition, present
from pipelines.resources import Workspace


def listing(workspace: Workspace) -> list[dict[str, Any]]:
    """One entry per partition: its names, rows, gaps, missing rows and rejected rows (from the tables' footers)."""
    return [_entry(workspace, partition) for partition in present(workspace)]


def _entry(workspace: Workspace, partition: Partition) -> dict[str, Any]:
    gaps = workspace.read_table(*partition.file("gaps"), columns=["missing"])
    return {
        **partition._asdict(),
        "rows": _height(workspace, *partition.file()),
        "gaps": gaps.height,
        "missing": int(gaps["missing"].sum()),
        "rejected": _height(workspace, *partition.file("rejected")),
        "path": str(workspace.path(*partition.file())),
    }


def _height(workspace: Workspace, *parts: str) -> int:
    return int(pl.scan_parquet(workspace.path(*parts)).select(pl.len()).collect().item())
