"""The first generation: a whole file's log becomes drafts of records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.model.capture import Capture
from bridge.model.records import Device, PumpSettings
from bridge.readers.carelink_csv.g1_basals import BASAL_TYPES, basal_drafts
from bridge.readers.carelink_csv.g1_boluses import BOLUS_TYPES, UNABSORBED, bolus_drafts, joined
from bridge.readers.carelink_csv.g1_events import PAIRED, clock_changes, guarded, meter_values
from bridge.readers.carelink_csv.g1_rows import CHANGES, G1Log, G1Row, read_log
from bridge.readers.carelink_csv.g1_settings import SettingsHistory, State, is_settings_row
from bridge.readers.carelink_csv.layout import Layout
from bridge.readers.carelink_csv.making import Draft, Findings, feed_of
from bridge.readers.carelink_csv.numbering import Numbering

IGNORED = frozenset({"ChangeTempBasalNoRate"})
"""Rows that say nothing which another row does not say better."""
_TOGETHER = frozenset({*BASAL_TYPES, *BOLUS_TYPES, *PAIRED, *CHANGES, *IGNORED, UNABSORBED})


def read_first(layout: Layout, capture: Capture, state: Mapping[str, Any], findings: Findings) -> _Said:
    """Drafts of all rows, and the settings to remember. Raises Malformed for dates or zones that leave doubt."""
    log = read_log(layout, capture.context, findings)
    drafts = [draft for row in log.rows if _stands_alone(row.kind) and (draft := guarded(row, findings))]
    drafts += meter_values((row for row in log.rows if row.kind in PAIRED), findings)
    drafts += clock_changes(log, findings)
    drafts += _boluses(log, findings)
    numbering = Numbering(state)
    for device, rows in _by_device(log).items():
        drafts += _of_pump(device, rows, capture, numbering, findings)
    _tell_ignored(log.rows, findings)
    return drafts, numbering.state()


_Said = tuple[list[Draft], Mapping[str, Any]]


def _stands_alone(kind: str) -> bool:
    return kind not in _TOGETHER and not is_settings_row(kind)


def _boluses(log: G1Log, findings: Findings) -> list[Draft]:
    groups = joined(row for row in log.all if row.kind in BOLUS_TYPES)
    return bolus_drafts(groups, (row for row in log.all if row.kind == UNABSORBED), findings)


def _by_device(log: G1Log) -> Mapping[Device, list[G1Row]]:
    found = defaultdict[tuple[str | None, str | None], list[G1Row]](list)
    for row in log.rows:
        found[row.device.model, row.device.serial].append(row)
    return {rows[0].device: rows for rows in found.values()}


def _of_pump(
    device: Device, rows: Sequence[G1Row], capture: Capture, numbering: Numbering, findings: Findings
) -> list[Draft]:
    """Settings, statuses and basals, which hang together."""
    history = SettingsHistory(rows, findings)
    states = history.states()
    drafts = [*history.statuses(), *_settings(states, feed_of(device, capture), numbering)]
    return drafts + basal_drafts(rows, states, findings)


def _settings(states: Sequence[State], feed: str, numbering: Numbering) -> list[Draft]:
    """One draft each time that other settings became current."""
    changed = [state for at, state in enumerate(states) if not at or states[at - 1].settings != state.settings]
    marks = [(state.settings.digest, state.moment.time, state.is_first) for state in changed]
    drafts = []
    for state, (content, n) in zip(changed, numbering.numbered(feed, marks), strict=True):
        row, notes = state.row, tuple({"code": code} for code in state.notes)
        key = f"{content}:{n}"
        drafts.append(Draft(PumpSettings, state.moment, row.device, key, state.settings.body(), row.line, notes))
    return drafts


def _tell_ignored(rows: Iterable[G1Row], findings: Findings) -> None:
    for kind, count in sorted(Counter(row.kind for row in rows if row.kind in IGNORED).items()):
        findings.note("row/ignored", f"{count} rows of type {kind} add nothing and were left out.")
