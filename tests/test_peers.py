"""The comparison with other bridges, on a small one that the test writes itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.peers.__main__ import compared
from benchmarks.peers.asked import Asked, Peer, filled, read
from benchmarks.peers.day import Count, count
from benchmarks.peers.measured import run
from bridge.errors import SettingsInvalid

BRIDGE = """
import datetime, json, os, sys, urllib.request

def ask(url, body, headers):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    return json.load(urllib.request.urlopen(request, timeout=20))

login = json.load(open("login.json"))
told = ask(
    os.environ["CARELINK"] + "/connect/carepartner/v13/display/message",
    {"username": login["username"], "role": "patient", "appVersion": "99.0.0"},
    {"Authorization": "Bearer " + login["token"]},
)
rows = [row for row in told["patientData"]["sgs"] if row.get("sg")]
left_out, twice = rows.pop(len(rows) // 2), rows[len(rows) // 3]
def entry(row, more_s=0):
    at = datetime.datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
    if at.tzinfo is None:
        from zoneinfo import ZoneInfo
        at = at.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    at += datetime.timedelta(seconds=more_s)
    return {"type": "sgv", "sgv": row["sg"], "date": at.timestamp() * 1000, "dateString": at.isoformat()}
entries = [entry(row) for row in rows] + [entry(twice, 61)]
ask(sys.argv[1] + "/api/v1/entries", entries, {"api-secret": os.environ["SECRET"]})
"""


async def test_what_a_bridge_leaves_out_or_tells_twice_is_counted(tmp_path: Path) -> None:
    script = tmp_path / "bridge.py"
    script.write_text(BRIDGE)
    small = Peer(
        name="small one",
        command=[sys.executable, str(script), "${nightscout}"],
        environment={"CARELINK": "${carelink}", "SECRET": "${api_secret_sha1}"},
        files={"login.json": '{"username": "${username}", "token": "${access_token}"}'},
        seconds=60,
    )
    ours, theirs = await compared(Asked(peers=[small]))
    assert [ours[0], theirs[0]] == ["glucobridge", "small one"]
    assert (ours[2].ended, theirs[2].ended) == (0, 0)
    for kind in ("glucose", "bolus", "carbs"):
        assert ours[1][kind].missing == ours[1][kind].extra == 0
        assert ours[1][kind].asked > 0
    glucose = theirs[1]["glucose"]
    assert (glucose.missing, glucose.extra) == (1, 1)
    assert theirs[1]["bolus"].delivered == 0
    for _, _, cost in (ours, theirs):
        assert cost.wall_s > cost.cpu_s > 0
        assert cost.peak_mb > 5


async def test_what_does_not_end_by_itself_is_ended_with_its_children(tmp_path: Path) -> None:
    child = "import time, pathlib; pathlib.Path('child').touch(); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    cost = await run(filled(Peer(name="x", command=[sys.executable, "-c", code]), {}), tmp_path, 1.5)
    assert cost.ended is None
    assert 1.5 <= cost.wall_s < 12
    assert (tmp_path / "child").exists()


def test_each_fact_takes_one_document() -> None:
    facts = [(1000.0, 100.0), (1300.0, 104.0), (1600.0, 110.0)]
    told = [(1000.0, 100.0), (1061.0, 100.0), (1301.0, 104.4), (1600.0, 150.0), (10.0, 90.0)]
    assert count(facts, told, (900.0, 1800.0), 1.0) == Count(asked=3, delivered=2, missing=1, extra=2)


def test_the_example_fits_and_what_does_not_is_named(tmp_path: Path) -> None:
    example = Path(__file__).parents[1] / "benchmarks" / "peers" / "example.toml"
    (peer,) = read(example).peers
    names = dict.fromkeys(
        ("carelink", "access_token", "refresh_token", "client_id", "token_url", "nightscout", "api_secret"), "filled"
    )
    start = filled(peer, names)
    assert "$" not in str(start)
    with pytest.raises(SettingsInvalid, match=r"asks for \$\{carelink\}"):
        filled(peer, {})
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[[peers]]\nname = "x"\ncommand = "one string"\n')
    with pytest.raises(SettingsInvalid, match=r"peers\.0\.command"):
        read(wrong)
