"""A partition is replaced whole or not at all, comes out the same again, and takes every source into account."""

import polars as pl
import pytest

from market.errors import CryptoScalpError
from pipelines.history import build as building
from pipelines.history import catalogue, partitions
from pipelines.history.build import build
from pipelines.history.imports import import_paths
from pipelines.history.names import Names
from pipelines.history.partitions import Partition, present, read_beside, read_rows
from pipelines.history.schema import SCHEMAS
from tests.pipelines.history import archives
from tests.pipelines.history.archives import DAY_MS
from tests.pipelines.history.test_history_faults import PARTITION, workspace

NAME = "XYZUSDT-aggTrades-2024-07-18"
DAY_LENGTH_MS = 86_400_000


def contents(home):
    return {path: path.read_bytes() for path in home.path("history").rglob("*.parquet")}


def imported(tmp_path, rows, name=f"{NAME}.zip", header=archives.AGG_HEADER):
    home = workspace(tmp_path)
    result = import_paths(home, [archives.write(tmp_path / name, rows, header)])
    return home, result


def test_rows_are_stored_in_the_schema_with_their_names(tmp_path):
    home, _ = imported(tmp_path, archives.agg_trades(30))
    stored = read_rows(home, PARTITION)
    assert dict(stored.drop("venue", "symbol").schema) == SCHEMAS["trades"]
    assert stored.select("venue", "symbol").unique().rows() == [("binanceusdm", "XYZUSDT")]


def test_the_same_file_again_gives_the_same_bytes(tmp_path):
    home, first = imported(tmp_path, archives.agg_trades(3_000))
    before = contents(home)
    again = import_paths(home, [tmp_path / f"{NAME}.zip"])
    assert contents(home) == before
    assert len(before) == 3
    assert again.partitions == first.partitions


def test_a_file_over_midnight_fills_two_days_and_a_rerun_touches_only_its_own(tmp_path):
    rows = archives.agg_trades(200, start_ms=DAY_MS + DAY_LENGTH_MS - 25_000)
    home, result = imported(tmp_path, rows, "XYZUSDT-aggTrades-2024-07.zip")
    assert [(part.day, part.rows) for part in result.partitions] == [("2024-07-18", 100), ("2024-07-19", 100)]
    second = PARTITION._replace(day="2024-07-19")
    stamp = home.path(*second.file()).stat().st_mtime_ns
    build(home, PARTITION)
    assert home.path(*second.file()).stat().st_mtime_ns == stamp
    assert [partition.day for partition in present(home)] == ["2024-07-18", "2024-07-19"]


def test_overlapping_files_count_each_row_once_and_a_changed_file_replaces_its_rows(tmp_path):
    rows = archives.agg_trades(300)
    home, _ = imported(tmp_path, rows[:200])
    later = archives.write(tmp_path / "more" / f"{NAME}.zip", rows[100:], archives.AGG_HEADER)
    (outcome,) = import_paths(home, [later]).partitions
    assert (outcome.rows, outcome.repeated, outcome.rejected) == (300, 100, 0)
    archives.write(later, rows[100:250], archives.AGG_HEADER)
    (outcome,) = import_paths(home, [later]).partitions
    assert outcome.rows == 250


def test_bands_and_forced_orders_become_partitions(tmp_path):
    """Rows that an archive holds twice count once; forced orders leave no gap, a missing snapshot does."""
    bands = archives.book_depth(90)
    del bands[6 * 30 : 6 * 40]
    files = [
        archives.write(tmp_path / "XYZUSDT-bookDepth-2024-07-18.zip", bands, archives.DEPTH_HEADER),
        archives.write(
            tmp_path / "XYZUSD_PERP-liquidationSnapshot-2024-07-18.zip",
            [*archives.liquidations(30), f"{DAY_MS + 7},BUY,LIMIT,IOC,5,10,10,FILLED,6,6"],
            archives.FORCED_HEADER,
        ),
    ]
    home = workspace(tmp_path)
    depth, forced = import_paths(home, [archives.with_checksum(path) for path in files]).partitions
    assert (depth.kind, depth.rows, depth.repeated, depth.problems) == ("depth_bands", 80 * 6, 0, [])
    gaps = read_beside(home, Partition("depth_bands", depth.venue, depth.symbol, depth.day), "gaps")
    assert (gaps["last_ns"] - gaps["first_ns"])[0] == 11 * 30 * 10**9
    assert (forced.kind, forced.venue, forced.rows, forced.repeated) == ("liquidations", "binancecoinm", 40, 40)
    assert (forced.rejected_by_reason, forced.gaps) == ({"filled_more_than_ordered": 1}, 0)
    before = contents(home)
    import_paths(home, files)
    assert contents(home) == before


def test_equal_rows_without_ids_stay_within_a_file_and_count_once_over_two(tmp_path):
    head = "id,unix_timestamp_ms,side,price,quantity"
    rows = [f"x{i // 2},{DAY_MS + 1_000 * (i // 2)},buy,5.5,1" for i in range(20)]
    quotes = [f"{(DAY_MS + 1_000 * (i // 2)) / 1_000},5.5,5.6" for i in range(20)]
    home = workspace(tmp_path)
    for folder in ("a", "b"):
        files = [
            archives.write(tmp_path / folder / "trades_XYZUSDT.csv", rows, head),
            archives.write(tmp_path / folder / "prices_XYZUSDT.csv", quotes, "unix_timestamp,bid,ask"),
        ]
        found = import_paths(home, files, Names(venue="v")).partitions
    assert {part.kind: (part.rows, part.repeated) for part in found} == {"trades": (10, 30), "quotes": (20, 20)}


@pytest.mark.parametrize("breaks_at", ["rows", "gaps", "rejected", "rename"])
def test_an_interrupted_write_leaves_the_old_partition(tmp_path, monkeypatch, breaks_at):
    home, _ = imported(tmp_path, archives.agg_trades(100))
    before = contents(home)
    more = archives.write(tmp_path / "more" / f"{NAME}.zip", archives.agg_trades(500), archives.AGG_HEADER)
    written, write_parquet = [], pl.DataFrame.write_parquet

    def full_disk(frame, file, **options):
        written.append(file)
        if len(written) == ("rows", "gaps", "rejected").index(breaks_at) + 1:
            file.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        return write_parquet(frame, file, **options)

    def killed(*_args, **_options):
        raise KeyboardInterrupt

    if breaks_at == "rename":
        monkeypatch.setattr(partitions, "_sha256", killed)
    else:
        monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    with pytest.raises((CryptoScalpError, KeyboardInterrupt)) as caught:
        import_paths(home, [more])
    monkeypatch.undo()
    assert breaks_at == "rename" or "No space left" in caught.value.message
    assert contents(home) == before
    assert not list(home.path("history").rglob("*.part"))
    assert read_beside(home, PARTITION, "gaps").height > 0


def test_tables_beside_other_rows_are_refused(tmp_path):
    home, _ = imported(tmp_path, archives.agg_trades(100))
    home.write_table(read_rows(home, PARTITION).head(5), *PARTITION.file())
    with pytest.raises(CryptoScalpError, match=r"gaps\.parquet: belongs to other rows"):
        read_beside(home, PARTITION, "gaps")


def test_a_partition_without_a_usable_row_leaves_the_old(tmp_path):
    home, _ = imported(tmp_path, archives.agg_trades(100))
    before = contents(home)
    rows = [",".join([row.split(",")[0], "-1", *row.split(",")[2:]]) for row in archives.agg_trades(100)]
    archives.write(tmp_path / f"{NAME}.zip", rows, archives.AGG_HEADER)
    with pytest.raises(CryptoScalpError, match=r"no usable row of binanceusdm\|XYZUSDT\|2024-07-18 .*unusable_price"):
        import_paths(home, [tmp_path / f"{NAME}.zip"])
    assert contents(home) == before


def test_a_source_that_is_gone_is_named_and_what_was_made_of_it_stays(tmp_path):
    home, _ = imported(tmp_path, archives.agg_trades(100))
    (tmp_path / f"{NAME}.zip").unlink()
    before = contents(home)
    with pytest.raises(CryptoScalpError, match="an imported file is gone"):
        build(home, PARTITION)
    assert contents(home) == before


def test_a_partition_nobody_imported_is_refused(tmp_path):
    with pytest.raises(CryptoScalpError, match=r"no imported file holds v\|S\|2024-01-01"):
        build(workspace(tmp_path), Partition("trades", "v", "S", "2024-01-01"))


@pytest.mark.parametrize("key", ["a|b", "a|b|c", "a|../b|2024-01-01", "a|b|2024-1-1", ""])
def test_a_key_that_names_no_partition_is_refused(key):
    with pytest.raises(CryptoScalpError, match="names no partition"):
        Partition.of("trades", key)


def test_one_file_of_many_days_is_read_once(tmp_path, monkeypatch):
    reads, read = [], catalogue.read
    monkeypatch.setattr(catalogue, "read", lambda *args: reads.append(args[0]) or read(*args))
    monkeypatch.setattr(building, "find_gaps", lambda *_args: pl.DataFrame(schema=partitions_gaps()))
    rows = archives.klines(n=4 * 1_440)
    home, result = imported(tmp_path, rows, "XYZUSDT-1m-2024-07.zip", archives.KLINE_HEADER)
    assert len(result.partitions) == 4
    assert len(reads) == 1
    assert home.path("history", "klines", "binanceusdm", "XYZUSDT").is_dir()


def partitions_gaps():
    from pipelines.history.gaps import GAPS_SCHEMA

    return GAPS_SCHEMA
