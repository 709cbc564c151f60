"""Units as types: guarded ranges and roundings, refused loudly outside them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

MGDL_PER_MMOL = 18.01559
"""Of glucose: mg/dL in one mmol/L."""


def _rounded(digits: int) -> AfterValidator:
    return AfterValidator(lambda value: round(value, digits))


MgDl = Annotated[int, Field(ge=10, le=1000, strict=False)]
"""Glucose, mg/dL, whole."""
MgDlPerMin = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
"""Glucose rate, mg/dL per minute."""
MmolL = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False), _rounded(1)]
"""Ketones, mmol/L, one decimal."""
Units = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False), _rounded(3)]
"""Insulin, U, three decimals."""
SignedUnits = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False), _rounded(3)]
"""Insulin that may be negative (a recommended correction, IOB), U."""
UnitsPerHour = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), _rounded(3)]
"""Basal rate, U/h, three decimals."""
Grams = Annotated[float, Field(ge=0, le=5000, allow_inf_nan=False), _rounded(1)]
"""Carbohydrates, g, one decimal."""
PositiveGrams = Annotated[float, Field(gt=0, le=5000, allow_inf_nan=False), _rounded(1)]
"""Carbohydrates that were eaten, g."""
Exchanges = Annotated[float, Field(ge=0, le=500, allow_inf_nan=False), _rounded(3)]
"""Carbohydrate exchanges."""
Minutes = Annotated[float, Field(ge=0, le=60 * 24 * 366, allow_inf_nan=False)]
"""A span, minutes."""
MinuteOfDay = Annotated[int, Field(ge=0, lt=24 * 60)]
"""Start of a schedule entry, minutes after midnight on the device's clock."""
Percent = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
"""Percent; of a basal: percent of the schedule (50 = half)."""
Charge = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
"""Battery or reservoir level, percent."""
Volts = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]
"""Battery voltage, V."""
NanoAmperes = Annotated[float, Field(ge=-1000, le=10000, allow_inf_nan=False)]
"""Sensor current, nA."""
GramsPerUnit = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
"""Carb ratio, g/U."""
MgDlPerUnit = Annotated[float, Field(gt=0, le=2000, allow_inf_nan=False)]
"""ISF, mg/dL per U."""
TargetMgDl = Annotated[float, Field(ge=10, le=1000, allow_inf_nan=False)]
"""A target, mg/dL."""
OffsetMinutes = Annotated[int, Field(ge=-24 * 60, le=24 * 60)]
"""UTC offset, minutes, east positive."""
