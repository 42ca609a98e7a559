"""Open interest where no stream tells it: asked for, taped as it came, read back as the event it is."""

import json

import pytest
from simulated import SYMBOLS, account, exchange

from market.codecs import decode_all
from market.events import OpenInterest
from market.simulator.generator import generate
from market.tape import sessions
from market.tape_stats import tape_stats
from trader.recording import CaptureSettings, record

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    generate(folder, 5, minutes=1)
    return folder, sessions(folder)[-1].first_ns + 15_000_000_000


@pytest.mark.parametrize("venue", list(SYMBOLS))
async def test_only_binance_is_asked(venue, market, tmp_path):
    with exchange(venue, *market, tmp_path) as told:
        async with account(venue, told) as client:
            raw = await client.open_interest(SYMBOLS[venue])
    if venue != "binanceusdm":
        assert raw is None
        return
    (event,) = decode_all(venue)(raw, 9)
    assert isinstance(event, OpenInterest)
    assert (event.symbol, event.ts_recv) == (SYMBOLS[venue], 9)
    assert event.open_interest == float(json.loads(raw)["openInterest"])


async def test_capture_keeps_it_among_the_frames(market, tmp_path):
    with exchange("binanceusdm", *market, tmp_path) as told:
        settings = CaptureSettings(
            out=tmp_path / "tape",
            symbols=("BTCUSDT", "ETHUSDT"),
            venue="binanceusdm",
            rest=told["rest"],
            ws=(told["ws"],),
            seconds=5,
            interest_s=1.0,
        )
        report = await record(settings)
    stats = tape_stats(tmp_path / "tape").stats
    assert stats.by_type["openInterest"] in range(8, 12)
    assert stats.quarantined == 0 and not report["unknown_types"] and stats.book_vs_ticker.differing == 0
