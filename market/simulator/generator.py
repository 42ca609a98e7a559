"""A seeded, believable perpetual-futures market, written as a tape of Binance USD-M frames.

Ids fit together as the venue's do: every change of a level has its own update id, a ``bookTicker`` carries the id of
the change it shows, a depth frame names the range it covers, so the truth test of a book holds exactly.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Final

from market.errors import TapeError
from market.simulator import flow
from market.simulator.flow import STEP_NS, Spec
from market.simulator.street import Print, Street
from market.tape.writer import TapeWriter, tape_name

START_NS: Final = 1_767_621_600_000_000_000  # 2026-01-05 14:00:00 UTC
_EVENTS_PER_S: Final = 44.0
_EXCITE_PER_S: Final = 4.0
_CALM_AFTER_S: Final = 0.25
_MS: Final = 1_000_000
_SECOND: Final = 1_000_000_000
_FUNDING_NS: Final = 8 * 3600 * _SECOND
_PROGRESS_EVERY: Final = 5_000

Timed = tuple[int, bytes]


def generate(
    folder: Path,
    seed: int,
    symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT"),
    minutes: float = 10.0,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Write one tape per symbol (and UTC day) under ``folder`` and return their paths; same arguments, same bytes.

    Each tape opens with a REST depth snapshot, then carries ``depth@0ms``, ``bookTicker``, ``trade`` and
    ``markPrice@1s`` frames. ``progress`` is called with the share done (a ratio, ends at 1.0). One crash with a partial
    recovery falls between 0.56 and 0.82 of the time. Tapes get their names together at the end: an interrupted run
    leaves none and is simply run again.

    Raises
    ------
    TapeError
        No symbol, no time, or a tape of that name exists already.
    """
    if not symbols or not minutes > 0:
        raise TapeError(
            f"nothing to generate: symbols={list(symbols)}, minutes={minutes}", "name a symbol and a positive time"
        )
    specs = [flow.spec_of(symbol) for symbol in symbols]
    weather = flow.paths(seed, len(specs), minutes, [spec.beta for spec in specs])
    writers: list[TapeWriter] = []
    for index, (spec, path) in enumerate(zip(specs, weather, strict=True)):
        rng = Random(f"{seed}:{spec.symbol}")
        frames = _Market(spec, path, rng).frames()
        span_ns = len(path.fair) * STEP_NS
        report = None if progress is None else _share(progress, index, len(specs), span_ns)
        writers += _write(folder, spec.symbol, frames, report)
    for writer in writers:
        writer.close()
    if progress is not None:
        progress(1.0)
    return [writer.path for writer in writers]


def _share(progress: Callable[[float], None], index: int, symbols: int, span_ns: int) -> Callable[[int], None]:
    return lambda now: progress(min(1.0, (index + (now - START_NS) / span_ns) / symbols))


def _write(
    folder: Path, symbol: str, frames: Iterator[Timed], report: Callable[[int], None] | None
) -> list[TapeWriter]:
    writers: list[TapeWriter] = []
    for count, (recv_ns, raw) in enumerate(frames):
        name = tape_name(symbol, recv_ns)
        if not writers or writers[-1].path.name != name:
            writers.append(TapeWriter(folder / name, resume=False))
        writers[-1].write(recv_ns, raw)
        if report is not None and count % _PROGRESS_EVERY == 0:
            report(recv_ns)
    return writers


class _Market:
    """Turns the life of one ``Street`` into frames with event and receive times."""

    def __init__(self, spec: Spec, path: flow.Path, rng: Random) -> None:
        self.spec, self.path, self.rng = spec, path, rng
        self.street = Street(spec, rng)
        self.stream = f'{{"stream":"{spec.symbol.lower()}@'
        self.px_unit = int(spec.tick.scaleb(spec.px_decimals))
        self.lot_decimals = max(0, -int(spec.lot.as_tuple().exponent))
        self.texts: dict[int, str] = {}
        self.trade_id = rng.randrange(10**9, 6 * 10**9)
        self.last_recv = 0
        self.previous_u = self.street.update_id
        self.shown = self._top()

    def frames(self) -> Iterator[Timed]:
        """All frames of the market in receive order; receive times strictly increase."""
        yield from self._opening()
        street, rng, now = self.street, self.rng, float(START_NS)
        end = START_NS + len(self.path.fair) * STEP_NS
        flush, mark, excited = now + 30 * _MS, START_NS + _SECOND, 0.0
        while True:
            rate = (_EVENTS_PER_S + excited) * self._feel(int(now))
            wait = rng.expovariate(rate)
            now += wait * 1e9
            if now >= end:
                return
            while flush <= now or mark <= now:
                if flush <= mark:
                    yield from self._depth(int(flush))
                    flush += (30 + rng.random() * 36) * _MS
                else:
                    yield self._mark(mark)
                    mark += _SECOND
            prints = street.act()
            excited = excited * 2.0 ** (-wait / _CALM_AFTER_S) + (_EXCITE_PER_S if prints else 0.0)
            yield from self._show(int(now), prints)

    def _feel(self, now: int) -> float:
        """Put the street into the weather of ``now``; returns the activity (a ratio)."""
        step = min(len(self.path.fair) - 1, (now - START_NS) // STEP_NS)
        street, path = self.street, self.path
        street.fair = self.spec.open_px / street.tick * (1.0 + float(path.fair[step])) + street.impact
        street.pressure, street.thinness = float(path.pressure[step]), float(path.thinness[step])
        return float(path.activity[step])

    def _opening(self) -> Iterator[Timed]:
        """The REST snapshot, taken while the first depth frame was still gathering, so that U <= lastUpdateId <= u."""
        self._feel(START_NS)
        while not (self.street.pending[0] and self.street.pending[1]):
            self.street.stir()
        self.shown = self._top()
        last, ms = self.street.update_id, START_NS // _MS
        bids, asks = (self._levels(sorted(side.items(), reverse=not index)) for index, side in self._sides())
        raw = f'{{"lastUpdateId":{last},"E":{ms},"T":{ms},"bids":[{bids}],"asks":[{asks}]}}'
        yield self._received(ms), raw.encode()

    def _sides(self) -> list[tuple[int, dict[int, int]]]:
        return list(enumerate(self.street.levels))

    def _top(self) -> tuple[int, int, int, int]:
        (bid, ask), (bids, asks) = self.street.best, self.street.levels
        return bid, bids[bid], ask, asks[ask]

    def _show(self, now: int, prints: list[Print]) -> Iterator[Timed]:
        """Frames of one action: its trades, then the new top of the book when it changed."""
        at = now // _MS
        for tick, lots, taker in prints:
            yield self._trade(at, tick, lots, taker)
        top = self._top()
        if top != self.shown:
            self.shown = top
            yield self._ticker(at, top)

    def _trade(self, at: int, tick: int, lots: int, taker: int) -> Timed:
        self.trade_id += 1
        event, maker = self._event_ms(at), "false" if taker > 0 else "true"
        raw = (
            f'{self.stream}trade","data":{{"e":"trade","E":{event},"T":{at},"s":"{self.spec.symbol}","t":{self.trade_id},'
            f'"p":"{self._px(tick)}","q":"{self._qty(lots)}","X":"MARKET","m":{maker}}}}}'
        )
        return self._received(event), raw.encode()

    def _ticker(self, at: int, top: tuple[int, int, int, int]) -> Timed:
        event, (bid, bid_lots, ask, ask_lots) = self._event_ms(at), top
        raw = (
            f'{self.stream}bookTicker","data":{{"e":"bookTicker","u":{self.street.update_id},"s":"{self.spec.symbol}",'
            f'"b":"{self._px(bid)}","B":"{self._qty(bid_lots)}","a":"{self._px(ask)}","A":"{self._qty(ask_lots)}",'
            f'"T":{at},"E":{event}}}}}'
        )
        return self._received(event), raw.encode()

    def _depth(self, now: int) -> Iterator[Timed]:
        street = self.street
        street.stir()
        bids, asks = (self._levels(sorted(side.items())) for side in street.pending)
        if not bids and not asks:
            return
        at, first, last = now // _MS, street.first_id, street.update_id
        event = self._event_ms(at)
        raw = (
            f'{self.stream}depth@0ms","data":{{"e":"depthUpdate","E":{event},"T":{at},"s":"{self.spec.symbol}","U":{first},'
            f'"u":{last},"pu":{self.previous_u},"b":[{bids}],"a":[{asks}]}}}}'
        )
        self.previous_u, street.first_id = last, last + 1
        for side in street.pending:
            side.clear()
        yield self._received(event), raw.encode()

    def _mark(self, now: int) -> Timed:
        at, fair_px = now // _MS, self.street.fair * self.street.tick
        middle = 0.5 * sum(self.street.best) * self.street.tick
        funding = 1e-4 + 2e-5 * self.street.pressure
        raw = (
            f'{self.stream}markPrice@1s","data":{{"e":"markPriceUpdate","E":{at},"s":"{self.spec.symbol}",'
            f'"p":"{0.5 * (fair_px + middle):.8f}","P":"{fair_px:.8f}","i":"{fair_px * 0.9997:.8f}",'
            f'"r":"{funding:.8f}","T":{(now // _FUNDING_NS + 1) * _FUNDING_NS // _MS}}}}}'
        )
        return self._received(at), raw.encode()

    def _event_ms(self, at: int) -> int:
        return at + int(self.rng.random() * 2.2)

    def _received(self, event_ms: int) -> int:
        """Receive time of a frame sent at ``event_ms``: a few milliseconds on the way, in order on one connection."""
        arrival = (event_ms + 1) * _MS + 1_200_000 + int(self.rng.expovariate(1 / 700_000))
        self.last_recv = max(arrival, self.last_recv + 900 + int(self.rng.random() * 20_000))
        return self.last_recv

    def _levels(self, levels: list[tuple[int, int]]) -> str:
        return ",".join([f'["{self._px(tick)}","{self._qty(lots)}"]' for tick, lots in levels])

    def _px(self, tick: int) -> str:
        text = self.texts.get(tick)
        if text is None:
            text = self.texts[tick] = _decimal(tick * self.px_unit, self.spec.px_decimals)
        return text

    def _qty(self, lots: int) -> str:
        return _decimal(lots, self.lot_decimals)


def _decimal(value: int, decimals: int) -> str:
    """``value`` in units of ``10**-decimals`` as the venue prints it."""
    if decimals == 0:
        return str(value)
    unit = 10**decimals
    return f"{value // unit}.{value % unit:0{decimals}d}"
