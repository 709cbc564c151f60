"""Bytes of an export become lines, lines become cells. A broken quote harms its own line only."""

from __future__ import annotations

import codecs
import csv

from bridge.errors import Malformed

MOST_BYTES = 25 * 1024 * 1024
MOST_ROWS = 1_000_000
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SMALLER = "Export a shorter range from CareLink and import the parts one by one."


def lines_of(body: bytes) -> list[str]:
    """The lines of an export in any encoding met so far. Raises Malformed for other bytes and for too many."""
    return text_of(body).split("\n")


def text_of(body: bytes) -> str:
    """The text of an export, its lines ended by line feeds alone. Raises Malformed as `lines_of`."""
    if len(body) > MOST_BYTES:
        raise Malformed("The file is larger than 25 MB.", next_step=_SMALLER)
    text = _decoded(body)
    if "\0" in text:
        raise Malformed("This is not a text file.", next_step="Choose the CSV file that CareLink exported.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\n") >= MOST_ROWS:
        raise Malformed("The file has more than a million rows.", next_step=_SMALLER)
    return text


def _decoded(body: bytes) -> str:
    """UTF-8 with or without its mark, UTF-16 with one, else the code page of western Windows."""
    try:
        if body.startswith(_UTF16):
            return body.decode("utf-16")
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")


def cells_of(line: str, delimiter: str) -> list[str]:
    """The cells of a line, quotes taken off. Raises Malformed when a quote does not close."""
    if '"' not in line:
        return line.split(delimiter)
    if line.count('"') % 2:
        raise Malformed("a quotation mark is not closed")
    try:
        return next(csv.reader((line,), delimiter=delimiter))
    except csv.Error:
        raise Malformed("the line cannot be split into cells") from None
