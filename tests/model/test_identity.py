"""An id is the UUIDv5 of its four parts, whatever is in them."""

from __future__ import annotations

from unicodedata import normalize
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from bridge.model.identity import NAMESPACE, record_id, second_id

PART = st.text(max_size=40).filter(lambda text: not any("\ud800" <= sign <= "\udfff" for sign in text))


def escaped(text: str) -> str:
    return normalize("NFC", text).replace("%", "%25").replace("|", "%7C")


@given(PART, PART, PART, PART)
def test_it_is_what_the_library_says(profile: str, feed: str, kind: str, key: str) -> None:
    found = record_id(profile, feed, kind, key)
    assert found == str(uuid5(NAMESPACE, "|".join(map(escaped, (profile, feed, kind, key)))))
    assert UUID(found).version == 5
    assert second_id(found, "zero") == str(uuid5(NAMESPACE, f"{found}|zero"))


def test_no_mark_moves_from_one_part_to_another() -> None:
    assert record_id("a|b", "c", "d", "e") != record_id("a", "b|c", "d", "e")
    assert record_id("a%7C", "c", "d", "e") != record_id("a|", "c", "d", "e")


def test_two_spellings_of_one_letter_are_one() -> None:
    assert record_id("p", "f", "k", "\u00e9") == record_id("p", "f", "k", "e\u0301")
