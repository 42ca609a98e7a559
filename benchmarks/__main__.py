"""Runs every benchmark of this folder: ``python -m benchmarks [NAME…]``; writes ``benchmarks/results.json``."""

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
TIMEOUT_S = 1800


def names() -> list[str]:
    """Benchmarks in this folder: modules that do not begin with an underscore."""
    return sorted(module.name for module in pkgutil.iter_modules([str(HERE)]) if not module.name.startswith("_"))


def run(name: str) -> dict[str, Any]:
    """One benchmark in a process of its own: the JSON object it prints last, or what went wrong."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=HERE.parent, check=False)
    except subprocess.TimeoutExpired:
        return {"benchmark": name, "error": f"not done after {TIMEOUT_S} s"}
    try:
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return {"benchmark": name, "error": done.stderr.strip()[-2000:] or f"ended with code {done.returncode}"}


def write(reports: list[dict[str, Any]], path: Path = RESULTS) -> None:
    """Keep the reports, those of benchmarks that were not run now included."""
    before = json.loads(path.read_text()) if path.exists() else []
    new = {report["benchmark"] for report in reports}
    kept = [report for report in before if report["benchmark"] not in new]
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(sorted(kept + reports, key=lambda report: report["benchmark"]), indent=1) + "\n")
    part.replace(path)


def line(result: dict[str, Any]) -> str:
    """One result in one line; a side that was not measured shows as ``-``."""
    numbers = "  ".join(f"{key} {_shown(result.get(key))}" for key in ("ours", "peer", "ratio", "goal"))
    state = "met" if result.get("met") else "not met"
    return f"{result.get('id', '?'):4} {numbers}  {result.get('unit', '')}  {state}  {result.get('what', '')}"


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def main() -> int:
    """Run the named benchmarks, or all; 1 when one failed or computed something wrong."""
    reports = []
    for name in sys.argv[1:] or names():
        print(f"== {name}", flush=True)
        report = run(name)
        reports.append(report)
        for text in [report["error"]] if "error" in report else map(line, report["results"]):
            print(text, flush=True)
    write(reports)
    wrong = [r for r in reports if "error" in r or not all(x.get("correct") for x in r["results"])]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
