"""Messages to people in plain words: a line for a notice, and one message of the lines that wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from watchdogd.core.lengths import length
from watchdogd.core.notices import News, Notice
from watchdogd.errors import one_line
from watchdogd.ports import Posted

MOST_BYTES = 1800
"""Of a message's lines; what is older is counted."""
_DETAIL, _MEND = 160, 120
_OUTCOMES = {
    True: "worked: healthy again",
    False: "did not bring health",
    None: "ended, and nobody knows its effect yet",
}
_CLOSED = (News.RESOLVED, News.UNWATCHED)
_TOLD_BY_THE_END = (News.OPENED, News.REMINDER, News.PERSON)


def line(target: str, notice: Notice) -> str:
    """What one notice says, without its time."""
    why = f": {notice.cause}" if notice.cause else ""
    why += f" ({one_line(notice.detail, _DETAIL)})" if notice.detail else ""
    mend = f". To mend it: {one_line(notice.mend, _MEND)}" if notice.mend else ""
    lasts = length(notice.seconds)
    match notice.news:
        case News.OPENED:
            return f"{target} is not usable for {lasts}{why}{mend}"
        case News.INTENDED:
            return f"{target}: {notice.remedy} begins now{why}"
        case News.OUTCOME:
            return f"{target}: {notice.remedy} {_OUTCOMES[notice.good]}{why}{mend}"
        case News.PERSON:
            asks = f"; {notice.remedy} is not done without one" if notice.remedy else ""
            more = mend or f". More: watchdogd status {target}"
            return f"{target} needs a person{why}{asks}{more}"
        case News.REMINDER:
            return f"{target} is still in trouble, for {lasts}{why}{mend}"
        case News.RESOLVED:
            return f"{target} is well again: trouble for {lasts}{why}"
        case News.UNWATCHED:
            return (
                f"{target} is no longer in the configuration, and was in trouble for {lasts}{why}"
            )


def message(lines: Sequence[Posted], missed: int) -> tuple[str, str]:
    """Title and body of one message that tells these lines, oldest first; ``missed``: how many older ones were
    given up. Of an incident that is over only the end is told, and what was done in it."""
    over = {one.incident for one in lines if one.incident and one.news in _CLOSED}
    told = [one for one in lines if one.incident not in over or one.news not in _TOLD_BY_THE_END]
    shown, size = list[str](), 0
    for one in reversed(told):
        text = f"{datetime.fromtimestamp(one.wall, UTC):%m-%d %H:%M} UTC  {one.text}"
        size += len(text.encode("utf-8", "replace")) + 1
        if size > MOST_BYTES and shown:
            break
        shown.append(text)
    left = missed + len(told) - len(shown)
    earlier = [f"{left} earlier message{'s are' if left > 1 else ' is'} left out"] if left else []
    title = told[-1].text.partition(". To mend")[0] if len(told) == 1 else f"{len(told)} messages"
    return f"watchdogd: {one_line(title, 100)}", "\n".join([*earlier, *reversed(shown)])
