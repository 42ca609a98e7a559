"""``python -m market.simulator``: the simulated exchange as a process."""

import argparse
import sys
from decimal import Decimal
from pathlib import Path

from market.errors import CryptoScalpError
from market.simulator.serve import VENUE, Options, serve


def parse(arguments: list[str]) -> Options:
    """Options from a command line."""
    parser = argparse.ArgumentParser(prog="python -m market.simulator", description=__doc__)
    parser.add_argument("--venue", default=VENUE, help="protocol to speak")
    parser.add_argument("--tape", type=Path, help="tape file or folder; without it a market is generated")
    parser.add_argument("--start-ns", type=int, default=0, help="first receive time to stream (ns UTC)")
    parser.add_argument("--speed", type=float, default=1.0, help="1 is real time")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=7, help="seed of the generated market and of the keys")
    parser.add_argument("--latency-ms", type=float, default=5.0, help="from a request to the book")
    parser.add_argument("--wallet", type=float, default=10_000.0, help="quote units to start with")
    parser.add_argument("--leverage", type=int, default=20, help="initial leverage of every symbol")
    given = vars(parser.parse_args(arguments))
    return Options(**given | {"wallet": Decimal(str(given["wallet"]))})


def main(arguments: list[str]) -> int:
    """Run; 0 after a clean stop, 2 when it cannot."""
    try:
        serve(parse(arguments))
    except CryptoScalpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
