"""One rate budget for two processes through a real Valkey."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.stores import redis_server
from trader.budget import Limit, RedisBudget, open_budget

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
LIMITS = (Limit("weight", 2_000, 100), Limit("orders", 2_000, 1_000, "account"))
GREEDY = """
import asyncio, json, sys, time
from trader.budget import Limit, RedisBudget
async def main(url, account, seconds):
    limits = (Limit("weight", 2_000, 100), Limit("orders", 2_000, 1_000, "account"))
    budget, taken, refused = RedisBudget(url, limits, "ip", account), [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if await budget.take({"weight": 1}, essential=False):
            taken.append(time.time())
        else:
            refused += 1
            await asyncio.sleep(0.002)
    await budget.close()
    print(json.dumps({"taken": taken, "refused": refused}))
asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis"), url="") as server:
        yield server.url


def most_in_any(times, span_s):
    times = sorted(times)
    return max(sum(1 for other in times if t - span_s < other <= t) for t in times)


async def test_two_greedy_processes_never_exceed_the_limit_together_and_cancels_still_pass(url):
    command = [sys.executable, "-c", GREEDY, url]
    greedy = [
        subprocess.Popen([*command, name, "6"], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        for name in ("a", "b")
    ]
    budget, passed = RedisBudget(url, LIMITS, "ip", "c"), []
    end = time.monotonic() + 7
    while time.monotonic() < end:
        assert await budget.take({"weight": 1}, essential=True), "a cancel was refused"
        passed.append(time.time())
        await asyncio.sleep(0.15)
    await budget.close()
    told = [json.loads(p.communicate(timeout=20)[0]) for p in greedy]
    taken = [t for one in told for t in one["taken"]]
    assert min(len(one["taken"]) for one in told) > 10
    assert min(one["refused"] for one in told) > 50
    assert 60 < most_in_any(taken, 2.0) <= 80 + 2
    assert most_in_any(taken + passed, 2.0) <= 100
    assert len(taken) > 150


async def test_accounts_are_counted_apart_and_addresses_together(url):
    first, second = (RedisBudget(url, LIMITS, "shared", name) for name in ("a", "b"))
    assert await first.take({"orders": 800}, essential=False)
    assert not await first.take({"orders": 1}, essential=False)
    assert await second.take({"orders": 800}, essential=False)
    assert await first.take({"weight": 80}, essential=False)
    assert not await second.take({"weight": 1}, essential=False)
    assert await second.take({"weight": 20}, essential=True)
    assert not await second.take({"weight": 1}, essential=True)
    await asyncio.gather(first.close(), second.close())


async def test_the_venues_count_and_its_refusals_reach_the_other_process(url):
    first, second = (RedisBudget(url, LIMITS, "other", name) for name in ("a", "b"))
    await first.observe("weight", 2_000, 90)
    assert not await second.take({"weight": 1}, essential=False)
    assert await second.take({"weight": 1}, essential=True)
    await first.hold(700)
    assert not await second.take({"orders": 1}, essential=True)
    await asyncio.sleep(0.8)
    assert await second.take({"orders": 1}, essential=True)
    await asyncio.gather(first.close(), second.close())


async def test_the_environment_chooses_the_shared_budget(url, monkeypatch):
    monkeypatch.setenv("CRYPTOSCALP_REDIS_URL", url)
    first, second = (open_budget(LIMITS, "chosen", key) for key in ("k1", "k2"))
    assert await first.take({"weight": 80}, essential=False)
    assert not await second.take({"weight": 1}, essential=False)
    await asyncio.gather(first.close(), second.close())
