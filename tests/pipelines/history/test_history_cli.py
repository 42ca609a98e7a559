"""``cryptoscalp history``: what it prints, and how it ends."""

import json

from typer.testing import CliRunner

from infra.cli.history import app
from market.errors import CryptoScalpError
from tests.pipelines.history import archives
from tests.pipelines.tape_maker import walk
from tests.pipelines.tape_maker import write as write_tape

NAME = "XYZUSDT-aggTrades-2024-07-18.zip"


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_import_and_list_agree(tmp_path):
    rows = archives.agg_trades(300)
    del rows[50:53]
    path = archives.write(tmp_path / "in" / NAME, rows, archives.AGG_HEADER)
    done = call("import", path.parent, "--home", tmp_path, "--json")
    assert done.exit_code == 0
    (partition,) = json.loads(done.stdout)["partitions"]
    assert (partition["rows"], partition["missing"], partition["problems"]) == (297, 3, [])
    (listed,) = json.loads(call("list", "--home", tmp_path, "--json").stdout)["partitions"]
    assert {name: listed[name] for name in ("kind", "venue", "symbol", "day", "rows", "gaps", "missing")} == {
        name: partition[name] for name in ("kind", "venue", "symbol", "day", "rows", "gaps", "missing")
    }
    assert "XYZUSDT" in call("list", "--home", tmp_path).stdout


def test_a_partition_that_fails_its_suite_ends_with_one(tmp_path):
    rows = [row.replace(",0.5,", ",0,") if i % 5 == 0 else row for i, row in enumerate(archives.agg_trades(300))]
    done = call("import", archives.write(tmp_path / NAME, rows, archives.AGG_HEADER), "--home", tmp_path)
    assert done.exit_code == 1
    assert "failed: trades binanceusdm XYZUSDT 2024-07-18: 20.0% of all rows were rejected" in done.stderr


def test_a_tape_that_breaks_off_gives_its_whole_lines_and_is_named(tmp_path):
    path = write_tape(tmp_path / "in", "x.gz", walk("XUSDT", 3_000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = call("import", path, "--home", tmp_path, "--kind", "quotes", "--json")
    facts = json.loads(done.stdout)
    assert facts["truncated"] == [str(path)]
    assert 500 < sum(partition["rows"] for partition in facts["partitions"]) < 3_000
    assert f"breaks off: {path}" in done.stderr


def test_a_wrong_kind_or_file_is_an_explained_error(tmp_path):
    for arguments in (("import", tmp_path / "absent.zip"), ("import", tmp_path, "--kind", "prices")):
        done = call(*arguments, "--home", tmp_path)
        assert isinstance(done.exception, CryptoScalpError)
        assert done.exception.fix


def test_nothing_there_lists_nothing(tmp_path):
    assert json.loads(call("list", "--home", tmp_path, "--json").stdout) == {"partitions": []}
