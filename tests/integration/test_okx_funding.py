"""Funding at the simulated OKX: what the account's stream tells is what the venue took, to the last decimal."""

import asyncio
import random
from decimal import Decimal as D

import msgspec
import pytest
from simulated import account, call

from tests.market.simulator.okx_server import INST_ID, okx
from tests.trader.harness import start_record
from trader.engine import Engine
from trader.feed import Feed, FeedListener
from trader.records import Order, WalletChange
from trader.user_stream import StreamListener, run_user_stream

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.mark.parametrize("side", [1, pytest.param(-1, marks=pytest.mark.slow)])
async def test_after_a_funding_time_the_ledger_is_the_venues_wallet(side, tmp_path):
    with okx(tmp_path, "--speed", "2", seconds=40, due_step=1_500) as told:
        async with account("okx", told) as venue:
            (listed,) = await venue.instruments([INST_ID])
            engine = Engine(msgspec.structs.replace(start_record([listed]), balance=(await venue.account()).balance))
            feed = Feed("okx", [told["ws"]], [INST_ID], FeedListener(lambda _symbol, _raw: None), lambda: 1)
            market = asyncio.create_task(feed.run())  # the market moves once someone listens
            heard = await _trade_until_funded(venue, engine, listed, side)
            market.cancel()
            await asyncio.gather(market, return_exceptions=True)
            held = await venue.account()
        truth = call(told["rest"] + "/sim/state")
    assert [c.reason for c in heard] == ["funding_fee"] and (heard[0].change < 0) is (side > 0)
    assert heard[0].change == -D(truth["funding_paid"]) != 0
    ledger = engine.books.ledger
    assert ledger.balance == held.balance == D(truth["wallet"])
    assert ledger.settled == heard[0].change and ledger.fees == D(truth["fees_paid"])


async def _trade_until_funded(venue, engine, listed, side):
    """Buys before and after the funding time; what came without a trade."""
    events, ready = [], asyncio.Event()

    def receive(received):
        events.extend(received.events)
        for event in received.events:
            engine.step(event)

    listener = StreamListener(lambda: 1, receive, pytest.fail, ready.set, lambda _why: None)
    stream = asyncio.create_task(run_user_stream(venue.user_stream, listener, random.Random(1).random))
    try:
        async with asyncio.timeout(60):
            await ready.wait()
            for count in (1, 2, 3):
                fills = engine.books.ledger.fees
                lots = 7 * count * listed.min_order_lots(D(100))
                outcome = await venue.place(
                    Order(f"csaax{count}", INST_ID, side, lots, None, False, False, "test"), lambda: None
                )
                assert outcome[0] == "acknowledged", outcome
                while engine.books.ledger.fees == fills:
                    await asyncio.sleep(0.02)
                while count == 2 and not any(isinstance(e, WalletChange) for e in events):
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
    finally:
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
    return [e for e in events if isinstance(e, WalletChange)]
