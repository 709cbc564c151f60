"""From the bytes of an answer to its patient data, nested (`{metadata, patientData}`) or flat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridge.errors import Malformed

LARGEST_ANSWER = 16 * 1024 * 1024
_NEXT_STEP = "Give the JSON that CareLink answered to the data call."
_FLAT = frozenset({
    "sgs", "markers", "currentServerTime", "medicalDeviceFamily", "sMedicalDeviceTime", "medicalDeviceTime",
    "lastMedicalDeviceDataUpdateServerTime", "lastConduitUpdateServerTime", "lastSG",
})  # fmt: skip
_WRAPPER = frozenset({"metadata", "meta", "patientData"})
_LONGEST_INT = 25


def _no_constant(_name: str) -> float:
    """NaN and Infinity are not JSON: no value anywhere, and said so where one was needed."""
    return float("inf")


def _bounded_int(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONGEST_INT else float("inf")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_CAREFUL_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_int=_bounded_int)


def patient_data(body: bytes) -> Mapping[str, Any] | None:
    """Patient data of an answer; None when it is an answer without data. Raises Malformed for anything else."""
    if not body.strip():
        return None
    document = _document(body)
    if not isinstance(document, dict):
        raise Malformed(
            f"This is JSON, but a {type(document).__name__} where an object belongs.", next_step=_NEXT_STEP
        )
    if "patientData" in document:
        inner = document["patientData"]
        return inner if isinstance(inner, dict) and inner else None
    if not _FLAT.isdisjoint(document):
        return document
    if document.keys() <= _WRAPPER:
        return None
    raise Malformed("This JSON object is not a CareLink data answer.", next_step=_NEXT_STEP)


def _document(body: bytes) -> Any:
    if len(body) > LARGEST_ANSWER:
        raise Malformed(f"The answer has {len(body)} bytes, more than any real one.", next_step=_NEXT_STEP)
    text = body.decode("utf-8", errors="replace").lstrip("\ufeff")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as why:
        raise Malformed(f"This is not JSON: {why.msg} at character {why.pos}.", next_step=_NEXT_STEP) from None
    except ValueError:
        return _with_huge_numbers(text)
    except RecursionError:
        raise Malformed("This JSON is nested deeper than any real answer.", next_step=_NEXT_STEP) from None


def _with_huge_numbers(text: str) -> Any:
    """The same, with whole numbers of thousands of digits (which Python refuses to read) as infinite."""
    try:
        return _CAREFUL_DECODER.decode(text)
    except (ValueError, RecursionError):
        raise Malformed("This is not JSON.", next_step=_NEXT_STEP) from None
