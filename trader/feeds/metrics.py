"""What a feed and its books are doing, for Prometheus. Plain counters are read when scraped: the hot path pays nothing.

::

    cryptoscalp_frames_total{symbol,stream}         received on any socket
    cryptoscalp_sequence_gaps_total{symbol}         depth sequences that broke
    cryptoscalp_book_tradable{symbol}               1 while streams flow and the book stands
    cryptoscalp_quarantined_total{symbol,reason}    frames that could not be decoded
    cryptoscalp_unknown_total{symbol,type}          frames that carry no event of ours
    cryptoscalp_reconnects_total{link,kind}         kind: lost, planned, failed
    cryptoscalp_link_up{link}
    cryptoscalp_silences_total                      streams that fell silent
    cryptoscalp_duplicates_dropped_total{link}      second copies while two sockets ran
    cryptoscalp_source_score{link,symbol,stream}    reliability of one stream of one connection, 0 to 1
    cryptoscalp_line_score{link}                    the same of the connection: its worst stream's
    cryptoscalp_line_leads{link}                    1 for the line that leads, where two are hot
    cryptoscalp_lead_changes_total{link}            times another line took the lead
    cryptoscalp_left_for_score_total                times a better host was gone to
    cryptoscalp_clock_skew_ms{symbol,stream,stat}   receive minus event time, min and median of the last window
    cryptoscalp_recv_lag_ms{symbol,stream}          median above the least: queueing, whatever the clocks say
    cryptoscalp_recorder_waiting                    frames received and not yet handed to the disk
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trader.errors import ConnectionRefused
from trader.feed import Feed

HOST: Final = "127.0.0.1"


class MarketCounts(Protocol):
    """What metrics read of one symbol."""

    @property
    def gaps(self) -> int: ...
    @property
    def reasons(self) -> Mapping[str, int]: ...
    @property
    def unknown(self) -> Mapping[str, int]: ...
    @property
    def tradable(self) -> bool: ...


class FeedMetrics(Collector):
    """Collector over one feed, its markets by symbol, and the recorder's queue."""

    def __init__(self, feed: Feed, markets: Mapping[str, MarketCounts], waiting: Callable[[], int] = lambda: 0) -> None:
        self._feed, self._markets, self._waiting = feed, markets, waiting

    def collect(self) -> Iterator[Metric]:
        """One pass over the counters; called from the scraper's thread."""
        yield from self._streams()
        yield from self._books()
        yield from self._links()
        yield from self._scores()
        yield GaugeMetricFamily("cryptoscalp_recorder_waiting", "frames not yet on disk", value=self._waiting())

    def _streams(self) -> Iterator[Metric]:
        frames = CounterMetricFamily("cryptoscalp_frames", "frames received", labels=("symbol", "stream"))
        for key, count in self._feed.frames().items():
            frames.add_metric(key, count)
        skews = GaugeMetricFamily(
            "cryptoscalp_clock_skew_ms", "receive minus event time", labels=("symbol", "stream", "stat")
        )
        lags = GaugeMetricFamily("cryptoscalp_recv_lag_ms", "median skew above the least", labels=("symbol", "stream"))
        for key, skew in list(self._feed.skew.items()):
            skews.add_metric((*key, "min"), skew.min_ms)
            skews.add_metric((*key, "median"), skew.median_ms)
            lags.add_metric(key, skew.median_ms - skew.min_ms)
        yield from (frames, skews, lags)

    def _books(self) -> Iterator[Metric]:
        gaps = CounterMetricFamily("cryptoscalp_sequence_gaps", "broken depth sequences", labels=("symbol",))
        tradable = GaugeMetricFamily("cryptoscalp_book_tradable", "book may be trusted", labels=("symbol",))
        bad = CounterMetricFamily("cryptoscalp_quarantined", "undecodable frames", labels=("symbol", "reason"))
        unknown = CounterMetricFamily("cryptoscalp_unknown", "frames without event", labels=("symbol", "type"))
        for symbol, market in self._markets.items():
            gaps.add_metric((symbol,), market.gaps)
            tradable.add_metric((symbol,), float(market.tradable))
            for reason, count in list(market.reasons.items()):
                bad.add_metric((symbol, reason), count)
            for name, count in list(market.unknown.items()):
                unknown.add_metric((symbol, name), count)
        yield from (gaps, tradable, bad, unknown)

    def _links(self) -> Iterator[Metric]:
        again = CounterMetricFamily("cryptoscalp_reconnects", "connections replaced", labels=("link", "kind"))
        up = GaugeMetricFamily("cryptoscalp_link_up", "connection stands", labels=("link",))
        copies = CounterMetricFamily("cryptoscalp_duplicates_dropped", "second copies", labels=("link",))
        for link in self._feed.links:
            for kind, count in (("lost", link.lost), ("planned", link.rotated), ("failed", link.failed)):
                again.add_metric((link.name, kind), count)
            up.add_metric((link.name,), float(link.is_up))
            copies.add_metric((link.name,), link.duplicates)
        yield from (again, up, copies)
        yield CounterMetricFamily("cryptoscalp_silences", "silent streams", value=self._feed.silences)

    def _scores(self) -> Iterator[Metric]:
        sources = GaugeMetricFamily("cryptoscalp_source_score", "reliability", labels=("link", "symbol", "stream"))
        for link, symbol, kind, score in self._feed.scores.by_source():
            sources.add_metric((link.name, symbol, kind), score)
        lines = GaugeMetricFamily("cryptoscalp_line_score", "reliability", labels=("link",))
        leads = GaugeMetricFamily("cryptoscalp_line_leads", "line in the lead", labels=("link",))
        changes = CounterMetricFamily("cryptoscalp_lead_changes", "changes of the lead", labels=("link",))
        for pair in self._feed.pairs:
            changes.add_metric((pair.name,), pair.changes)
            for line, link in enumerate(pair.links):
                lines.add_metric((link.name,), self._feed.scores.score(link))
                leads.add_metric((link.name,), float(line == pair.primary))
        yield from (sources, lines, leads, changes)
        yield CounterMetricFamily("cryptoscalp_left_for_score", "better hosts", value=self._feed.left_for_score)


@contextlib.contextmanager
def serve_metrics(port: int, collector: Collector) -> Iterator[int]:
    """Serve ``/metrics`` on loopback while the block runs; gives the port (0 picks a free one).

    Raises
    ------
    ConnectionRefused
        The port is taken.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    try:
        server, thread = start_http_server(port, HOST, registry)
    except OSError as error:
        raise ConnectionRefused(
            f"metrics port {port} cannot be used: {error.strerror}", "pass --metrics-port 0 to pick a free one"
        ) from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
