"""Where a benchmark was measured."""

import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, cores, and the load of the last minute: machines are noisy, so goals are ratios."""
    return {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load1": os.getloadavg()[0]}


def peak_mb() -> float:
    """The most memory this process had resident; ``ru_maxrss`` would count what its parent had when it forked."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
