import pytest

from trader.budget import Limit, LocalBudget, RedisBudget

LIMITS = (Limit("weight", 60_000, 100), Limit("orders", 10_000, 10, "account"))


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def budget(now):
    return LocalBudget(LIMITS, lambda: now[0])


async def take_all(budget, costs, essential):
    count = 0
    while count < 1_000 and await budget.take(costs, essential):
        count += 1
    return count


async def test_a_reserve_is_left_to_essential_requests(budget):
    assert await take_all(budget, {"orders": 1}, essential=False) == 8
    assert await take_all(budget, {"orders": 1}, essential=True) == 2


async def test_all_windows_must_have_room_or_nothing_is_spent(budget):
    assert not await budget.take({"orders": 9, "weight": 1}, essential=False)
    assert await take_all(budget, {"weight": 1}, essential=False) == 80


async def test_a_window_slides_and_never_holds_more_than_its_limit(budget, now):
    spent = []
    for step in range(400):
        now[0] = step * 100.0
        if await budget.take({"orders": 1}, essential=True):
            spent.append(now[0])
    assert all(sum(t - 10_000 < s <= t for s in spent) <= 10 for t in spent)
    assert len(spent) > 30


async def test_the_venues_own_count_raises_ours(budget):
    await budget.take({"weight": 5}, essential=False)
    await budget.observe("weight", 60_000, 90)
    await budget.observe("weight", 60_000, 20)
    assert not await budget.take({"weight": 1}, essential=False)
    assert await take_all(budget, {"weight": 1}, essential=True) == 10


async def test_a_refusal_of_the_venue_holds_everything_off_for_its_time(budget, now):
    await budget.hold(2_000)
    assert not await budget.take({"weight": 1}, essential=True)
    await budget.hold(10)
    now[0] = 1_999.0
    assert not await budget.take({"weight": 1}, essential=True)
    now[0] = 2_000.0
    assert await budget.take({"weight": 1}, essential=True)


async def test_without_redis_only_essential_requests_pass_and_at_once():
    budget = RedisBudget("redis://127.0.0.1:9/0", LIMITS, "ip", "account")
    assert not await budget.take({"orders": 1}, essential=False)
    assert await take_all(budget, {"orders": 1}, essential=True) == 10
    await budget.close()
