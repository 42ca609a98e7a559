"""Bad input: one sentence that names the file and the place, or a counted row in quarantine; nothing is guessed."""

import gzip
import zipfile

import polars as pl
import pytest

from market.errors import CryptoScalpError
from pipelines.history.imports import import_paths
from pipelines.history.names import Names
from pipelines.history.partitions import Partition, read_beside, read_rows
from pipelines.history.read import read
from pipelines.resources import Workspace
from pipelines.settings import PipelineSettings
from tests.pipelines.history import archives

NAME = "XYZUSDT-aggTrades-2024-07-18"
PARTITION = Partition("trades", "binanceusdm", "XYZUSDT", archives.DAY)


def workspace(tmp_path, **changes):
    return Workspace(settings=PipelineSettings(home=str(tmp_path / "home"), **changes))


def good(path):
    return archives.write(path, archives.agg_trades(2_000), archives.AGG_HEADER)


def cut(path):
    good(path)
    path.write_bytes(path.read_bytes()[:-200])


def flipped(path):
    good(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def two_members(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "1")
        archive.writestr("b.csv", "2")


@pytest.mark.parametrize(
    ("suffix", "spoil", "says"),
    [
        pytest.param(".zip", cut, "cut short or broken", id="truncated zip"),
        pytest.param(".zip", flipped, "cut short or broken", id="corrupted zip"),
        pytest.param(".csv.gz", cut, "cut short or broken", id="truncated gzip"),
        pytest.param(".csv.gz", flipped, "cut short or broken", id="corrupted gzip"),
        pytest.param(".zip", two_members, "expected one file inside, found 2", id="two files in a zip"),
        pytest.param(".csv", lambda path: path.write_bytes(b""), "the file is empty", id="empty"),
        pytest.param(".csv.gz", lambda path: path.write_bytes(gzip.compress(b"")), "no row", id="nothing packed"),
        pytest.param(
            ".csv", lambda path: path.write_text(archives.AGG_HEADER + "\n"), "without a single row", id="header"
        ),
        pytest.param(".csv", lambda path: path.write_bytes(bytes(range(256)) * 40), "binary data", id="binary"),
        pytest.param(".csv", lambda path: path.write_text("hello world\n"), r":1: no known format begins", id="prose"),
        pytest.param(".csv", lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd1234"), "zstd is not read", id="zstd"),
        pytest.param(".feather", lambda path: path.write_bytes(b"ARROW1\0\0rest"), "broken feather", id="feather"),
        pytest.param(".csv", lambda path: None, "cannot be read", id="absent"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, suffix, spoil, says):
    path = tmp_path / f"{NAME}{suffix}"
    spoil(path)
    with pytest.raises(CryptoScalpError, match=says) as caught:
        import_paths(workspace(tmp_path), [path])
    assert str(path) in caught.value.message
    assert caught.value.fix
    assert not (tmp_path / "home" / "history").exists()


@pytest.mark.parametrize(
    ("stated", "says"),
    [("0" * 64 + "  x.zip", "states 000000000000"), ("no digest", "holds no sha256"), ("", "holds no sha256")],
)
def test_a_file_that_its_checksum_disowns_is_refused(tmp_path, stated, says):
    path = archives.with_checksum(good(tmp_path / f"{NAME}.zip"))
    assert read(path)
    path.with_name(path.name + ".CHECKSUM").write_text(stated)
    with pytest.raises(CryptoScalpError, match=says):
        import_paths(workspace(tmp_path), [path])


def test_a_missing_column_is_named_with_the_nearest_format(tmp_path):
    header = archives.AGG_HEADER.replace("quantity", "amount")
    path = archives.write(tmp_path / f"{NAME}.csv", archives.agg_trades(3), header)
    with pytest.raises(
        CryptoScalpError, match=r"csv:1: looks like Binance Vision aggTrades but has no column quantity"
    ):
        read(path)


@pytest.mark.parametrize(
    ("name", "says"),
    [("trades.csv", "tell its symbol"), ("..-aggTrades-2024-07-18.csv", "tell its symbol")],
)
def test_a_file_that_names_no_symbol_asks_for_it(tmp_path, name, says):
    path = archives.write(tmp_path / name, archives.agg_trades(3), archives.AGG_HEADER)
    with pytest.raises(CryptoScalpError, match=says) as caught:
        read(path)
    assert "--symbol" in caught.value.fix


def test_a_symbol_that_would_leave_the_folder_is_refused(tmp_path):
    path = archives.write(tmp_path / "x.csv", archives.tardis("trades", symbol="../../etc/x"))
    with pytest.raises(CryptoScalpError, match="characters that are not allowed"):
        read(path)


SPOILED = {
    3: ("10.x", "unreadable_price"),
    5: ("", "unreadable_px"),
    7: ("-4", "unusable_price"),
    9: ("NaN", "unusable_price"),
    11: ("0", "unusable_price"),
}


def test_bad_cells_are_kept_aside_with_line_and_reason(tmp_path):
    rows = archives.agg_trades(400)
    for line, (cell, _) in SPOILED.items():
        cells = rows[line - 2].split(",")
        rows[line - 2] = ",".join([cells[0], cell, *cells[2:]])
    rows[12] += ",surplus"
    rows[14] = "99"
    path = archives.write(tmp_path / f"{NAME}.csv", rows, archives.AGG_HEADER)
    home = workspace(tmp_path)
    (outcome,) = import_paths(home, [path]).partitions
    assert (outcome.rows, outcome.rejected) == (393, 7)
    bad = read_beside(home, PARTITION, "rejected")
    expected = {line: reason for line, (_, reason) in SPOILED.items()}
    expected |= {14: "wrong_number_of_cells", 16: "wrong_number_of_cells"}
    assert dict(bad.select("line", "reason").rows()) == expected
    assert rows[12] in bad["detail"].to_list()
    assert bad["source"].unique().to_list() == [str(path)]
    # a row that a rule set aside is not missing; one whose id could not be read is
    assert outcome.missing == 4


def test_too_many_bad_rows_fail_the_partition_and_say_so(tmp_path):
    rows = [row.replace("true", "perhaps") if i % 4 == 0 else row for i, row in enumerate(archives.agg_trades(400))]
    rows = [row.replace("true", "maybe").replace("false", "maybe") if i % 5 == 0 else row for i, row in enumerate(rows)]
    path = archives.write(tmp_path / f"{NAME}.csv", rows, archives.AGG_HEADER)
    (outcome,) = import_paths(workspace(tmp_path), [path]).partitions
    assert outcome.rejected_by_reason.keys() == {"unreadable_side"}
    assert any("of all rows were rejected" in problem for problem in outcome.problems)


def test_unsorted_and_repeated_rows_come_out_sorted_and_once(tmp_path):
    rows = archives.agg_trades(300)
    mixed = rows[100:200] + rows[:100] + rows[200:] + rows[50:60]
    path = archives.write(tmp_path / f"{NAME}.csv", mixed, archives.AGG_HEADER)
    home = workspace(tmp_path)
    (outcome,) = import_paths(home, [path]).partitions
    assert (outcome.rows, outcome.repeated, outcome.unsorted, outcome.rejected) == (300, 10, 110, 0)
    assert read_rows(home, PARTITION)["trade_id"].to_list() == list(range(10, 310))
    assert not outcome.problems


def test_one_id_with_two_contents_keeps_the_first_and_rejects_the_second(tmp_path):
    rows = archives.agg_trades(50)
    cells = rows[20].split(",")
    rows.insert(21, ",".join([cells[0], "1.25", *cells[2:]]))
    path = archives.write(tmp_path / f"{NAME}.csv", rows, archives.AGG_HEADER)
    home = workspace(tmp_path)
    (outcome,) = import_paths(home, [path]).partitions
    assert outcome.rejected_by_reason == {"other_values_before": 1}
    assert read_beside(home, PARTITION, "rejected")["line"].to_list() == [23]
    assert 1.25 not in read_rows(home, PARTITION)["px"].to_list()


def test_rows_of_another_symbol_than_was_given_are_rejected(tmp_path):
    rows = archives.tardis("trades") + archives.tardis("trades", symbol="OTHERUSDT")[1:3]
    path = archives.write(tmp_path / "x.csv", rows)
    reading = read(path, Names(symbol="XYZUSDT", fixed=True))
    (key,) = reading.tables
    assert reading.tables[key].height == 50
    assert reading.rejected[key].select("line", "reason").rows() == [(52, "other_symbol"), (53, "other_symbol")]


def test_only_rows_of_another_symbol_is_an_error_that_shows_one(tmp_path):
    path = archives.write(tmp_path / "x.csv", archives.tardis("trades"))
    with pytest.raises(CryptoScalpError, match=r"x.csv:2: none of 50 rows can be used, .*other_symbol"):
        read(path, Names(symbol="ABCUSDT", fixed=True))


def test_a_named_file_that_is_broken_stops_the_import_a_found_one_is_left_out(tmp_path):
    folder = tmp_path / "in"
    good_file = archives.write(folder / f"{NAME}.zip", archives.agg_trades(30), archives.AGG_HEADER)
    (folder / "broken.zip").write_bytes(good_file.read_bytes()[:100])
    (folder / "README.md").write_text("not data")
    imported = import_paths(workspace(tmp_path), [folder])
    assert len(imported.sources) == 1
    assert [skipped.path for skipped in imported.skipped] == [str(folder / "broken.zip")]
    with pytest.raises(CryptoScalpError, match=r"broken\.zip"):
        import_paths(workspace(tmp_path), [good_file, folder / "broken.zip"])


def test_a_bar_that_cannot_be_is_rejected(tmp_path):
    rows = archives.klines(100)
    cells = rows[10].split(",")
    rows[10] = ",".join([*cells[:2], "2.4", *cells[3:]])
    path = archives.write(tmp_path / "XYZUSDT-1m-2024-07-18.csv", rows, archives.KLINE_HEADER)
    (outcome,) = import_paths(workspace(tmp_path), [path]).partitions
    assert outcome.rejected_by_reason == {"high_or_low_inside_the_bar": 1}


def test_a_damaged_catalogue_is_named(tmp_path):
    home = workspace(tmp_path)
    path = good(tmp_path / f"{NAME}.zip")
    import_paths(home, [path])
    home.path("history", "sources.json").write_text("{")
    with pytest.raises(CryptoScalpError, match=r"sources\.json: broken list"):
        import_paths(home, [path])


def test_reading_in_blocks_gives_the_same_rows_and_lines(tmp_path, monkeypatch):
    path = good(tmp_path / f"{NAME}.zip")
    whole = read(path)
    monkeypatch.setattr("pipelines.history.files.BLOCK", 1_000)
    pieces = read(path)
    assert [pl.DataFrame.equals(a, b) for a, b in zip(whole.tables.values(), pieces.tables.values(), strict=True)] == [
        True
    ]
