"""A meal and its bolus are two rows: which belongs to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.contracts import Sighting
from bridge.model.records import Bolus
from bridge.readers.carelink_cloud.nearest import matched
from bridge.readers.carelink_cloud.rows import Row

WITHIN_S = 60.0


def meals_of_boluses(
    insulin: Sequence[Row], meals: Sequence[Row], sightings: Mapping[str, Sighting]
) -> Mapping[str, str]:
    """Source key of a bolus -> source key of its meal; one to one, nearest within a minute.

    Automatic and cancelled boluses have no meal. A meal seen before may have left the window before its bolus.
    """
    seen = {row.source_key: row.time for row in meals}
    for key, sighting in sightings.items():
        if key.startswith("MEAL:"):
            seen.setdefault(sighting.source_key, sighting.time)
    boluses = [row for row in insulin if row.model is Bolus and not row.body["automatic"] and _was_live(row)]
    keys, times = list(seen), [at.timestamp() for at in seen.values()]
    pairs = matched([row.time.timestamp() for row in boluses], times, WITHIN_S)
    return {boluses[i].source_key: keys[j] for i, j in pairs}


def _was_live(row: Row) -> bool:
    return bool(row.body["delivered_u"] > 0 or not row.body["completed"])
