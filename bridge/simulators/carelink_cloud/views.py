"""What the app would draw for each type of marker; the first marker of a type carries it."""

from __future__ import annotations

from typing import Any

View = dict[str, Any]


def _contents(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"type": kind, "resourceKey": key} for kind, key in pairs]


def _display(icon: str, position: int, *pairs: tuple[str, str]) -> View:
    return {"action": "DISPLAY", "contents": _contents(*pairs), "iconIdentifier": icon, "position": position}


def _click(icon: str, *pairs: tuple[str, str]) -> View:
    return {"action": "ONCLICK", "contents": _contents(*pairs), "iconIdentifier": icon, "position": -1}


def _unnamed() -> list[View]:
    title = ("TITLE", "TBD")
    return [
        {"viewType": "GRAPH", "items": [_display("TBD", -1), _click("TBD", title)]},
        {"viewType": "HISTORY", "items": [_display("TBD", -1, title)]},
    ]


def _clicked(key: str, shown: str, icon: str, position: int) -> list[View]:
    pairs = (("TITLE", key), ("DESCRIPTION", shown))
    return [{"viewType": "GRAPH", "items": [_display(icon, position), _click(icon, *pairs)]}]


VIEWS: dict[str, list[View]] = {
    "AUTO_MODE_STATUS": _unnamed(),
    "LOW_GLUCOSE_SUSPENDED": _unnamed(),
    "TIME_CHANGE": _unnamed(),
    "BG_READING": _unnamed(),
    "CALIBRATION": _unnamed(),
    "AUTO_BASAL_DELIVERY": [
        {"viewType": "GRAPH", "items": [_display("", 350)]},
        {"viewType": "HISTORY", "items": [{"position": -1}]},
    ],
    "MEAL": [
        *_clicked("$LS_Meal", "$LS_Grams", "icon_event_meal.png", 0),
        {
            "viewType": "HISTORY",
            "items": [_display("ongraph_status_snack@3x.png", -1, ("TITLE", "$LS_CarbsWithValue"))],
        },
    ],
    "INSULIN": _clicked("$LS_AutoCorrection", "$LS_Insulin_Units", "icon_event_medicine@2x.png", 999),
}
