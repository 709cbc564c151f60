"""The handshake and the sealed frames against the shared vectors; all keys are synthetic."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import BridgeError, Malformed, SettingsInvalid, Transient, Unauthorised
from bridge.readers.minimed_ble import keys
from bridge.readers.minimed_ble.frames import Direction, Opener, Sealer, SessionKey
from bridge.readers.minimed_ble.handshake import KICKOFF, Handshake, Step
from bridge.readers.minimed_ble.keys import DeviceType
from bridge.simulators.ble.sake import Client
from tests.support import vectors

TOLD: dict[str, Any] = vectors.document("ble-and-contour", "sake_synthetic.json")
MESSAGES = [bytes.fromhex(row["hex"]) for row in TOLD["handshake"]]
SESSION = SessionKey(bytes.fromhex(TOLD["session_key_hex"]), bytes.fromhex(TOLD["session_nonce_hex"]))
SERVER, CLIENT = bytes.fromhex(TOLD["server_key_db_hex"]), bytes.fromhex(TOLD["client_key_db_hex"])
WAYS = {"server": Direction.SERVER_TO_CLIENT, "client": Direction.CLIENT_TO_SERVER}


def direction(row: dict[str, Any]) -> Direction:
    return WAYS[row["direction"].split("->")[0]]


class Told:
    """The random bytes that were drawn when the vector was made."""

    def __init__(self) -> None:
        last = Opener(SESSION, Direction.SERVER_TO_CLIENT).open(MESSAGES[4])[-1:]
        self.left = [MESSAGES[0][2:], MESSAGES[2][8:16], MESSAGES[2][16:], last]

    def __call__(self, size: int) -> bytes:
        drawn = self.left.pop(0)
        assert len(drawn) == size
        return drawn


def ended() -> Handshake:
    handshake = Handshake(keys.parse(SERVER), random=Told())
    assert bytes.fromhex(TOLD["kickoff_hex"]) == KICKOFF
    for received, sent in zip((KICKOFF, MESSAGES[1], MESSAGES[3]), MESSAGES[::2], strict=True):
        assert handshake.session is None
        assert handshake.feed(received) == sent
    assert handshake.feed(MESSAGES[5]) is None
    return handshake


def test_the_told_handshake() -> None:
    handshake = ended()
    assert handshake.step is Step.DONE
    assert [row["dir"].split("->")[0] for row in TOLD["handshake"]] == ["server", "client"] * 3
    assert [row["n"] for row in TOLD["handshake"]] == list(range(6))
    session = handshake.session
    assert session is not None
    sealer, opener = session
    assert sealer.seal(bytes.fromhex(TOLD["data_frames"][0]["plaintext_hex"])).hex() == "7e2b01624d"
    frame = TOLD["data_frames"][1]
    assert opener.open(bytes.fromhex(frame["wire_hex"])).hex() == frame["plaintext_hex"]
    with pytest.raises(Malformed):
        handshake.feed(KICKOFF)


@pytest.mark.parametrize("row", TOLD["data_frames"], ids=lambda row: f"{row['direction'][0]}{row['counter']}")
def test_frames(row: dict[str, Any]) -> None:
    plain, wire = bytes.fromhex(row["plaintext_hex"]), bytes.fromhex(row["wire_hex"])
    way, counter = direction(row), row["counter"]
    assert Sealer(SESSION, way, counter).seal(plain) == wire
    opener = Opener(SESSION, way, counter)
    assert opener.open(wire) == plain
    assert opener.expected == counter + 1


def test_a_wrong_tag_does_not_move_the_counter_and_the_third_ends_the_link() -> None:
    row = TOLD["tampered"]
    assert row["expect"] == "mac error"
    opener = Opener(SESSION, direction(row), row["expected_counter"])
    for _ in range(2):
        with pytest.raises(Malformed, match="seal"):
            opener.open(bytes.fromhex(row["wire_hex"]))
    assert opener.expected == row["expected_counter"]
    with pytest.raises(Transient, match="out of step") as told:
        opener.open(bytes.fromhex(row["wire_hex"]))
    assert told.value.state == "incomplete"


def test_a_good_frame_between_wrong_ones_forgives_them() -> None:
    opener, sealer = Opener(SESSION, Direction.CLIENT_TO_SERVER, 7), Sealer(SESSION, Direction.CLIENT_TO_SERVER, 7)
    for _ in range(5):
        for _ in range(2):
            with pytest.raises(Malformed):
                opener.open(b"\0\0\0\0")
        assert opener.open(sealer.seal(b"x")) == b"x"


def test_lost_frames_are_bridged() -> None:
    row = TOLD["skipped_frames"]
    opener = Opener(SESSION, Direction.CLIENT_TO_SERVER, 1)
    assert opener.open(bytes.fromhex(row["wire_hex"])).hex() == row["plaintext_hex"]
    assert opener.expected == 6


@pytest.mark.parametrize(("lost", "bridged"), [(1, True), (255, True), (256, False), (300, False)])
def test_how_many_may_be_lost(lost: int, bridged: bool) -> None:
    opener, sealer = Opener(SESSION, Direction.CLIENT_TO_SERVER, 1), Sealer(SESSION, Direction.CLIENT_TO_SERVER, 1)
    for _ in range(lost):
        sealer.seal(b"lost")
    if bridged:
        assert opener.open(sealer.seal(b"here")) == b"here"
        return
    for expected in (Malformed, Malformed, Transient):
        with pytest.raises(expected):
            opener.open(sealer.seal(b"here"))


def fed(handshake: Handshake, messages: list[bytes]) -> None:
    for message in messages:
        handshake.feed(message)


@pytest.mark.parametrize("step", [1, 3, 5])
@pytest.mark.parametrize("at", [0, 8])
def test_a_forged_message_ends_the_handshake(step: int, at: int) -> None:
    handshake = Handshake(keys.parse(SERVER), random=Told())
    messages = [KICKOFF, *MESSAGES[1::2]]
    forged = bytearray(messages[(step + 1) // 2])
    forged[at] ^= 1
    messages[(step + 1) // 2] = bytes(forged)
    changes_nothing = step == 3 and at == 8
    if changes_nothing:
        fed(handshake, messages)
        assert handshake.session is not None
        return
    with pytest.raises(Unauthorised):
        fed(handshake, messages)
    assert handshake.session is None
    with pytest.raises(Malformed):
        handshake.feed(KICKOFF)


def test_another_type_of_device_is_refused_by_its_permit() -> None:
    """The right keys, but the permit says that it is no pump."""
    database = bytearray(keys.parse(CLIENT).shared_with(DeviceType.MOBILE).payload)
    client = Client(CLIENT)
    client.payload = bytes(reversed(database))
    handshake = Handshake(keys.parse(SERVER))
    with pytest.raises(Unauthorised) as told:
        run(handshake, client)
    assert told.value.state == "not_linked"


def run(handshake: Handshake, client: Client) -> None:
    answer: bytes | None = KICKOFF
    while answer is not None:
        said = client.feed(answer)
        answer = None if said is None else handshake.feed(said)


def test_fresh_sessions_with_the_virtual_pump() -> None:
    handshake, client = Handshake(keys.parse(SERVER)), Client(CLIENT)
    run(handshake, client)
    session = handshake.session
    assert session is not None
    for count in range(600):
        sent = count.to_bytes(2, "big") * 5
        assert client.open(session[0].seal(sent)) == sent
        assert session[1].open(client.seal(sent)) == sent


@pytest.mark.parametrize("message", [b"", bytes(19), bytes(21), b"\1" * 20])
def test_what_is_no_handshake(message: bytes) -> None:
    with pytest.raises(Malformed):
        Handshake(keys.parse(SERVER)).feed(message)


def test_no_key_in_any_text() -> None:
    database, handshake = keys.parse(SERVER), ended()
    secret = [bytes(SERVER[7 + 16 * n : 23 + 16 * n]) for n in range(5)] + [SESSION.key, SESSION.nonce]
    said = [repr(database), repr(database.shared_with(1)), str(handshake.__dict__), repr(SESSION)]
    for handle in (Handshake(keys.parse(SERVER), random=Told()),):
        handle.feed(KICKOFF)
        try:
            handle.feed(MESSAGES[3])
        except BridgeError as error:
            said.append(repr(error) + str(error) + str(error.__dict__))
    for text in said:
        for key in secret:
            assert key.hex() not in text.lower()
            assert repr(key)[2:-1] not in text


def test_no_keys_for_that_type() -> None:
    with pytest.raises(SettingsInvalid):
        keys.parse(SERVER).shared_with(DeviceType.SENSOR)
