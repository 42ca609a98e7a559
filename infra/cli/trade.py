"""`cryptoscalp trade`: the live loop against a venue, real or simulated."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from market.errors import CryptoScalpError
from trader.config import TraderConfig, load_config
from trader.errors import ConfigError

if TYPE_CHECKING:
    from trader.service import ServiceSettings


def trade(
    mode: Annotated[str, typer.Option(help="replay, paper or live")] = "paper",
    venue: Annotated[str, typer.Option(help="binanceusdm, okx or bybit")] = "binanceusdm",
    symbols: Annotated[str, typer.Option(help="comma-separated, as the venue spells them")] = "",
    rest: Annotated[str, typer.Option(help="venue REST address, scheme and host only")] = "",
    ws: Annotated[str, typer.Option(help="venue WebSocket address, scheme and host only")] = "",
    triton: Annotated[str, typer.Option(help="Triton HTTP address")] = "http://127.0.0.1:8000",
    repository: Annotated[Path, typer.Option(help="Triton model repository")] = Path("model_repository"),
    model: Annotated[str, typer.Option(help="model to score with")] = "scalper",
    home: Annotated[Path, typer.Option(help="new folder for journal and tape of this run")] = Path("var/trader"),
    config: Annotated[Path | None, typer.Option(help="TOML file with trader settings")] = None,
    watchdog: Annotated[
        str, typer.Option(help="auto (where the venue has no dead-man's switch), always or never")
    ] = "auto",
    foreign_orders: Annotated[str, typer.Option(help="orders open at the start: keep or cancel")] = "keep",
    online_store: Annotated[
        str, typer.Option(envvar="CRYPTOSCALP_ONLINE_STORE", help="Redis URL of the online feature store; none: unused")
    ] = "",
    stop_on_tape_end: Annotated[bool, typer.Option(help="end when a simulated venue's tape ends")] = False,
    metrics_port: Annotated[int | None, typer.Option(min=0, max=65535, help="serve Prometheus metrics here")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the run's summary as one JSON object")] = False,
) -> None:
    """Trade: frames in, features, Triton scores, strategy, seven risk layers, orders out; all of it journaled.

    Keys come from CRYPTOSCALP_API_KEY, CRYPTOSCALP_API_SECRET and, for OKX, CRYPTOSCALP_API_PASSWORD. SIGUSR1 stops new
    risk, SIGUSR2 cancels and flattens.
    """
    from trader.service import refuse_live

    if mode == "live":
        refuse_live()
    if mode == "replay":
        from infra.cli.replay import replay

        return replay(home, repository=repository, as_json=as_json)
    if mode != "paper":
        raise ConfigError(f"--mode {mode} does not exist", "use replay, paper or live")
    if not rest or not ws:
        raise ConfigError("--rest and --ws are missing", "pass the addresses that `cryptoscalp simulate` prints")
    chosen = tuple(s.strip().upper() for s in symbols.split(",") if s.strip())
    loaded = load_config(config, chosen)
    from trader.service import ServiceSettings
    from trader.venues import Keys  # imports ccxt: keep it out of --help

    settings = ServiceSettings(
        rest=rest,
        ws=ws,
        triton=triton,
        repository=repository,
        model=model,
        home=home,
        keys=Keys(*_keys(), os.environ.get("CRYPTOSCALP_API_PASSWORD", "")),
        stop_on_tape_end=stop_on_tape_end,
        metrics_port=metrics_port,
        venue=venue,
        watchdog=watchdog,
        foreign_orders=foreign_orders,
        online_store=online_store or None,
    )
    _paper(loaded, settings, as_json)
    return None


def _paper(config: TraderConfig, settings: "ServiceSettings", as_json: bool) -> None:
    import uvloop

    from trader.service import trade_paper

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(trade_paper(settings, config))
    if as_json:
        print(msgspec.json.encode(summary).decode())
        return
    for name, value in msgspec.structs.asdict(summary).items():
        print(f"{name:12} {value}")


def _keys() -> tuple[str, str]:
    key, secret = os.environ.get("CRYPTOSCALP_API_KEY", ""), os.environ.get("CRYPTOSCALP_API_SECRET", "")
    if not key or not secret:
        raise CryptoScalpError(
            "CRYPTOSCALP_API_KEY or CRYPTOSCALP_API_SECRET is not set",
            "export both; `cryptoscalp simulate` prints a pair for its own venue",
        )
    return key, secret
