"""Where recorded market data lies, if it does."""

import os
from pathlib import Path

import pytest

DATA_DIR = Path(os.environ.get("DATA_DIR", Path(__file__).parents[4] / "shared" / "data"))


def recorded(folder):
    """A folder of recorded data; skips the test where it is absent."""
    path = DATA_DIR / folder
    if not path.exists():
        pytest.skip(f"no recorded data at {path}; set DATA_DIR")
    return path
