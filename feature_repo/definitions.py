"""What Feast knows, generated from ``features.schema``: this file declares and never computes.

One entity (the symbol), one view with a field per served feature, one push source that trader and pipeline feed, one
service per model and per published version of it. The view's name carries the schema id: versions of an older schema
keep a view of their own, and no reader can take features of another schema.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Final

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource
from feast.types import Float64
from feast.value_type import ValueType

from features.online import ENTITY, VIEW
from features.schema import FEATURES, SCHEMA_ID

PUSH: Final = f"{VIEW}_push"
OFFLINE_FILE: Final = Path("feature_store", "offline", "tick_features.parquet")
MODEL: Final = "scalper"

symbol = Entity(
    name=ENTITY,
    join_keys=[ENTITY],
    value_type=ValueType.STRING,
    description="A contract as its venue spells it",
)


def feature_view(offline_file: Path) -> FeatureView:
    """The served row of every symbol, kept in ``offline_file`` and pushed to the online store."""
    batch = FileSource(
        name=f"{VIEW}_file",
        path=str(offline_file),
        timestamp_field="event_timestamp",
        description="One row per symbol and microsecond of the event clock",
    )
    return FeatureView(
        name=VIEW,
        entities=[symbol],
        ttl=timedelta(0),
        schema=[Field(name=f.name, dtype=Float64, description=f"{f.definition} [{f.unit}]") for f in FEATURES],
        source=PushSource(name=PUSH, batch_source=batch),
        online=True,
        tags={"schema_id": SCHEMA_ID},
        description="The features every model is trained on and served with",
    )


def feature_services(view: FeatureView, model: str = MODEL) -> list[FeatureService]:
    """One service per published name of ``model`` (full precision and int8), on the same row."""
    return [FeatureService(name=n, features=[view], tags={"schema_id": SCHEMA_ID}) for n in (model, f"{model}_int8")]


def version_service(view: FeatureView, model: str, version: int, sha256: str) -> FeatureService:
    """What one published version of ``model`` is served with; stays when later versions come."""
    tags = {"schema_id": SCHEMA_ID, "model": model, "version": str(version), "sha256": sha256}
    return FeatureService(name=f"{model}_v{version}", features=[view], tags=tags)


view = feature_view(Path(os.environ.get("CRYPTOSCALP_HOME", "var/demo")).resolve() / OFFLINE_FILE)
services = {service.name: service for service in feature_services(view)}
