"""Which pages are asked for: nothing is lost, whatever happens in between."""

from __future__ import annotations

from random import Random

import pytest

from bridge.readers.medtronic_stick.shelf import GIVEN_UP_AFTER, Shelf


def test_first_read_is_everything_newest_first() -> None:
    assert Shelf().open(4, 36).wanted == [4, 3, 2, 1, 0]
    assert Shelf().open(100, 36).wanted == list(range(100, 64, -1))


def test_delta_is_the_difference_and_the_page_that_was_the_newest() -> None:
    assert Shelf(100).open(100, 36).wanted == [100]
    assert Shelf(100).open(103, 36).wanted == [103, 102, 101, 100]


def test_pages_that_fell_off_are_not_asked_for() -> None:
    assert Shelf(10, {3: 1}).open(100, 4).wanted == [100, 99, 98, 97]


def test_a_late_page_comes_with_its_newer_neighbour() -> None:
    assert Shelf(100, {90: 0}).open(100, 36).wanted == [100, 91, 90]


@pytest.mark.parametrize("upto", [None, 101])
def test_numbers_that_went_back_are_another_memory(upto: int | None) -> None:
    assert Shelf(upto, {2: 1}).open(3, 36).wanted == [3, 2, 1, 0]


def test_a_page_that_fails_is_missing_and_in_the_end_given_up() -> None:
    shelf = Shelf(3)
    for times in range(GIVEN_UP_AFTER):
        book = shelf.open(5, 36)
        assert 4 in book.wanted
        book.read |= {3, 5}
        book.failed.add(4)
        assert book.lost == ([4] if times == GIVEN_UP_AFTER - 1 else [])
        shelf = Shelf.restore(book.close().dump())
    assert shelf == Shelf(5, begun=True)


def test_no_such_page_ends_the_search_for_older_ones() -> None:
    book = Shelf().open(9, 10)
    book.read |= {9, 8}
    book.end_at(7)
    assert book.close() == Shelf(9, begun=True)


@pytest.mark.parametrize(
    "kept", [None, 3, {}, {"upto": None, "missing": {}}, {"upto": 3, "missing": [1]}, {"upto": "x"}]
)
def test_kept_state_that_is_none_reads_all(kept: object) -> None:
    assert Shelf.restore(kept) == Shelf()


def test_every_page_is_read_in_full_in_the_end() -> None:
    chance = Random(7)
    for _ in range(200):
        shelf, newest, full = Shelf(), chance.randint(0, 50), set[int]()
        oldest = max(newest - 35, 0)
        for _ in range(12):
            book = shelf.open(newest, 36)
            for number in book.wanted[: chance.randint(1, 20)]:
                book.read.add(number)
                full |= {number} if number < newest else set()
            if chance.random() < 0.3:
                newest += 1
                book.grow(newest)
            shelf = Shelf.restore(book.close().dump())
            newest += chance.choice((0, 0, 1, 3))
        book = shelf.open(newest, 36)
        full |= set(book.wanted)
        assert set(range(max(newest - 35, oldest), newest)) <= full
