"""Where a benchmark was measured."""

import os
import platform
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, cores, and the load of the last minute: machines are noisy, so goals are ratios."""
    return {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load1": os.getloadavg()[0]}
