"""Takes persons out of an export before its bytes are kept: names, birth date and patient number stand above the
tables. Line numbers stay, and what is left decodes to the same records.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bridge.errors import Malformed
from bridge.readers.carelink_csv.layout import FIRST_LINE, split_preamble
from bridge.readers.carelink_csv.lines import lines_of

_KEPT_AFTER = ("Device", "Serial Number", "CGM", "Hardware Version", "Firmware Version", "Software Version")
_KEPT_LINES = ("Report Range", "Data Range", "Data Exported on", "DEVICE INFO", "PATIENT INFO")
_KEPT_STARTS = (FIRST_LINE, "DEVICE DATA (")


def redact(body: bytes) -> bytes:
    """The export without persons, as UTF-8; empty for bytes that are no export. Never raises."""
    try:
        lines = lines_of(body)
        delimiter, preamble = split_preamble(lines)
    except Malformed:
        return b""
    cleaned = [_written(_clean(cells), delimiter) for cells in preamble]
    return "\n".join([*cleaned, *lines[len(preamble) :]]).encode(errors="replace")


def _clean(cells: Sequence[str]) -> list[str]:
    first = cells[0].strip()
    is_device = first.endswith(":") and len(cells) > 2 and cells[2].strip().startswith("#")
    if first in _KEPT_LINES or first.startswith(_KEPT_STARTS) or is_device:
        return list(cells)
    kept = [""] * len(cells)
    for at, cell in enumerate(cells[:-1]):
        if cell.strip() in _KEPT_AFTER:
            kept[at : at + 2] = cells[at : at + 2]
    return kept


def _written(cells: Sequence[str], delimiter: str) -> str:
    if not any(cells):
        return ""
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(cells)
    return line.getvalue()
