"""What people read or hand over: a review of what came in, and exports. Pure, over the reading model."""

from bridge.reports.export import COLUMNS, Unit, line, row
from bridge.reports.review import Flag, Known, Review, Row, review

__all__ = ["COLUMNS", "Flag", "Known", "Review", "Row", "Unit", "line", "review", "row"]
