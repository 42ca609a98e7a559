"""Which venues a long test runs on by default."""

import pytest


def slow_but(usual, venues):
    """One parameter per venue; all but ``usual`` are left to slow runs."""
    return [venue if venue == usual else pytest.param(venue, marks=pytest.mark.slow) for venue in venues]
