"""The recorded conversation with the real handlers, replayed in order against the simulator."""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp

from bridge.simulators.tidepool import TidepoolSim
from tests.simulators.tidepool.conftest import CAREGIVER, OWNER, VIEWER
from tests.support import vectors

TRANSCRIPTS = vectors.rows("tidepool", "http_transcripts.jsonl")
NAMES = "org.tidepool.deduplicator."
UNSEEN = {
    "<id-47>": {
        "dataSetType": "normal", "deviceId": "MMT-1780:NG0000001", "deviceManufacturers": ["Medtronic"],
        "deviceModel": "1780", "deviceSerialNumber": "NG0000001", "deviceTags": ["insulin-pump"],
        "client": {"name": "org.example.carelink-bridge", "version": "1.0.0"}, "timeProcessing": "none",
        "time": "2024-03-10T12:00:00Z", "timezone": "Europe/Helsinki",
        "deduplicator": {"name": NAMES + "device.deactivate.hash"},
    },
    "<id-57>": {"dataSetType": "continuous", "deduplicator": {"name": NAMES + "dataset.delete.origin.older"}},
    "<id-61>": {"dataSetType": "continuous", "deduplicator": {"name": NAMES + "dataset.drop.hash"}},
    "<id-64>": {"dataSetType": "continuous", "deduplicator": {"name": NAMES + "none"}},
}  # fmt: skip
"""Data sets that the recording made in calls which are not among its rows."""


class Replay:
    """Plays rows and binds the recording's placeholders to what this server answers."""

    def __init__(self, sim: TidepoolSim, base: str, http: aiohttp.ClientSession) -> None:
        self.base, self.http = base, http
        self.tokens = {user: sim.token(user) for user in (OWNER, CAREGIVER, VIEWER)}
        self.bound: dict[str, str] = {}

    async def play(self, row: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        request = row["request"]
        path = await self._path(request["path"])
        body = request["body"]
        data = None if body is None else body if isinstance(body, str) else json.dumps(body)
        headers = {**request["headers"], **self._auth(request["auth"])}
        async with self.http.request(request["method"], self.base + path, data=data, headers=headers) as answer:
            return answer.status, await answer.json(), dict(answer.headers)

    async def _path(self, path: str) -> str:
        for name in re.findall(r"<id-\d+>", path):
            if name not in self.bound:
                self.bound[name] = await self._create(UNSEEN[name])
            path = path.replace(name, self.bound[name])
        return path

    async def _create(self, body: dict[str, Any]) -> str:
        headers = {"X-Tidepool-Session-Token": self.tokens[OWNER]}
        address = f"{self.base}/v1/users/{OWNER}/data_sets"
        async with self.http.post(address, json=body, headers=headers) as answer:
            return str((await answer.json())["data"]["uploadId"])

    def _auth(self, auth: str) -> dict[str, str]:
        if auth == "none":
            return {}
        token = next(
            (token for user, token in self.tokens.items() if f"of {user}" in auth or f"owner {user}" in auth), auth
        )
        return (
            {"Authorization": f"Bearer {token}"} if auth.startswith("Bearer") else {"X-Tidepool-Session-Token": token}
        )

    def match(self, expected: Any, found: Any) -> bool:
        """Equal, with `<id-N>` and `<now>` bound; lists of errors in any order."""
        if isinstance(expected, dict):
            return (
                isinstance(found, dict)
                and expected.keys() == found.keys()
                and all(self.match(value, found[name]) for name, value in expected.items())
            )
        if isinstance(expected, list):
            return (
                isinstance(found, list)
                and len(expected) == len(found)
                and all(any(self.match(each, other) for other in found) for each in expected)
            )
        if isinstance(expected, str):
            return self._text(expected, found)
        return bool(expected == found)

    def _text(self, expected: str, found: Any) -> bool:
        if expected == "<now>":
            return isinstance(found, str) and found.endswith("Z")
        if re.fullmatch(r"<id-\d+>", expected) and expected not in self.bound:
            self.bound[expected] = found
        for name, value in self.bound.items():
            expected = expected.replace(name, value)
        return bool(expected == found)


async def test_the_whole_conversation(sim: TidepoolSim, base: str, http: aiohttp.ClientSession) -> None:
    replay = Replay(sim, base, http)
    for row in TRANSCRIPTS:
        status, body, headers = await replay.play(row)
        expected = row["response"]
        assert (row["name"], status) == (row["name"], expected["status"])
        assert replay.match(expected["body"], body), (row["name"], body)
        assert headers["Content-Type"] == expected["contentType"]
        assert ("X-Tidepool-Trace-Request" in headers) is expected["trace"]
    _check_what_is_left(sim, replay)


def _check_what_is_left(sim: TidepoolSim, replay: Replay) -> None:
    first = [each for each in sim.documents(OWNER) if each["uploadId"] == replay.bound["<id-1>"]]
    by_origin: dict[str, list[Any]] = {}
    for document in first:
        by_origin.setdefault(document.get("origin", {}).get("id", ""), []).append(document)
    assert [each["value"] for each in by_origin["o1"]] == [5.60626]
    assert [each["value"] for each in by_origin["o2"]] == [6.16133]
    assert len(by_origin["dup"]) == 2
    assert by_origin["w1"][0]["bolus"] == by_origin["w1b"][0]["id"]
    older = [each for each in sim.documents(OWNER) if each["uploadId"] == replay.bound["<id-57>"]]
    assert [each["normal"] for each in older] == [1]
    dropped = [each for each in sim.documents(OWNER) if each["uploadId"] == replay.bound["<id-61>"]]
    assert len(dropped) == 1
    normal = [each["uploadId"] for each in sim.documents(OWNER) if each["type"] == "bolus" and "origin" not in each]
    assert normal == [replay.bound["<id-47>"]]
