"""Records name each other by id: a bolus its carbs and calculation, a calculation its bolus."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.model.records import Bolus, BolusCalculation, Record

LINKED_KINDS = frozenset({"bolus", "bolus_calculation", "carbs"})
"""Kinds that name another record or are named by one."""


def targets(record: Record) -> tuple[str, ...]:
    """Ids this record names, as its source wrote them."""
    if isinstance(record, Bolus):
        return tuple(name for name in (record.carbs_id, record.calculation_id) if name is not None)
    if isinstance(record, BolusCalculation) and record.bolus_id is not None:
        return (record.bolus_id,)
    return ()


def relinked(record: Record, aliases: Mapping[str, str]) -> Record:
    """The record with every alias it names replaced by the id the journal keeps."""
    fields = ("carbs_id", "calculation_id") if isinstance(record, Bolus) else ("bolus_id",)
    named = {field: getattr(record, field, None) for field in fields}
    renamed = {field: aliases[name] for field, name in named.items() if name is not None and name in aliases}
    return record.model_copy(update=renamed) if renamed else record
