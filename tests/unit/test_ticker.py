"""One clock for all watchers: it runs while it has members, and ticks each of them."""

from __future__ import annotations

import threading

from tests.lab.waiting import SOON, until
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.ticker import Ticker

TICK = 0.01


class Member:
    def __init__(self) -> None:
        self.dues: list[float] = []
        self.threads: set[int] = set()
        self.thrice = threading.Event()

    def tick(self, due: float) -> None:
        self.dues.append(due)
        self.threads.add(threading.get_ident())
        if len(self.dues) >= 3:
            self.thrice.set()


def tickers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "ticker"]


def test_all_members_are_ticked_by_one_thread_that_ends_with_the_last() -> None:
    ticker, one, two = Ticker(SystemClock(), TICK), Member(), Member()
    ticker.add(one)
    ticker.add(two)
    assert one.thrice.wait(SOON)
    assert two.thrice.wait(SOON)
    assert one.threads == two.threads
    assert len(one.threads) == 1
    ticker.remove(one)
    ticker.remove(one)
    until(lambda: len(two.dues) >= len(one.dues) + 3, "only the other one is ticked")
    ticker.remove(two)
    until(lambda: not tickers(), "its thread ended")


def test_it_begins_anew_after_its_end() -> None:
    ticker, one = Ticker(SystemClock(), TICK), Member()
    ticker.add(Member())
    ticker.remove(one)  # not a member
    assert tickers()
    for member in tuple(ticker._members):
        ticker.remove(member)
    ticker.add(one)
    assert one.thrice.wait(SOON)
    ticker.remove(one)
    until(lambda: not tickers(), "its thread ended")


def test_a_tick_says_when_it_should_have_been() -> None:
    clock, ticker, one = SystemClock(), Ticker(SystemClock(), TICK), Member()
    begun = clock.run()
    ticker.add(one)
    assert one.thrice.wait(SOON)
    ticker.remove(one)
    until(lambda: not tickers(), "its thread ended")
    assert begun + TICK <= one.dues[0]
    assert all(
        later - sooner >= TICK for sooner, later in zip(one.dues, one.dues[1:], strict=False)
    )
    assert one.dues[-1] <= clock.run()
