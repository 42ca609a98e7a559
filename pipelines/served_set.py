"""The few features that are served, as a set: choosing them from a ranking, and writing the file that names them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from features.bank import BANK, BANK_INDEX
from features.family import Feature
from features.parameters import PARAMETERS
from features.plan import select
from features.schema import KERNEL_VERSION, WINDOW, mirror_order, schema_id
from features.served import Served, read_served
from pipelines.resources import replacing
from pipelines.selection import Ranked, Ranking
from pipelines.settings import PipelineError

STABLE: Final = 0.5
_LIST: Final = re.compile(r"^features\s*=\s*\[.*?^\]", re.MULTILINE | re.DOTALL)
_PARTNERS: Final = {(f.family, f.output, f.window, f.length_ns): column for column, f in enumerate(BANK)}


class Choice(msgspec.Struct, frozen=True):
    """``columns`` of the bank that were chosen, and why each is in or out, by column.

    Those served now keep their order, so that the same set is the same schema; newcomers follow in the bank's.
    """

    columns: tuple[int, ...]
    why: dict[int, str]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(BANK[column].name for column in self.columns)


def partner(column: int) -> int:
    """The column that swaps places with ``column`` in the mirrored market: mostly itself."""
    feature = BANK[column]
    if feature.mirror in ("same", "sign"):
        return column
    return _PARTNERS[feature.family, feature.mirror, feature.window, feature.length_ns]


def choose(ranking: Ranking, pinned: Sequence[str], served: Sequence[str], count: int) -> Choice:
    """The ``count`` features to serve: what is pinned, then proven newcomers, then ``served`` ones, then the rest.

    A newcomer is proven when at least ``STABLE`` of the draws selected it and the interval of its importance lies above
    0; it takes no place where one of its cluster is served already, which says the same. Without such proof a change
    would be a guess, so the places left stay with those served now, by the places of their clusters. Mirror partners
    come in together.

    Raises
    ------
    PipelineError
        When more is pinned than fits.
    """
    why: dict[int, str] = {}
    for name in pinned:
        _enter(why, BANK_INDEX[name], "pinned")
    if len(why) > count:
        raise PipelineError(f"{len(why)} features are pinned or partners of such, more than {count}", "raise the count")
    refused = dict[int, str]()
    for column, reason in _claims(ranking, [BANK_INDEX[name] for name in served]):
        spoken = [other for other in why if _same(ranking, column, other)]
        if column in why:
            continue
        if spoken and BANK[column].name not in served:
            refused.setdefault(column, f"{reason}, but {BANK[spoken[0]].name} of its cluster is chosen")
        elif len(why) + len({column, partner(column)} - set(why)) > count:
            refused.setdefault(column, f"{reason}, with {count} chosen before it")
        else:
            _enter(why, column, reason)
    staying = [BANK_INDEX[name] for name in served if BANK_INDEX[name] in why]
    return Choice((*staying, *sorted(set(why) - set(staying))), _others(ranking) | refused | why)


def _claims(ranking: Ranking, served: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Columns in the order in which they are offered a place, and what each rests its claim on."""
    place = {ranked.column: number for number, ranked in enumerate(ranking.ranked, 1)}
    taken = {int(ranking.clusters.of[column]) for column in served} - {-1}
    for ranked in ranking.ranked:
        if is_proven(ranked) and ranked.column not in taken:
            yield ranked.column, f"proven, place {place[ranked.column]}"
    last = len(place) + 1
    of = {column: place.get(int(ranking.clusters.of[column]), last) for column in served}
    for column in sorted(served, key=lambda column: of[column]):
        yield column, f"served, its cluster at place {of[column]}" if of[column] < last else "served"
    for ranked in ranking.ranked:
        yield ranked.column, f"place {place[ranked.column]}"


def is_proven(ranked: Ranked) -> bool:
    """Whether a newcomer has shown enough to come in."""
    return ranked.probability >= STABLE and ranked.importance is not None and ranked.importance.low > 0.0


def _same(ranking: Ranking, column: int, other: int) -> bool:
    of = ranking.clusters.of
    return bool(of[column] == of[other] and of[column] >= 0)


def _enter(chosen: dict[int, str], column: int, why: str) -> None:
    chosen.setdefault(column, why)
    if partner(column) != column:
        chosen.setdefault(partner(column), f"mirror partner of {BANK[column].name}")


def _others(ranking: Ranking) -> dict[int, str]:
    """Why columns that speak for no cluster stay out."""
    inside = {
        column: f"in the cluster of {BANK[medoid].name}"
        for column, medoid in enumerate(ranking.clusters.of.tolist())
        if medoid not in (-1, column)
    }
    return inside | ranking.left_out


def schema_id_of(names: Sequence[str]) -> str:
    """SCHEMA_ID of a served set of these names, with the parameters and the window in force.

    Raises
    ------
    FeatureError
        When a name is unknown or twice, or a mirror partner is missing.
    """
    features: tuple[Feature, ...] = select(BANK, names)
    mirror_order(features)
    return schema_id(features, PARAMETERS, WINDOW, KERNEL_VERSION)


def difference(before: Sequence[str], after: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that leave the set, and those that come in.

    >>> difference(("a", "b"), ("b", "c"))
    (['a'], ['c'])
    """
    return [name for name in before if name not in after], [name for name in after if name not in before]


def with_features(text: str, names: Sequence[str]) -> str:
    """The text of a served set with another list of features; all else stays as it was written.

    >>> print(with_features('window = 4\\nfeatures = [\\n  "a",\\n]', ["b"]))
    window = 4
    features = [
      "b",
    ]
    """
    written = "features = [\n" + "".join(f'  "{name}",\n' for name in names) + "]"
    if not _LIST.search(text):
        raise PipelineError("the served set in force has no list `features = [...]`", "write one name a line")
    return _LIST.sub(lambda _: written, text, count=1)


def write_served(source: Path, target: Path, names: Sequence[str]) -> Served:
    """Write ``source`` with ``names`` as its features to ``target`` (which may be the same), and read it back.

    Raises
    ------
    FeatureError, ServedError, PipelineError
        When the names make no set, or the file cannot be written or read; ``target`` then stays as it was.
    """
    schema_id_of(names)
    text = with_features(source.read_text(), names)
    with replacing(target) as part:
        part.write_text(text)
        return read_served(part)
