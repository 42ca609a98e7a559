"""What every asset page shows: rows, time bounds, pictures; and what a check says when it fails."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from pipelines.plots import markdown

OWNERS: Final = ["team:data"]
MOST_WORDS: Final = 20


def bounds(rows: int, first_ns: int, last_ns: int) -> dict[str, dg.MetadataValue[Any]]:
    """Row count and time bounds (UTC) under the names every asset uses."""
    return {
        "rows": dg.MetadataValue.int(rows),
        "first_ts": dg.MetadataValue.timestamp(first_ns / 1e9),
        "last_ts": dg.MetadataValue.timestamp(last_ns / 1e9),
    }


def span(columns: Sequence[npt.NDArray[np.int64]]) -> tuple[int, int]:
    """Smallest and largest time over several columns, empty ones aside; zeros when all are empty."""
    filled = [column for column in columns if len(column)]
    return (min(int(c.min()) for c in filled), max(int(c.max()) for c in filled)) if filled else (0, 0)


def picture(figure: Figure, title: str) -> dg.MetadataValue[Any]:
    """A plot for the asset page."""
    return dg.MetadataValue.md(markdown(figure, title))


def counts(values: Mapping[str, int]) -> dg.MetadataValue[Any]:
    """Named counts as JSON, largest first."""
    return dg.MetadataValue.json(dict(sorted(values.items(), key=lambda item: -item[1])))


def verdict(problems: Sequence[str], check_name: str | None = None, **metadata: Any) -> dg.AssetCheckResult:
    """Passed when there is no problem; otherwise the problems in words, the first ones."""
    description = "; ".join(problems[:MOST_WORDS]) if problems else None
    return dg.AssetCheckResult(passed=not problems, check_name=check_name, description=description, metadata=metadata)
