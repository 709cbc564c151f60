"""`decode` and `map`: pure, no data folder, no network."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.errors import Malformed

if TYPE_CHECKING:
    from bridge.contracts import Decoded

STDIN = Path("-")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(decode)
    app.command("map")(map_records)


def decode(
    reader: Annotated[str, typer.Argument(help="Reader name, such as carelink-cloud.")],
    file: Annotated[Path, typer.Argument(help="Capture or payload file, - for standard input.")],
    profile: Annotated[str, typer.Option(help="Profile id the records get.")] = "default",
    now: Annotated[datetime | None, typer.Option(help="Instant of the read, where the file has none.")] = None,
    timezone: Annotated[str | None, typer.Option(help="IANA zone of the device's clock.")] = None,
    model: Annotated[str | None, typer.Option(help="Pump model of a lone page, such as 523.")] = None,
    glucose: Annotated[bool, typer.Option("--glucose", help="The lone page is a glucose page.")] = False,
) -> None:
    """Records of a capture, payload or page as JSON lines."""
    from bridge.contracts import Memory, Setup
    from bridge.engine.clock import SystemClock
    from bridge.engine.registry import reader_class
    from bridge.model import Capture

    plugin = reader_class(reader)
    made = plugin(Setup(profile, {}, SystemClock(), Random(0), timezone=timezone))  # noqa: S311
    taken = (now or datetime.now(UTC)).replace(tzinfo=UTC)
    said = {"timezone": timezone, "model": model, "glucose": "1" if glucose else None}
    context = {key: value for key, value in said.items() if value}
    show(made.decode(Capture(profile, reader, made.file_feed, taken, bytes_of(file), context), Memory()))


def show(decoded: Decoded) -> None:
    """Records on stdout, what was not understood on stderr."""
    from bridge.model import to_json

    for diagnostic in decoded.diagnostics:
        print(f"{diagnostic.code}: {diagnostic.text}", file=sys.stderr)
    if decoded.health.text:
        print(f"{decoded.health.state}: {decoded.health.text}", file=sys.stderr)
    out = sys.stdout.buffer
    for record in decoded.records:
        out.write(to_json(record) + b"\n")
    out.flush()


def map_records(
    destination: Annotated[str, typer.Argument(help="nightscout or tidepool.")],
    file: Annotated[Path, typer.Argument(help="Records as JSON lines, - for standard input.")] = STDIN,
    timezone: Annotated[str | None, typer.Option(help="IANA zone of the person.")] = None,
) -> None:
    """What records become at a destination, as JSON lines; what is not sent, and why, on stderr."""
    from adapters.stepping import fate_lines, map_lines
    from bridge.contracts import Setup
    from bridge.engine.clock import SystemClock
    from bridge.engine.registry import adapter_class
    from bridge.model.records import RECORDS, ValidationError

    plugin = adapter_class(destination)
    made = plugin(Setup("default", {}, SystemClock(), Random(0), timezone=timezone))  # noqa: S311
    records = []
    for number, line in enumerate(bytes_of(file).splitlines(), start=1):
        if line.strip():
            try:
                records.append(RECORDS.validate_json(line))
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(part) for part in first["loc"][1:]) or "line"
                raise Malformed(f"Line {number} is not a record: {where}: {first['msg']}.") from None
    desired = made.desired(records)
    for row in map_lines(desired):
        print(json.dumps(row, ensure_ascii=False))
    for text in fate_lines(desired):
        print(text, file=sys.stderr)


def bytes_of(file: Path) -> bytes:
    """A file's bytes, or standard input's. Raises Malformed when it cannot be read."""
    try:
        return sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
    except OSError as error:
        raise Malformed(f"{file} cannot be read: {error.strerror}.") from None
