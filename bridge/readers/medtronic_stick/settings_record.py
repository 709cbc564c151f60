"""The pump's therapy settings as one record, made when they became current."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from bridge.contracts import Diagnostic
from bridge.model.records import PumpSettings
from bridge.model.units import MGDL_PER_MMOL
from bridge.readers.medtronic_stick import commands
from bridge.readers.medtronic_stick.commands import (
    PROFILES,
    Answer,
    CarbRatios,
    Profile,
    Sensitivities,
    Settings,
    Targets,
    Unit,
)
from bridge.readers.medtronic_stick.making import Maker
from bridge.readers.medtronic_stick.model import GRAMS_PER_EXCHANGE
from bridge.readers.medtronic_stick.patterns import NAMES
from bridge.readers.medtronic_stick.time import Moment

_NEEDED = {"basal_schedules", "carb_ratios", "isf", "targets", "max_bolus_u"}


def make_settings(
    answers: Mapping[int, Answer], maker: Maker, moment: Moment, kept: object
) -> tuple[dict[str, Any], list[Diagnostic]]:
    """Make the record unless the settings stand as they stood. What to remember, and what is missing.

    A read in which the pump left out what it told before makes none: that is no change of the settings.
    """
    known = dict(kept) if isinstance(kept, Mapping) else {}
    body = read_settings(answers)
    parts = _parts(body)
    missing = (_NEEDED | set(_strings(known.get("parts")))) - parts
    if missing:
        told = Diagnostic("settings_incomplete", f"The pump did not tell all its settings: {sorted(missing)}.")
        return known, [told]
    digest = sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
    if known.get("digest") == digest:
        return known, []
    counts = known.get("counts")
    counts = {name: n for name, n in counts.items() if isinstance(n, int)} if isinstance(counts, Mapping) else {}
    counts[digest] = counts.get(digest, 0) + 1
    maker.make(PumpSettings, f"{digest}:{counts[digest]}", moment, body)
    return {"digest": digest, "counts": counts, "parts": sorted(parts)}, []


def _parts(body: Mapping[str, Any]) -> set[str]:
    """What the pump told, each basal pattern for itself."""
    told = {name for name, value in body.items() if value is not None}
    return told | set(body["basal_schedules"] or ())


def _strings(value: object) -> Sequence[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, Sequence) else []


def read_settings(answers: Mapping[int, Answer]) -> dict[str, Any]:
    """The body of `pump_settings` in mg/dL, g/U and minutes; None for what was not told or cannot be."""
    settings = answers.get(commands.SETTINGS) or answers.get(commands.SETTINGS_12)
    unit = answers.get(commands.BG_UNITS)
    body: dict[str, Any] = {
        "basal_schedules": _schedules(answers),
        "carb_ratios": _ratios(answers.get(commands.RATIOS)),
        "isf": _isf(answers.get(commands.SENSITIVITIES)),
        "targets": _targets(answers.get(commands.TARGETS) or answers.get(commands.TARGETS_12)),
        "display_unit": ("mmol/L" if unit.other else "mg/dL") if isinstance(unit, Unit) else None,
    }
    if isinstance(settings, Settings):
        selected = settings.pattern if settings.patterns_on else 0
        body |= {
            "active_schedule": NAMES[selected] if selected < len(NAMES) else None,
            "dia_min": settings.dia_h * 60 if settings.dia_h is not None else None,
            "max_bolus_u": settings.max_bolus_u,
            "max_basal_u_h": settings.max_basal_u_h,
        }
    return body


def _schedules(answers: Mapping[int, Answer]) -> dict[str, Any] | None:
    found = {}
    for name, opcode in zip(NAMES, PROFILES, strict=True):
        profile = answers.get(opcode)
        if isinstance(profile, Profile):
            found[name] = [step._asdict() for step in profile.schedule]
    return found if NAMES[0] in found else None


def _ratios(answer: Answer | None) -> list[dict[str, Any]] | None:
    if not isinstance(answer, CarbRatios) or not answer.schedule or not all(step.value for step in answer.schedule):
        return None
    return [
        {"start_min": start, "g_u": round(GRAMS_PER_EXCHANGE / value, 1) if answer.exchanges else value}
        for start, value in answer.schedule
    ]


def _isf(answer: Answer | None) -> list[dict[str, Any]] | None:
    if not isinstance(answer, Sensitivities):
        return None
    steps = [{"start_min": start, "mgdl_u": _mgdl(value, answer.mmol)} for start, value in answer.schedule]
    return steps if steps and all(step["mgdl_u"] for step in steps) else None


def _targets(answer: Answer | None) -> list[dict[str, Any]] | None:
    if not isinstance(answer, Targets) or not answer.schedule or not all(each.low for each in answer.schedule):
        return None
    return [
        {"start_min": start, "low_mgdl": _mgdl(low, answer.mmol), "high_mgdl": _mgdl(high, answer.mmol)}
        for start, low, high in answer.schedule
    ]


def _mgdl(value: float, mmol: bool) -> float:
    return round(value * MGDL_PER_MMOL, 1) if mmol else value
