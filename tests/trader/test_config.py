"""Settings from a file: sections as they are named, and refusals that name the path."""

import pytest

from trader.config import load_config
from trader.errors import ConfigError


def loaded(tmp_path, text):
    path = tmp_path / "trader.toml"
    path.write_text(f'symbols = ["AAAUSDT"]\n{text}\n')
    return load_config(path)


def test_one_line_unless_two_are_asked_for(tmp_path):
    assert loaded(tmp_path, "").feed.lines == 1
    assert loaded(tmp_path, "[feed]\nlines = 2").feed.lines == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[feed]\nlines = 3", r"\$\.feed\.lines"),
        ("[feed]\nopen_interest_s = 0.1", r"\$\.feed\.open_interest_s"),
        ("[feed]\nline = 2", "line"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(tmp_path, text, named):
    with pytest.raises(ConfigError, match=named):
        loaded(tmp_path, text)
