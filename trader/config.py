"""Every setting of the trader, once: defaults here, overlaid by one TOML file. Unknown keys are refused."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from risk.profiles import CONSERVATIVE, Limits
from trader.errors import ConfigError
from trader.strategies.exits import ExitParams
from trader.strategies.market_making import MarketMakingParams
from trader.strategies.momentum import MomentumParams


class FeedOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``lines`` 2 keeps every market stream on two connections at once, the second to the second address of ``--ws``
    where there is one: one may fail and nothing is lost. ``open_interest_s`` is the time between two questions for the
    open interest of a symbol where no stream tells it (Binance, request weight 1).
    """

    lines: Literal[1, 2] = 1
    open_interest_s: Annotated[float, msgspec.Meta(ge=1.0)] = 15.0


class OnlineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The online feature store, where one is set up: how often newest rows are pushed to it, and how old a row may be
    that is taken from it at the start.
    """

    push_s: Annotated[float, msgspec.Meta(gt=0.0)] = 1.0
    max_age_s: Annotated[float, msgspec.Meta(ge=0.0)] = 300.0


class TraderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run is started with; stands whole in the journal's first record.

    ``recalibrate``: read scores in the light of outcomes that have matured in this run. ``score_deadline_ms`` is the
    longest wait for Triton before the local copy answers. ``requote_ms`` keeps entries of one side apart.
    ``dead_man_ms`` is the countdown after which the venue cancels our orders unless we renew it.
    """

    symbols: tuple[str, ...] = ()
    recalibrate: bool = True
    score_deadline_ms: float = 20.0
    requote_ms: int = 500
    timer_ms: int = 100
    dead_man_ms: int = 30_000
    feed: FeedOptions = FeedOptions()
    online: OnlineOptions = OnlineOptions()
    limits: Limits = CONSERVATIVE
    market_making: MarketMakingParams = MarketMakingParams()
    momentum: MomentumParams = MomentumParams()
    exits: ExitParams = ExitParams()


def load_config(path: Path | None, symbols: tuple[str, ...] = ()) -> TraderConfig:
    """Defaults, then ``path``, then ``symbols`` where given.

    Raises
    ------
    ConfigError
        The file is missing or no TOML, a key is unknown (with the nearest known one), a value does not fit, or no
        symbol is named.
    """
    raw = {} if path is None else _read(path)
    if symbols:
        raw["symbols"] = list(symbols)
    try:
        config = msgspec.convert(raw, TraderConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}", _hint(str(error))) from error
    if not config.symbols:
        raise ConfigError("no symbol to trade", "pass --symbols, or set symbols in the config file")
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        raw: dict[str, Any] = msgspec.toml.decode(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", "pass --config with an existing TOML file") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}", "correct that line") from error
    return raw


def _hint(message: str) -> str:
    """Nearest known setting to an unknown one named in a validation message."""
    unknown = message.split("unknown field `")[-1].split("`")[0] if "unknown field" in message else ""
    kinds = (TraderConfig, FeedOptions, OnlineOptions, Limits, MarketMakingParams, MomentumParams, ExitParams)
    known = sorted({name for kind in kinds for name in kind.__struct_fields__})
    near = difflib.get_close_matches(unknown, known, n=1)
    return f"did you mean {near[0]}?" if near else "see trader/config.py for all settings and their types"
