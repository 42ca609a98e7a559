"""What a cell means: times of any unit, booleans, sides, as polars expressions; and what a cell looks like."""

import re
from typing import Final

import polars as pl

_YEARS: Final = r"1[0-9]{9}|2[0-9]{9}"
_TIME: Final = re.compile(rf"({_YEARS})(\d{{3}}|\d{{6}}|\d{{9}})?")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}")


def cell_class(cell: str) -> str:
    """One letter for the look of a cell: t time, i integer, n number, b boolean, d date, e empty, s text.

    >>> [cell_class(cell) for cell in ("1721260800000", "12", "0.5", "True", "2024-07-18 00:05:00", "", "BTC")]
    ['t', 'i', 'n', 'b', 'd', 'e', 's']
    """
    if not cell:
        return "e"
    if cell.lower() in ("true", "false"):
        return "b"
    if _TIME.fullmatch(cell):
        return "t"
    if cell.isdigit():
        return "i"
    if _NUMBER.fullmatch(cell):
        return "n"
    return "d" if _DATE.match(cell) else "s"


def epoch_ns(name: str) -> pl.Expr:
    """Integer Unix time of a column in s, ms, µs or ns (told by magnitude, row by row) as ns; null out of range."""
    value = pl.col(name)
    return (
        pl.when(value.is_between(1_000_000_000, 9_999_999_999))
        .then(value * 1_000_000_000)
        .when(value.is_between(100_000_000_000, 9_999_999_999_999))
        .then(value * 1_000_000)
        .when(value.is_between(100_000_000_000_000, 9_999_999_999_999_999))
        .then(value * 1_000)
        .when(value >= 100_000_000_000_000_000)
        .then(value)
    )


def seconds_ns(name: str) -> pl.Expr:
    """Unix seconds with a fraction as ns, rounded to µs, which is as fine as such a float is."""
    return (pl.col(name) * 1e6).round().cast(pl.Int64, strict=False) * 1_000


def date_ns(name: str) -> pl.Expr:
    """``YYYY-MM-DD hh:mm:ss`` text (UTC) as ns; null when it is none."""
    text = pl.col(name).str.replace("T", " ").str.head(19)
    return text.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="ns").dt.epoch("ns")


def truth(name: str) -> pl.Expr:
    """Text ``true``/``false``/``1``/``0`` as a boolean; null for anything else."""
    text = pl.col(name).str.to_lowercase()
    return pl.when(text.is_in(["true", "1"])).then(True).when(text.is_in(["false", "0"])).then(False)


def taker_side(buyer_is_maker: str) -> pl.Expr:
    """+1 or -1 from Binance's "was the buyer the maker": then the taker sold."""
    maker = truth(buyer_is_maker)
    return pl.when(maker).then(-1).when(~maker).then(1)


def named_side(name: str) -> pl.Expr:
    """+1 for ``buy``/``bid``, -1 for ``sell``/``ask``, 0 for ``unknown``; null for anything else."""
    text = pl.col(name).str.to_lowercase()
    return (
        pl.when(text.is_in(["buy", "bid"]))
        .then(1)
        .when(text.is_in(["sell", "ask"]))
        .then(-1)
        .when(text == "unknown")
        .then(0)
    )


def integer_or_null(name: str) -> pl.Expr:
    """Integer of a text cell; null when it is none."""
    return pl.col(name).cast(pl.Int64, strict=False)
