"""Building the OKX face: instruments in contracts, and the market side from a tape of OKX or of Binance format."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from market.codecs import okx
from market.errors import FrameError
from market.events import Depth, Quote, Trade
from market.instruments import Instrument
from market.simulator.errors import SimulatorError
from market.simulator.face import Kit, Options
from market.simulator.okx_auth import credentials_of
from market.simulator.okx_contracts import LOTS_PER_CONTRACT, Contract, contract_of, renamed_frames, renamed_instrument
from market.simulator.okx_exchange import OkxExchange
from market.simulator.okx_face import OkxFace
from market.simulator.okx_hub import OkxHub
from market.simulator.okx_source import RecordedSource, TranslatedSource
from market.simulator.player import Player
from market.simulator.scan import MAX_LOTS, SCAN_FRAMES, Fees, Steps, instruments
from market.tape import Session, TapeFile, read_frames, session_frames

VENUE: Final = "okx"
SWAP: Final = "-SWAP"


def recorded_contracts(files: Iterable[TapeFile], fees: Fees) -> list[Contract]:
    """Contracts of an OKX recording, sizes read off it. It states no contract value: one base unit is taken for it.

    Raises
    ------
    SimulatorError
        No instrument shows a price.
    """
    steps: dict[str, Steps] = {}
    for file in files:
        for seen, frame in enumerate(read_frames(file)):
            if seen >= SCAN_FRAMES:
                break
            try:
                events = okx.decode(frame.raw, frame.recv_ns)
            except FrameError:
                continue
            for event in events:
                if isinstance(event, Depth | Quote | Trade):
                    steps.setdefault(event.symbol, Steps()).update(event)
    if not steps:
        raise SimulatorError("the tape shows no price", "pass a tape with books, bbo-tbt or trades frames")
    return [contract_of(_instrument(symbol, found, fees), Decimal(1)) for symbol, found in sorted(steps.items())]


def _instrument(symbol: str, steps: Steps, fees: Fees) -> Instrument:
    base, _, rest = symbol.partition("-")
    lot = Decimal(1).scaleb(-steps.qty_decimals)
    tick = Decimal(1).scaleb(-steps.px_decimals)
    sizes = (tick, lot, 1, MAX_LOTS, Decimal(0))
    return Instrument(VENUE, symbol, base, rest.partition("-")[0], *sizes, fees.maker_bps, fees.taker_bps)


def listed(session: Session, fees: Fees) -> list[Contract]:
    """What the exchange lists for a recording."""
    if session.venue == VENUE:
        return recorded_contracts(session.files, fees)
    renamed = [renamed_instrument(instrument) for instrument in instruments(session.files, fees)]
    return [contract_of(instrument, instrument.lot_size * LOTS_PER_CONTRACT) for instrument in renamed]


def build(options: Options, session: Session) -> OkxFace:
    """The face around an exchange that lists what the session holds."""
    contracts = {contract.inst_id: contract for contract in listed(session, options.fees)}
    known = [contract.instrument for contract in contracts.values()]
    exchange = OkxExchange(known, options.wallet, options.leverage, lambda _report: None)
    hub = OkxHub(contracts)
    frames, is_own = session_frames(session), session.venue == VENUE
    source = RecordedSource(hub) if is_own else TranslatedSource(hub)
    played = frames if is_own else renamed_frames(frames)
    player = Player(played, exchange, hub, options.speed, int(options.latency_ms * 1e6), source)
    hub.attach(exchange, player)
    return OkxFace(exchange, player, hub, credentials_of(options.seed))


KIT: Final = Kit(tape_venues=(VENUE, "binanceusdm"), build=build)
