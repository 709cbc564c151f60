"""From a picture to an encoded answer, by the family's shape."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bridge.simulators.carelink_cloud import flat, nested
from bridge.simulators.carelink_cloud.markers import Moved
from bridge.simulators.carelink_cloud.people import Family
from bridge.simulators.carelink_cloud.uploads import Picture
from bridge.simulators.carelink_cloud.wire import Template


def _unmoved(when: datetime) -> datetime:
    return when


def encode(picture: Picture, shape: Family, moved: Moved = _unmoved) -> Template:
    """The answer with its open places; `moved` shifts the markers' stamps."""
    return Template.of(_document(picture, shape, moved), picture)


def _document(picture: Picture, shape: Family, moved: Moved) -> dict[str, Any]:
    match shape:
        case Family.NGP:
            return nested.nested(picture, moved)
        case Family.SIMPLERA:
            return nested.sensor_alone(picture, moved)
        case Family.NGP_FLAT:
            return flat.flat_pump(picture, moved)
        case Family.GUARDIAN:
            return flat.guardian(picture)
        case Family.PARADIGM:
            return flat.paradigm(picture)
    raise ValueError(f"{shape.value} has no shape of its own")
