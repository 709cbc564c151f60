"""The settings file: overrides, secrets from files, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import SettingsInvalid
from bridge.settings import FILE_NAME, load_settings

GOOD = """
installation = "abc123"
[profiles.p1]
name = "Robin"
timezone = "Europe/Helsinki"
[profiles.p1.readers.carelink-cloud]
credential = "p1-carelink-cloud"
region = "EU"
[profiles.p1.destinations.nightscout]
credential = "p1-nightscout"
url = "https://site.example"
"""


def _write(folder: Path, text: str = GOOD) -> Path:
    (folder / FILE_NAME).write_text(text, "utf-8")
    return folder


def test_a_table_keeps_the_plugin_s_own_keys(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path), {})
    table = settings.profiles["p1"].destinations["nightscout"]
    assert (table.credential, table.own) == ("p1-nightscout", {"url": "https://site.example"})


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environment = {
        "GLUCOBRIDGE__SERVICE__PORT": "9000",
        "GLUCOBRIDGE__PROFILES__P1__READERS__CARELINK_CLOUD__REGION": "US",
        "UNRELATED": "x",
    }
    settings = load_settings(_write(tmp_path), environment)
    assert settings.service.port == 9000
    assert settings.profiles["p1"].readers["carelink-cloud"].own["region"] == "US"


def test_a_secret_comes_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("invented-service-token\n")
    settings = load_settings(_write(tmp_path), {"GLUCOBRIDGE__SERVICE__TOKEN_FILE": str(secret)})
    assert settings.service.token is not None
    assert settings.service.token.get_secret_value() == "invented-service-token"
    assert "invented-service-token" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[service]\nprot = 1", ["service.prot", "`port`"]),
        ("[profiles.p1]\ntimzone = 'x'", ["profiles.p1.timzone", "`timezone`"]),
        ("[profiles.p1]\ntimezone = 'Mars/Base'", ["Mars/Base", "Europe/Helsinki"]),
        ("[service]\nport = 'many'", ["service.port"]),
        ("not toml", ["not valid TOML"]),
        ("colour = 1", ["unknown key `colour`", "Known here"]),
    ],
)
def test_errors_name_the_key_and_the_next_step(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(_write(tmp_path, text), {})
    for part in said:
        assert part in str(caught.value)


def test_without_a_file_init_is_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="glucobridge init"):
        load_settings(tmp_path, {})
