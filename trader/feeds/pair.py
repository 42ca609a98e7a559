"""The lines that carry one socket plan: one, or two that are hot at once, and which of the two leads."""

from collections.abc import Sequence

from trader.feeds.hot import HotMerger
from trader.feeds.link import Link
from trader.reliability import prefer


class Pair:
    """``links`` of one plan, and the merger where there are two. ``primary`` is asked for fresh books.

    Both lines pass on all they bring; the lead decides nothing that the ids of the venue can decide.
    """

    def __init__(self, links: Sequence[Link], merger: HotMerger | None) -> None:
        self.links, self.merger = tuple(links), merger
        self.name, self.symbols = links[0].name, links[0].symbols
        self.primary = self.changes = 0

    @property
    def is_up(self) -> bool:
        """Whether any line stands."""
        return any(link.is_up for link in self.links)

    @property
    def leader(self) -> int:
        """The primary line, or the other while it is down."""
        return self.primary if self.links[self.primary].is_up else len(self.links) - 1 - self.primary

    def judge(self, scores: Sequence[float | None]) -> bool:
        """Let the other line lead if it is better by the lead it needs; True when it does.

        None is the score of a line that has just come up: it leads only where the other one is down.
        """
        if len(self.links) < 2:
            return False
        backup = 1 - self.primary
        ours, theirs = scores[self.primary], scores[backup]
        if not self.links[self.primary].is_up:
            ours, theirs = 0.0, float(self.links[backup].is_up)
        if ours is None or theirs is None or prefer(ours, theirs) == "primary":
            return False
        self.primary, self.changes = backup, self.changes + 1
        return True
