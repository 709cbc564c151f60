"""A person's walk through the commands, against simulators in processes of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bridge.simulators.__main__ import NIGHTSCOUT_SECRET
from tests.cli.test_commands import run

pytestmark = pytest.mark.timeout(400)
"""Some forty programs are started, one after the other."""


@contextmanager
def simulator(name: str) -> Iterator[str]:
    arguments = [sys.executable, "-m", "bridge.simulators", name]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(simulator(name)) for name in ("carelink", "nightscout")}


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _browser(url: str) -> str:
    """Where a browser ends after the simulated sign-in page has consented."""
    try:
        urllib.request.build_opener(_Stay).open(url)
    except urllib.error.HTTPError as answer:
        return str(answer.headers["location"])
    raise AssertionError("no redirect")


def _link_carelink(folder: Path, url: str) -> str:
    """As at a terminal: the address is printed, the person pastes where the browser ended."""
    arguments = [
        sys.executable, "-m", "bridge", "--data", str(folder), "link", "carelink", "--set",
        f"discovery_url={url}/connect/carepartner/v13/discover/android", "--answer", "region=EU",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GLUCOBRIDGE")}
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("browser\n")
        process.stdin.flush()
        said = ""
        for line in process.stdout:
            said += line
            if found := re.match(r"http\S+", line):
                process.stdin.write(_browser(found[0]) + "\n")
                process.stdin.flush()
        return said


def _looks_after_uploads(folder: Path, carelink: str) -> None:
    """With an upload table one cycle asks for an upload, and a person sees it."""
    settings = folder / "glucobridge.toml"
    (profile,) = tomllib.loads(settings.read_text())["profiles"]
    with settings.open("a") as file:
        file.write(
            f'\n[profiles.{profile}.upload]\ntransport = "observe"\nschedule = "5m"\nbase_url = "{carelink}"\n'
        )
    assert run(folder, "mirror", "--once").returncode == 0
    (upload,) = json.loads(run(folder, "uploads", "--json").stdout)
    assert [each["state"] for each in upload["timeline"]] == ["queued", "running", "transport_ok"]
    (shown,) = json.loads(run(folder, "status", "--json").stdout)["uploads"]
    assert shown["state"] == "transport_ok"
    assert shown["text"] == "observe, 5m, at least 60 min apart"
    assert b"transport_ok" in run(folder, "status").stdout


def test_from_init_to_unlink(tmp_path: Path, servers: dict[str, str]) -> None:
    folder = tmp_path / "data"
    assert run(folder, "init", "--name", "Robin", "--timezone", "Europe/Berlin").returncode == 0
    assert "is read" in _link_carelink(folder, servers["carelink"])
    linked = run(
        folder,
        "link",
        "nightscout",
        "--answer",
        f"url={servers['nightscout']}",
        "--answer",
        f"credential={NIGHTSCOUT_SECRET}",
    )
    assert linked.returncode == 0, linked.stderr
    held = run(folder, "credentials").stdout.decode()
    assert "carelink" in held
    assert NIGHTSCOUT_SECRET not in (folder / "glucobridge.toml").read_text() + held
    assert run(folder, "doctor").stdout == b"Everything answers.\n"
    mirrored = run(folder, "mirror", "--once")
    assert mirrored.returncode == 0, mirrored.stderr
    status = json.loads(run(folder, "status", "--json").stdout)
    assert [row["state"] for row in status["readers"] + status["destinations"]] == ["ok", "ok"]
    assert status["destinations"][0]["counts"]["accepted"] > 300
    assert b"nightscout" in run(folder, "status").stdout
    verified = run(folder, "verify", "--json")
    assert verified.returncode == 0
    assert json.loads(verified.stdout)[0]["missing"] == 0
    assert run(folder, "quarantine", "list").stdout == b"Nothing is in quarantine.\n"
    assert run(folder, "quarantine", "retry").returncode == 0
    again = run(folder, "mirror", "--once")
    assert (again.returncode, b"0 pending" in again.stderr) == (0, True)
    _looks_after_uploads(folder, servers["carelink"])
    assert run(folder, "backup", str(tmp_path / "b.tgz")).returncode == 0
    assert b"Admin Tools" in run(folder, "unlink", "nightscout").stdout
    assert run(folder, "unlink", "carelink").returncode == 0
    assert "nightscout]" not in (folder / "glucobridge.toml").read_text()
    assert 'name = "Robin"' in (folder / "glucobridge.toml").read_text()
    other = tmp_path / "other"
    other.mkdir()
    (other / "vault.key").write_bytes((folder / "vault.key").read_bytes())
    (other / "vault.key").chmod(0o600)
    restored = run(other, "restore", str(tmp_path / "b.tgz"))
    assert b"needs a new login" in restored.stdout, restored.stderr
    refused = run(other, "mirror", "--once")
    assert refused.returncode == 4
    assert b"Link" in refused.stderr


def test_the_demo_ends_by_itself_with_a_summary(tmp_path: Path) -> None:
    shown = run(tmp_path, "demo", "--minutes", "0.1")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert b"Everything that was read has arrived." in shown.stdout
    assert b"mg/dL" in shown.stdout
    assert shown.stderr == b""
