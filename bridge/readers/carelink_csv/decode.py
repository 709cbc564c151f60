"""The pure decoder: the bytes of one export in, records out; and what a file holds, for a person."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.contracts import Decoded, Memory
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.readers.carelink_csv.g1 import read_first
from bridge.readers.carelink_csv.g2 import read_second
from bridge.readers.carelink_csv.layout import layout_of
from bridge.readers.carelink_csv.lines import lines_of
from bridge.readers.carelink_csv.making import Findings, make

_EMPTY = Health(State.NO_DATA, "The export holds no rows that could be read.")


def decode(capture: Capture, memory: Memory) -> Decoded:
    """Records of an export in order of time. Raises Malformed for what is not one; never another type.

    The capture's context: `timezone` (needed), `date_order` (`mdy`, `dmy`, `ymd`) and `unit` (`mg/dL`, `mmol/L`)
    where the file leaves them open.
    """
    layout = layout_of(lines_of(capture.body), capture.context)
    findings = Findings()
    state: Mapping[str, object] = memory.state
    if layout.generation == 1:
        drafts, state = read_first(layout, capture, memory.state, findings)
    else:
        drafts = read_second(layout, capture.context, findings)
    records = make(drafts, capture, findings)
    return Decoded(
        records,
        state=state,
        diagnostics=findings.told(),
        health=Health() if records else _EMPTY,
        understood=not findings.rejected,
    )
