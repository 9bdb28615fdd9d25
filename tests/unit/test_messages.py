"""What a message says, and the lines that wait for it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence

import pytest

from watchdogd.core.notices import News, Notice, Told
from watchdogd.core.words import Cause, Remedy
from watchdogd.ports import Left, Posted, Reached
from watchdogd.sinks.messages import MOST_BYTES, line, message
from watchdogd.sinks.outgoing import MOST_LINES, Outgoing

WALL = 1_800_000_000.0


def notice(news: News, incident: str = "i", **fields: object) -> Notice:
    made = {"key": f"{incident}:{news}", "wall": WALL, "cause": Cause.SSHD_DOWN, "seconds": 130.0}
    return Notice(news=news, incident=incident, **{**made, **fields})  # type: ignore[arg-type] # named as the fields


class Disk:
    """Implements ``ports.Outbox`` in memory; fails as told."""

    def __init__(self) -> None:
        self.kept = Left()
        self.broken = False

    def left(self) -> Left:
        self.check()
        return self.kept

    def post(self, told: Mapping[str, Told], lines: Sequence[Posted], oldest: int) -> None:
        self.check()
        keys = {one.key for one in self.kept.lines}
        fresh = [one for one in lines if one.key not in keys]
        rows = tuple(one for one in (*self.kept.lines, *fresh) if one.seq >= oldest)
        self.kept = Left(told={**self.kept.told, **told}, lines=rows, reached=self.kept.reached)

    def reach(self, reached: Mapping[str, Reached]) -> None:
        self.check()
        self.kept = Left(told=self.kept.told, lines=self.kept.lines, reached=dict(reached))

    def check(self) -> None:
        if self.broken:
            raise OSError(errno.ENOSPC, "No space left on device")


def out(disk: Disk, *names: str) -> Outgoing:
    made = Outgoing(disk, lambda text: text.replace("t0ken", "***"))
    made.recall()
    made.use(names, anew=False)
    return made


def texts(outgoing: Outgoing, name: str) -> list[str]:
    return [one.text for one in outgoing.waiting(name)[0]]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (notice(News.OPENED, detail="refused"), "a is not usable for 2m 10s: sshd_down (refused)"),
        (notice(News.INTENDED, remedy=Remedy.RESTART_CONTAINER), "a: restart_container begins now: sshd_down"),
        (notice(News.OUTCOME, remedy=Remedy.RESTART_CONTAINER, cause=None, good=True),
         "a: restart_container worked: healthy again"),
        (notice(News.OUTCOME, remedy=Remedy.RESTART_CONTAINER, cause=None, good=False),
         "a: restart_container did not bring health"),
        (notice(News.PERSON, mend="do it"), "a needs a person: sshd_down. To mend it: do it"),
        (notice(News.PERSON, remedy=Remedy.RESTART_CONTAINER),
         "a needs a person: sshd_down; restart_container is not done without one. More: watchdogd status a"),
        (notice(News.REMINDER), "a is still in trouble, for 2m 10s: sshd_down"),
        (notice(News.RESOLVED), "a is well again: trouble for 2m 10s: sshd_down"),
    ],
)  # fmt: skip
def test_each_kind_says_what_is_wrong(made: Notice, said: str) -> None:
    assert line("a", made) == said


def test_hostile_text_is_one_short_line() -> None:
    text = line("a", notice(News.OPENED, detail="x\ny\x1b[31m" + "z" * 5000))
    assert text.isprintable()
    assert len(text) < 300


def test_one_line_is_its_own_title_and_several_are_counted() -> None:
    outgoing = out(Disk(), "x")
    outgoing.post("a", Told(), [notice(News.OPENED)])
    title, body = message(*outgoing.waiting("x"))
    assert title == "watchdogd: a is not usable for 2m 10s: sshd_down"
    assert body == "01-15 08:00 UTC  a is not usable for 2m 10s: sshd_down"
    outgoing.post("b", Told(), [notice(News.OPENED, "j")])
    assert message(*outgoing.waiting("x"))[0] == "watchdogd: 2 messages"


def test_an_outage_that_is_over_is_one_line_and_what_was_done_in_it() -> None:
    outgoing = out(Disk(), "x")
    remedy = Remedy.RESTART_CONTAINER
    for news in (News.OPENED, News.PERSON, News.INTENDED, News.REMINDER, News.RESOLVED):
        outgoing.post("a", Told(), [notice(news, remedy=remedy)])
    outgoing.post("b", Told(), [notice(News.OPENED, "j")])
    body = message(*outgoing.waiting("x"))[1]
    told = [one.partition("  ")[2].split(":")[0] for one in body.splitlines()]
    assert told == ["a", "a is well again", "b is not usable for 2m 10s"]


def test_a_backlog_is_cut_at_its_old_end_and_counted() -> None:
    outgoing = out(Disk(), "x", "quick")
    for number in range(MOST_LINES + 30):
        outgoing.post("a", Told(), [notice(News.OPENED, f"i{number}", detail=str(number))])
    lines, missed = outgoing.waiting("x")
    assert (len(lines), missed) == (MOST_LINES, 30)
    body = message(lines, missed)[1]
    assert len(body.encode()) < MOST_BYTES + 200
    first, *rest = body.splitlines()
    assert first == f"{MOST_LINES + 30 - len(rest)} earlier messages are left out"
    assert f"({MOST_LINES + 29})" in rest[-1]
    outgoing.reach("x", lines[-1].seq)
    assert outgoing.waiting("x") == ((), 0)
    assert outgoing.waiting("quick")[1] == 30


def test_killed_before_it_was_marked_it_is_told_again_and_once_marked_not() -> None:
    disk = Disk()
    first = out(disk, "x", "y")
    first.post("a", Told(incident="i"), [notice(News.OPENED)])
    second = out(disk, "x", "y")
    assert len(texts(second, "x")) == 1
    second.reach("x", second.waiting("x")[0][-1].seq)
    third = out(disk, "x", "y")
    assert texts(third, "x") == []
    assert len(texts(third, "y")) == 1
    assert Outgoing(disk, str).recall() == {"a": Told(incident="i")}


def test_a_new_destination_gets_what_the_agent_decided_and_a_later_one_only_what_follows() -> None:
    outgoing = Outgoing(Disk(), str)
    outgoing.recall()
    outgoing.post("a", Told(), [notice(News.OPENED)])  # before the addresses could be read
    outgoing.use(["x"], anew=False)
    assert len(texts(outgoing, "x")) == 1
    outgoing.use(["x", "late"], anew=True)
    assert texts(outgoing, "late") == []
    assert len(texts(outgoing, "x")) == 1


def test_a_journal_that_fails_costs_nothing_but_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    disk = Disk()
    disk.broken = True
    outgoing = out(disk, "x")
    for number in range(3):
        outgoing.post("a", Told(incident="i"), [notice(News.OPENED, str(number))])
    assert len(texts(outgoing, "x")) == 3
    disk.broken = False
    outgoing.post("b", Told(), [])
    assert len(disk.kept.lines) == 3
    assert disk.kept.told == {"a": Told(incident="i"), "b": Told()}
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO"]


def test_no_secret_gets_into_the_journal() -> None:
    disk = Disk()
    out(disk, "x").post("a", Told(), [notice(News.OPENED, detail="said t0ken")])
    assert "t0ken" not in repr(disk.kept)


def test_a_secret_is_redacted_before_a_long_detail_is_cut() -> None:
    outgoing = out(Disk(), "x")
    cut = "GET /" + "a" * 153 + "t0ken of whom?"
    outgoing.post("a", Told(), (notice(News.OPENED, detail=cut, mend="b" * 118 + "t0ken"),))
    assert not any(part in texts(outgoing, "x")[0] for part in ("t0", "0k"))
