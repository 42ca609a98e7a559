"""Holes in a day of history, as data: ids that are missing, bars that are missing, streams that fell silent."""

from typing import Any, Final

import polars as pl

from pipelines.history.schema import DAY_NS, MINUTE_NS, clock

GAPS_SCHEMA: Final[dict[str, Any]] = {
    "stream": pl.String,
    "reason": pl.String,
    "first_ns": pl.Int64,
    "last_ns": pl.Int64,
    "after_id": pl.Int64,
    "before_id": pl.Int64,
    "missing": pl.Int64,
}
SILENCE_NS: Final = MINUTE_NS
SILENT_STEPS: Final = 20
LATE_SHARE: Final = 1.5


def find_gaps(kind: str, rows: pl.DataFrame, day_ns: int) -> pl.DataFrame:
    """Every gap of one partition, in time order.

    Parameters
    ----------
    kind
        Kind of the rows.
    rows
        All rows of the partition, those that a rule rejected included: a row that cannot be used is no row that is
        missing. (One that could not even be read is.)
    day_ns
        Start of the day, ns UTC; the day's edges count as well.

    Returns
    -------
    polars.DataFrame
        ``GAPS_SCHEMA``: ``first_ns`` and ``last_ns`` are the last time before and the first time after (bars: when the
        first missing one opens and the last one ends), ``after_id`` and ``before_id`` the ids there, ``missing`` how
        many rows are not there (null: the source does not tell).

        ``missing_ids``
            A trade number, or depth updates by the venue's own chain of ids.
        ``missing_bars``
            Bars of the interval's grid.
        ``silence``
            Nothing for a minute, or for 20 usual steps where those are longer; settlements and statistics: for 1.5
            intervals.
    """
    found = {
        "trades": lambda: [*_by_aggregate(rows), _silence("", rows, day_ns)],
        "quotes": lambda: [_silence("", rows, day_ns)],
        "klines": lambda: [_bars(interval, part, day_ns) for interval, part in _parts(rows, "interval_ns")],
        "funding": lambda: [_funding(settled, part, day_ns) for settled, part in _parts(rows, "is_settled")],
        "open_interest": lambda: [_silence("", rows, day_ns, _usual_step(rows))],
        "depth": lambda: [_chain(rows), _silence("", rows, day_ns)],
        "depth_bands": lambda: [_silence("", rows, day_ns, _usual_step(rows))],
        # forced orders come when they come: no source says when there were none
        "liquidations": lambda: [pl.DataFrame(schema=GAPS_SCHEMA)],
    }[kind]()
    return pl.concat(found).sort("first_ns", "last_ns", "stream", "reason", maintain_order=True)


def _parts(rows: pl.DataFrame, name: str) -> list[tuple[Any, pl.DataFrame]]:
    groups = rows.partition_by(name, as_dict=True, maintain_order=True)
    return [(key[0], part) for key, part in groups.items()]


def _by_aggregate(rows: pl.DataFrame) -> list[pl.DataFrame]:
    return [_ids("aggregate" if flag else "single", part) for flag, part in _parts(rows, "is_aggregate")]


def _gaps(rows: pl.DataFrame, **columns: pl.Expr) -> pl.DataFrame:
    filled = {name: columns.get(name, pl.lit(None)).cast(dtype) for name, dtype in GAPS_SCHEMA.items()}
    return rows.select(**filled)


def _ids(stream: str, rows: pl.DataFrame) -> pl.DataFrame:
    ids = rows.filter(pl.col("trade_id").is_not_null()).select(id="trade_id", at=clock()).sort("id", "at")
    steps = ids.unique("id", keep="first", maintain_order=True).with_columns(
        before=pl.col("id").shift(), start=pl.col("at").shift()
    )
    return _gaps(
        steps.filter(pl.col("id") - pl.col("before") > 1),
        stream=pl.lit(stream),
        reason=pl.lit("missing_ids"),
        first_ns=pl.min_horizontal("start", "at"),
        last_ns=pl.max_horizontal("start", "at"),
        after_id=pl.col("before"),
        before_id=pl.col("id"),
        missing=pl.col("id") - pl.col("before") - 1,
    )


def _chain(rows: pl.DataFrame) -> pl.DataFrame:
    """Deltas that do not follow the one before: futures name the previous id, on spot the first id goes on from it."""
    deltas = rows.filter(~pl.col("is_snapshot") & pl.col("last_id").is_not_null())
    messages = deltas.select("first_id", "last_id", "prev_id", at=clock()).unique(
        ["first_id", "last_id"], keep="first", maintain_order=True
    )
    by_name = pl.col("prev_id").is_not_null()
    # where each names the one before, numbers may start anew (OKX after maintenance): there time is their order
    in_order = messages.sort(pl.when(by_name).then("at").otherwise(0), "last_id")
    steps = in_order.with_columns(before=pl.col("last_id").shift(), start=pl.col("at").shift())
    back = (pl.col("prev_id") < pl.col("before")) & (pl.col("last_id") < pl.col("before"))
    skipped = pl.when(by_name).then(pl.col("prev_id")).otherwise(pl.col("first_id") - 1) > pl.col("before")
    broken = skipped | (by_name & back)
    return _gaps(
        steps.filter(broken),
        stream=pl.lit("depth"),
        reason=pl.lit("missing_ids"),
        first_ns=pl.min_horizontal("start", "at"),
        last_ns=pl.max_horizontal("start", "at"),
        after_id=pl.col("before"),
        before_id=pl.col("first_id"),
        missing=pl.when(~by_name).then(pl.col("first_id") - pl.col("before") - 1),
    )


def _bars(interval_ns: int, rows: pl.DataFrame, day_ns: int) -> pl.DataFrame:
    """Bars that should open in this day; an interval of a day or more has no grid inside it."""
    if not 0 < interval_ns < DAY_NS:
        return pl.DataFrame(schema=GAPS_SCHEMA)
    at = rows["ts_event"].unique().sort()
    grid = int(at[0]) % interval_ns
    first = day_ns + (grid - day_ns) % interval_ns
    ends = pl.Series(
        "at", [first - interval_ns, *at.to_list(), first + -(-(day_ns + DAY_NS - first) // interval_ns) * interval_ns]
    )
    steps = pl.DataFrame({"at": ends}).with_columns(start=pl.col("at").shift())
    missing = (pl.col("at") - pl.col("start")) // interval_ns - 1
    return _gaps(
        steps.filter(missing > 0),
        stream=pl.lit(f"{interval_ns // 1_000_000_000}s"),
        reason=pl.lit("missing_bars"),
        first_ns=pl.col("start") + interval_ns,
        last_ns=pl.col("at"),
        missing=missing,
    )


def _usual_step(rows: pl.DataFrame) -> int:
    """1.5 usual steps of a slow stream; a day where one row alone tells none."""
    steps = rows.select(clock().unique().sort().diff().drop_nulls()).to_series()
    return DAY_NS if steps.is_empty() else int(LATE_SHARE * float(steps.median()))  # type: ignore[arg-type]


def _funding(settled: bool, rows: pl.DataFrame, day_ns: int) -> pl.DataFrame:
    if not settled:
        return _silence("running", rows, day_ns)
    stated = rows["interval_ns"].drop_nulls()
    allowed = _usual_step(rows) if stated.is_empty() else int(LATE_SHARE * int(stated.max()))  # type: ignore[arg-type]
    return _silence("settled", rows, day_ns, allowed)


def _silence(stream: str, rows: pl.DataFrame, day_ns: int, allowed_ns: int | None = None) -> pl.DataFrame:
    at = rows.select(at=clock().sort())["at"]
    if allowed_ns is None:
        usual = at.diff().median() or 0.0
        allowed_ns = max(SILENCE_NS, int(SILENT_STEPS * float(usual)))  # type: ignore[arg-type]
    edges = pl.concat([pl.Series("at", [day_ns]), at, pl.Series("at", [day_ns + DAY_NS])])
    steps = pl.DataFrame({"at": edges}).with_columns(start=pl.col("at").shift())
    return _gaps(
        steps.filter(pl.col("at") - pl.col("start") > allowed_ns),
        stream=pl.lit(stream),
        reason=pl.lit("silence"),
        first_ns=pl.col("start"),
        last_ns=pl.col("at"),
    )
