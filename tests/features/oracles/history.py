"""What happened in one stream, prepared once, for oracles to compute from: arrays of every kind of event, and bars.

Nothing is streamed and nothing is shared with the kernel: a decayed sum is a weighted sum over all events so far, a bar
is a pandas group-by. Oracles ask "up to event ``at``": positions are those of the stream, ``at`` is a quote, and counts
say how many events of a kind came at or before it (``history.upto(history.trade_at, at)``).
"""

import numpy as np
import pandas as pd

from features.body import BOOK_LEVELS, INTEREST, LIQUIDATION, MARK, REFERENCE
from features.parameters import PARAMETERS as P
from market.events import QUOTE, TRADE

FORGOTTEN = 45.0
"""Taus after which an event no longer weighs anything that counts."""


class History:
    """One stream of usable events, the first of them a quote or a trade.

    Attributes
    ----------
    now
        Event clock after each event, ns, ``[n]``: the greatest timestamp so far.
    quote_at, trade_at, mark_at, reference_at, levels_at, interest_at, liquidation_at
        Positions of the events of a kind in the stream; ``quote_ns`` and so on are their ``now``.
    bid_px, bid_qty, ask_px, ask_qty, log_bid, log_ask, mid, spread, step, change
        Per quote. Logs are over the first price, ``mid`` is the log mid, ``spread`` ln(ask / bid), ``step`` the change
        of the log mid and ``change`` the order flow e(n), both 0 at the first quote.
    px, qty, side, log_px
        Per trade; ``liquidation_px``, ``liquidation_qty``, ``liquidation_side`` per liquidation.
    mark_px, index_px, funding_rate, funding_s
        Per mark: the last one said so far (0 before).
    reference_mid, reference_step
        Per quote of the reference symbol: absolute log mid, and its change, 0 at the first.
    levels, interest
        ``[m, 4, 10]`` per book (bid prices, bid quantities, ask prices, ask quantities), and open interest.
    """

    def __init__(self, stream):
        kinds, values = stream.kinds, stream.values
        self.now = np.maximum.accumulate(stream.ts)
        at = {kind: np.flatnonzero(kinds == kind) for kind in range(LIQUIDATION + 1)}
        self.quote_at, self.trade_at, self.mark_at, self.reference_at = (at[k] for k in (QUOTE, TRADE, MARK, REFERENCE))
        self.levels_at, self.interest_at, self.liquidation_at = (at[k] for k in (BOOK_LEVELS, INTEREST, LIQUIDATION))
        for name in ("quote", "trade", "mark", "reference", "levels", "interest", "liquidation"):
            setattr(self, f"{name}_ns", self.now[getattr(self, f"{name}_at")])
        self.ref = np.log(values[0, 0])
        self._take_quotes(values[self.quote_at])
        self.px, self.qty, self.side, _ = values[self.trade_at].T
        self.log_px = np.log(self.px) - self.ref
        said = pd.DataFrame(values[self.mark_at])
        said[[0, 1]] = said[[0, 1]].where(said[[0, 1]] > 0.0)
        said = said.ffill().fillna(0.0).to_numpy()
        self.mark_px, self.index_px, self.funding_rate, self.funding_s = said.T
        reference = values[self.reference_at]
        self.reference_mid = 0.5 * (np.log(reference[:, 0]) + np.log(reference[:, 2]))
        self.reference_step = np.diff(self.reference_mid, prepend=self.reference_mid[:1])
        self.levels, self.interest = stream.levels, values[self.interest_at, 0]
        self.liquidation_px, self.liquidation_qty, self.liquidation_side, _ = values[self.liquidation_at].T
        self._bars, self._cache, self._cached_ns = {}, {}, 0

    def _take_quotes(self, quotes):
        self.bid_px, self.bid_qty, self.ask_px, self.ask_qty = b, qb, a, qa = quotes.T
        self.log_bid, self.spread = np.log(b) - self.ref, np.log1p((a - b) / b)
        self.log_ask = self.log_bid + self.spread
        self.mid = self.log_bid + 0.5 * self.spread
        self.step = np.diff(self.mid, prepend=self.mid[:1])
        self.change = np.zeros(b.size)
        self.change[1:] = (b[1:] >= b[:-1]) * qb[1:] - (b[1:] <= b[:-1]) * qb[:-1]
        self.change[1:] += (a[1:] >= a[:-1]) * qa[:-1] - (a[1:] <= a[:-1]) * qa[1:]

    # -- where we are --------------------------------------------------------------------------------------------------

    @staticmethod
    def upto(positions, at):
        """How many of ``positions`` (``history.trade_at``, ...) are at or before event ``at``."""
        return int(np.searchsorted(positions, at, side="right"))

    def quote_of(self, at):
        """The index of the newest quote among quotes."""
        return self.upto(self.quote_at, at) - 1

    def remember(self, at, key, compute):
        """``compute()``, once for event ``at`` and ``key``: what several features of one tick share.

        Example: ``history.remember(at, ("closes", length_ns), lambda: history.bars(length_ns, at)["close"])``.
        """
        return self._remember(self.now[at], (at, key), compute)

    def _remember(self, now, key, compute):
        """Until the clock moves on."""
        if now != self._cached_ns:
            self._cached_ns, self._cache = now, {}
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    # -- decayed -------------------------------------------------------------------------------------------------------

    def decayed(self, values, stamps, upto, now, tau):
        """Sum of ``values[:upto]``, each weighted by exp(-age / tau); ``values`` is ``[n]`` or ``[n, k]``."""
        first = int(np.searchsorted(stamps[:upto], now - FORGOTTEN * tau))
        return self.weights(stamps, first, upto, now, tau) @ values[first:upto]

    def weights(self, stamps, first, upto, now, tau):
        """exp(-age / tau) of the events ``first`` to ``upto``."""
        key = ("weights", id(stamps), first, upto, tau)
        # with ``stamps``, so that no other array gets its id meanwhile
        return self._remember(now, key, lambda: (np.exp((stamps[first:upto] - now) / tau), stamps))[0]

    def mean_over_time(self, values, stamps, upto, now, tau):
        """Decayed mean of a quantity that holds until its next event; its first value stands for all time before."""
        edges = np.append(stamps[1:upto], now)
        older = np.exp((stamps[:upto] - now) / tau)
        weights = np.exp((edges - now) / tau) - older
        return float(weights @ values[:upto] + values[0] * older[0])

    def lagged(self, values, stamps, upto, now, lag, cell):
        """The last value in or before the cell (ns) that lies ``lag`` before the current one; else the first value."""
        cells = stamps[:upto] // cell
        wanted = now // cell - lag // cell
        return values[max(int(np.searchsorted(cells, wanted, side="right")) - 1, 0)]

    # -- what is usual -------------------------------------------------------------------------------------------------

    def usual_trade(self, at):
        """Mean quantity of a trade, decayed over ``typical_ns``; 0 when there are none to speak of."""
        return self.remember(at, "usual_trade", lambda: self._usual_trade(at))

    def _usual_trade(self, at):
        upto, now = self.upto(self.trade_at, at), self.now[at]
        count = self.decayed(np.ones(self.qty.size), self.trade_ns, upto, now, P.typical_ns)
        total = self.decayed(self.qty, self.trade_ns, upto, now, P.typical_ns)
        return total / count if count > P.empty else 0.0

    def usual_size(self, at):
        """Mean of (bid_qty + ask_qty) / 2 over quotes, decayed over ``typical_ns``."""
        sizes = 0.5 * (self.bid_qty + self.ask_qty)
        return self.remember(at, "usual_size", lambda: self._usual_over_quotes(sizes, at))

    def usual_spread(self, at):
        """Mean log spread over quotes, decayed over ``typical_ns``."""
        return self.remember(at, "usual_spread", lambda: self._usual_over_quotes(self.spread, at))

    def _usual_over_quotes(self, values, at):
        upto, now = self.upto(self.quote_at, at), self.now[at]
        both = np.column_stack([values, np.ones(values.size)])
        total, count = self.decayed(both, self.quote_ns, upto, now, P.typical_ns)
        return total / count

    # -- bars ----------------------------------------------------------------------------------------------------------

    def bars(self, length_ns, at):
        """Bars of ``length_ns`` until event ``at``, oldest first; the last row is the running bar.

        Columns: ``open``, ``high``, ``low``, ``close`` (log mids), ``volume``, ``flow`` (side x quantity), ``trades``
        (count) and ``reference_close`` (absolute log mid of the reference symbol when the bar closed, 0 before there
        is one). A bar is a cell of the event clock that held a quote; a trade, and what the reference does, counts to
        the bar that runs when it comes, which is until the first quote of the next. Do not change the frame: others of
        the same event get the same one.
        """
        return self.remember(at, ("bars", length_ns), lambda: self._bars_until(length_ns, at))

    def _bars_until(self, length_ns, at):
        if length_ns not in self._bars:
            self._bars[length_ns] = self._all_bars(length_ns)
        closed, first_quote = self._bars[length_ns]
        quote = self.quote_of(at)
        bar = int(np.searchsorted(first_quote, quote, side="right")) - 1
        running = self._bar(first_quote[bar], quote + 1, at + 1)
        return pd.DataFrame(np.vstack([closed[:bar], running]), columns=COLUMNS)

    def _all_bars(self, length_ns):
        """Every bar, run to its end, and the first quote of each."""
        cells = self.quote_ns // length_ns
        first = np.flatnonzero(np.diff(cells, prepend=cells[0] - 1))
        begins = self.quote_at[first]
        reference = np.searchsorted(self.reference_at, np.append(begins[1:], self.now.size))
        closes = np.append(0.0, self.reference_mid)[reference]
        quotes = [self.mid[first], np.maximum.reduceat(self.mid, first), np.minimum.reduceat(self.mid, first)]
        last = self.mid[np.append(first[1:], cells.size) - 1]
        bar = np.searchsorted(begins, self.trade_at) - 1
        kept = bar >= 0
        trades = [np.bincount(bar[kept], of[kept], first.size) for of in (self.qty, self.qty * self.side, self.qty**0)]
        return np.column_stack([*quotes, last, *trades, closes]), first

    def _bar(self, start, end, stop):
        """The bar of quotes ``start`` to ``end`` and of all else from its first quote to event ``stop``."""
        mids = self.mid[start:end]
        begin, done = np.searchsorted(self.trade_at, (self.quote_at[start], stop))
        qty, side = self.qty[begin:done], self.side[begin:done]
        reference = int(np.searchsorted(self.reference_at, stop))
        close = self.reference_mid[reference - 1] if reference else 0.0
        return mids[0], mids.max(), mids.min(), mids[-1], qty.sum(), qty @ side, float(done - begin), close


COLUMNS = ["open", "high", "low", "close", "volume", "flow", "trades", "reference_close"]
