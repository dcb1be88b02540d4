"""Locks by key."""

from __future__ import annotations

import threading

from mooring.attach.locks import KeyedLocks


def test_one_key_is_held_by_one_thread_at_a_time_and_others_are_free() -> None:
    locks = KeyedLocks()
    entered = threading.Event()

    def wait_for(key: str) -> None:
        with locks.holding(key):
            entered.set()

    with locks.holding("card 1"):
        same = threading.Thread(target=wait_for, args=("card 1",))
        other = threading.Thread(target=wait_for, args=("card 2",))
        other.start()
        other.join()
        assert entered.is_set()
        entered.clear()
        same.start()
        assert not entered.is_set()
    same.join()

    assert entered.is_set()


def test_a_thread_may_hold_its_key_again() -> None:
    locks = KeyedLocks()

    with locks.holding("card"), locks.holding("card"):
        assert len(locks) == 1


def test_nothing_is_kept_of_keys_that_nobody_holds() -> None:
    locks = KeyedLocks()

    for number in range(100):
        with locks.holding(f"attachment {number}"):
            pass

    assert len(locks) == 0
