"""Paging loses and doubles nothing: at page borders with equal times, through refusals, cuts and restarts."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import CryptoScalpError
from pipelines.history.paging import Plan, Row, checkpoint_path, page

LIMIT = 5
REACH_MS = 1_000


def rows_at(times):
    return [Row(ts, str(number), (str(ts), str(number))) for number, ts in enumerate(sorted(times))]


class Venue:
    """Answers as a venue does: the oldest rows of a window from ``since``, at most a page of them, or rows by id."""

    def __init__(self, rows, cut_every=0, by_id=True):
        self.rows, self.cut_every, self.by_id, self.calls = rows, cut_every, by_id, 0

    async def __call__(self, since_ms, after):
        self.calls += 1
        if self.cut_every and self.calls % self.cut_every == 0:
            raise ConnectionError("cut")
        if after is not None:
            if not self.by_id:
                raise CryptoScalpError("no paging by id", "use an archive")
            found = [row for row in self.rows if int(row.key) > int(after)]
        else:
            found = [row for row in self.rows if since_ms <= row.ts_ms < since_ms + REACH_MS]
        shuffled = found[:LIMIT]
        random.Random(self.calls).shuffle(shuffled)
        return shuffled


def plan(since=0, until=10_000):
    return Plan(since, until, LIMIT, REACH_MS, ("ts", "key"))


def run(venue, target, what=None):
    return asyncio.run(page(venue, what or plan(), target))


def written(target):
    return [tuple(line.split(",")) for line in target.read_text().splitlines()[1:]]


def until_done(venue, target, what=None):
    for _ in range(1_000):
        try:
            return run(venue, target, what)
        except ConnectionError:
            continue
    raise AssertionError("never done")


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(0, 12_000) | st.integers(3_000, 3_003), max_size=60),
    cut_every=st.sampled_from([0, 2, 3]),
)
def test_every_row_of_the_stretch_comes_once_and_in_order(tmp_path_factory, times, cut_every):
    target = tmp_path_factory.mktemp("pages") / "x.csv"
    rows = rows_at(times)
    until_done(Venue(rows, cut_every), target)
    assert written(target) == [row.cells for row in rows if row.ts_ms < 10_000]


@pytest.mark.parametrize("count", [LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT + 2])
def test_more_equal_times_than_a_page_holds(tmp_path, count):
    rows = rows_at([10, 11, *[4_000] * count, 4_001, 9_999])
    assert run(Venue(rows), tmp_path / "x.csv") == len(rows)
    assert written(tmp_path / "x.csv") == [row.cells for row in rows]


def test_without_paging_by_id_too_many_equal_times_are_an_error_not_a_loss(tmp_path):
    with pytest.raises(CryptoScalpError, match="no paging by id"):
        run(Venue(rows_at([4_000] * 12), by_id=False), tmp_path / "x.csv")


def test_a_row_written_before_its_checkpoint_is_not_doubled(tmp_path):
    target, rows = tmp_path / "x.csv", rows_at(range(0, 9_000, 300))
    with pytest.raises(ConnectionError):
        run(Venue(rows, cut_every=4), target)
    with target.open("a") as file:
        file.write("torn,row\nhalf of a li")
    until_done(Venue(rows), target)
    assert written(target) == [row.cells for row in rows]


def test_a_finished_download_asks_for_nothing_more(tmp_path):
    rows = rows_at(range(0, 9_000, 300))
    run(Venue(rows), tmp_path / "x.csv")
    again = Venue(rows)
    assert run(again, tmp_path / "x.csv") == len(rows)
    assert again.calls == 0


def test_an_end_that_was_in_the_future_is_gone_on_from(tmp_path):
    rows, target = rows_at(range(0, 9_000, 250)), tmp_path / "x.csv"
    run(Venue(rows), target, plan(until=2_100))
    run(Venue(rows), target, plan(until=9_000))
    assert written(target) == [row.cells for row in rows]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda target: checkpoint_path(target).write_text("{"), "broken checkpoint"),
        (lambda target: target.write_text(""), "is of another download"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, spoil, says):
    target = tmp_path / "x.csv"
    run(Venue(rows_at(range(0, 9_000, 300))), target)
    spoil(target)
    with pytest.raises(CryptoScalpError, match=says):
        run(Venue([]), target)
