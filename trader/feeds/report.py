"""What a feed did so far, in plain values for people and files."""

from typing import TYPE_CHECKING, Any

import msgspec

from trader.feeds.link import Link
from trader.feeds.pair import Pair

if TYPE_CHECKING:
    from trader.feed import Feed


def report_of(feed: "Feed") -> dict[str, Any]:
    """Counts over all connections, each line with its score, and the clocks' differences."""
    by_stream = feed.frames()
    return {
        "frames": sum(by_stream.values()),
        "by_stream": {f"{kind} of {symbol}": count for (symbol, kind), count in by_stream.items() if count},
        "disconnects": sum(link.lost for link in feed.links),
        "planned_reconnects": sum(link.rotated for link in feed.links),
        "failed_connects": sum(link.failed for link in feed.links),
        "duplicates_dropped": sum(link.duplicates for link in feed.links),
        "silences": feed.silences,
        "refused": feed.refused,
        "lines": [_line(feed, pair, link) for pair in feed.pairs for link in pair.links],
        "lead_changes": sum(pair.changes for pair in feed.pairs),
        "left_for_score": feed.left_for_score,
        "recv_minus_event_ms": {f"{k} of {s}": msgspec.to_builtins(skew) for (s, k), skew in feed.skew.items()},
    }


def _line(feed: "Feed", pair: Pair, link: Link) -> dict[str, Any]:
    copies = {} if pair.merger is None else {"copies_dropped": pair.merger.dropped, "strayed": pair.merger.strayed}
    return {
        "name": link.name,
        "url": link.plan.url.partition("?")[0],
        "leads": pair.links[pair.primary] is link,
        "is_up": link.is_up,
        "score": round(feed.scores.score(link), 4),
        **copies,
    }
