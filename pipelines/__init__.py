"""The offline half: Dagster assets from recorded ticks to a published model, and the pure functions they stand on.

Importing this package switches off the telemetry of the libraries it uses, before any of them is imported.
"""

import os

for _name, _value in {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "FEAST_USAGE": "False",
    "GX_ANALYTICS_ENABLED": "false",
}.items():
    os.environ[_name] = _value
