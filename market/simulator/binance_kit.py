"""Building the Binance USD-M face."""

from market.simulator.binance_face import BinanceFace, credentials_of
from market.simulator.binance_hub import BinanceHub
from market.simulator.binance_streams import BinanceStreams
from market.simulator.exchange import Exchange
from market.simulator.face import Kit, Options
from market.simulator.player import Player
from market.simulator.scan import instruments
from market.tape import Session, session_frames


def build(options: Options, session: Session) -> BinanceFace:
    """The face around an exchange that lists what the session holds."""
    listed = instruments(session.files, options.fees)
    exchange = Exchange(listed, options.wallet, options.leverage, lambda _report: None)
    hub = BinanceHub()
    latency_ns, source = int(options.latency_ms * 1e6), BinanceStreams(exchange, hub)
    player = Player(session_frames(session), exchange, hub, options.speed, latency_ns, source)
    return BinanceFace(exchange, player, hub, credentials_of(options.seed))


KIT = Kit(tape_venues=("binanceusdm",), build=build)
