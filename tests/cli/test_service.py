"""The unit and the agent that `service install` writes, and the examples in docs/scheduling."""

from __future__ import annotations

import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.main import get_command

from bridge.cli.app import app
from bridge.cli.service import launchd, systemd
from tests.cli.test_commands import run

ANALYZE = shutil.which("systemd-analyze")
EXAMPLES = Path(__file__).parents[2] / "docs" / "scheduling"
COMMAND = ["/opt/a b/python", "-m", "bridge", "--data", '/home/ro"b%in/$data', "run"]


def test_systemd_reads_the_words_as_they_are() -> None:
    unit = systemd(COMMAND, Path("/home/robin"))
    assert unit.path == Path("/home/robin/.config/systemd/user/glucobridge.service")
    assert 'ExecStart="/opt/a b/python" "-m" "bridge" "--data" "/home/ro\\"b%%in/$$data" "run"' in unit.text
    assert "Restart=always" in unit.text


def test_launchd_reads_the_words_as_they_are() -> None:
    agent = launchd(COMMAND, Path("/Users/robin"))
    assert agent.path == Path("/Users/robin/Library/LaunchAgents/org.glucobridge.run.plist")
    body = plistlib.loads(agent.text.encode())
    assert body["ProgramArguments"] == COMMAND
    assert body["KeepAlive"] is True


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="writes the unit of this system: Linux only")
def test_install_writes_for_this_user_and_remove_takes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "data"
    assert run(folder, "service", "install").returncode == 2, "there are no settings yet"
    assert run(folder, "init", "--timezone", "Europe/Berlin").returncode == 0
    shown = run(folder, "service", "install", "--print").stdout.decode()
    assert run(folder, "service", "install").returncode == 0
    (file,) = (tmp_path / "home").rglob("glucobridge.service")
    assert file.read_text() == shown
    assert f'"{folder}"' in shown
    assert run(folder, "service", "remove").returncode == 0
    assert not file.exists()
    assert run(folder, "service", "remove").returncode == 2


# --- examples --------------------------------------------------------------------------------------


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """(file, arguments) of every command that an example runs."""
    for path in sorted(EXAMPLES.glob("*.service")):
        for line in path.read_text().splitlines():
            if line.startswith("ExecStart=/home"):
                yield path.name, shlex.split(line.removeprefix("ExecStart="))[1:]
    for path in sorted(EXAMPLES.glob("*.plist")):
        yield path.name, plistlib.loads(path.read_bytes())["ProgramArguments"][1:]
    for path in sorted(EXAMPLES.glob("*.xml")):
        (arguments,) = ET.parse(path).findall(".//{*}Arguments")  # noqa: S314 - a file of our own
        yield path.name, shlex.split(arguments.text or "")
    for line in (EXAMPLES / "crontab").read_text().splitlines():
        if "bin/glucobridge" in line:
            yield "crontab", shlex.split(line.partition("bin/glucobridge ")[2].partition(" 2>>")[0].partition(">")[0])


def test_there_is_an_example_for_every_system() -> None:
    assert {Path(name).suffix for name, _ in command_lines()} == {".service", ".plist", ".xml", ""}


@pytest.mark.parametrize(("name", "words"), list(command_lines()))
def test_every_example_runs_a_command_that_exists(name: str, words: list[str]) -> None:
    group = get_command(app)
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:], resilient_parsing=False, obj=None)


def test_every_example_is_named_in_the_page_and_the_other_way_round() -> None:
    page = (EXAMPLES / "README.md").read_text()
    files = {path.name for path in EXAMPLES.iterdir()} - {"README.md"}
    missing = {name for name in files if f"({name})" not in page}
    assert not missing
    linked = {part.partition(")")[0] for part in page.split("](")[1:]}
    assert {name for name in linked if name not in files} <= set()


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_examples_and_the_written_unit(tmp_path: Path) -> None:
    """The commands are replaced by one that is there: systemd refuses a unit whose program is missing."""
    for path in [*EXAMPLES.glob("*.service"), *EXAMPLES.glob("*.timer")]:
        text = path.read_text().replace("/home/robin/.local/bin/glucobridge", sys.executable)
        (tmp_path / path.name).write_text(text)
    written = systemd([sys.executable, "-m", "bridge", "--data", "/data/a b", "run"], tmp_path)
    (tmp_path / written.path.name).write_text(written.text)
    units = [str(path) for path in sorted(tmp_path.iterdir()) if path.is_file()]
    surroundings = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)}
    checked = subprocess.run(
        [str(ANALYZE), "verify", "--user", "--man=no", *units], capture_output=True, text=True, check=False,
        env={**surroundings, "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip
    ours = [line for line in checked.stderr.splitlines() if "glucobridge" in line]
    assert not ours, checked.stderr
