"""The one resource that does I/O for the assets: tables, arrays and JSON under ``home``, each replaced by rename."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from dagster import ConfigurableResource

from pipelines.settings import PipelineError, PipelineSettings

T = TypeVar("T")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling of ``path`` that takes its place when the block succeeds and vanishes when it fails.

    Raises
    ------
    PipelineError
        When the disk refuses (full, read-only, no permission); what stood at ``path`` stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink()


def _unwritable(path: Path, error: Exception) -> PipelineError:
    why = getattr(error, "strerror", None) or error
    return PipelineError(f"{path}: cannot be written ({why})", "free space or correct permissions, then run again")


class Workspace(ConfigurableResource[Any]):
    """All that an asset reads or leaves behind lives under ``home``, in the layout that other halves expect."""

    settings: PipelineSettings

    def path(self, *parts: str) -> Path:
        """Absolute path of ``parts`` under ``home``."""
        return self.settings.home_path.joinpath(*parts)

    def write_table(self, table: pl.DataFrame, *parts: str, metadata: dict[str, str] | None = None) -> Path:
        """Write a parquet file atomically; ``metadata`` goes into its footer."""
        path = self.path(*parts)
        with replacing(path) as part:
            table.write_parquet(part, compression="zstd", compression_level=1, metadata=metadata)
        return path

    def read_table(self, *parts: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Read a parquet file.

        Raises
        ------
        PipelineError
            When it is absent or unreadable.
        """
        path = self.path(*parts)
        return _read(path, lambda: pl.read_parquet(path, columns=columns))

    def table_metadata(self, *parts: str) -> dict[str, str]:
        """Footer metadata of a parquet file written with :meth:`write_table`."""
        path = self.path(*parts)
        return _read(path, lambda: pl.read_parquet_metadata(path))

    def replace_tables(
        self, name: str, tables: Iterable[tuple[str, pl.DataFrame]], metadata: dict[str, str] | None = None
    ) -> dict[str, int]:
        """Replace the folder ``name`` by one ``<SYMBOL>.parquet`` per item; returns rows by symbol.

        The new folder is complete before the old one is moved away, so an interrupted run leaves the old.
        """
        folder, fresh, old = self.path(name), f".{name}.new", self.path(f".{name}.old")
        rows = {}
        try:
            shutil.rmtree(self.path(fresh), ignore_errors=True)
            self.path(fresh).mkdir(parents=True)
            for symbol, table in tables:
                self.write_table(table, fresh, f"{symbol}.parquet", metadata=metadata)
                rows[symbol] = table.height
            _swap_folder(self.path(fresh), folder, old)
        except OSError as error:
            raise _unwritable(folder, error) from error
        return rows

    def symbols(self, name: str) -> list[str]:
        """Symbols that have a table in the folder ``name``, sorted.

        Raises
        ------
        PipelineError
            When there is none.
        """
        _recover_folder(self.path(name), self.path(f".{name}.old"))
        found = sorted(path.stem for path in self.path(name).glob("*.parquet"))
        if not found:
            raise PipelineError(f"{self.path(name)}: no table here", f"materialize the asset {name} first")
        return found

    def read_tables(self, name: str, columns: list[str] | None = None) -> Iterator[tuple[str, pl.DataFrame]]:
        """Every symbol of the folder ``name`` with its table, in symbol order, one at a time."""
        for symbol in self.symbols(name):
            yield symbol, self.read_table(name, f"{symbol}.parquet", columns=columns)

    def write_json(self, value: Any, *parts: str) -> Path:
        """Write JSON atomically."""
        return self.write_bytes(json.dumps(value, indent=2, sort_keys=True).encode() + b"\n", *parts)

    def read_json(self, *parts: str) -> Any:
        """Read JSON; raises :class:`PipelineError` when it is absent or broken."""
        path = self.path(*parts)
        return _read(path, lambda: json.loads(path.read_bytes()))

    def write_bytes(self, data: bytes, *parts: str) -> Path:
        """Write a file atomically."""
        path = self.path(*parts)
        with replacing(path) as part:
            part.write_bytes(data)
        return path


def _read(path: Path, reader: Callable[[], T]) -> T:
    try:
        return reader()
    except FileNotFoundError as error:
        raise PipelineError(f"{path}: not there yet", "materialize the asset that writes it first") from error
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise PipelineError(f"{path}: unreadable ({error})", "materialize the asset that writes it again") from error


def _swap_folder(fresh: Path, folder: Path, old: Path) -> None:
    _recover_folder(folder, old)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _recover_folder(folder: Path, old: Path) -> None:
    """A crash between the two renames leaves only ``old``: put it back."""
    if old.exists() and not folder.exists():
        old.rename(folder)
