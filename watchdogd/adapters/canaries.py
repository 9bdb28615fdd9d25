"""Pages with a known body, asked as a browser would: what tells a captive portal from a network.

Implements ``ports.AskCanaries``. Only plain HTTP, and only the body counts: a portal can give any status, but
has to show its own page. One good page is enough. Each is asked in a thread of its own, because a resolver
cannot be given a deadline; while one hangs, that page is not asked again.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from urllib.parse import SplitResult, urlsplit

from watchdogd.adapters.http import exchange
from watchdogd.ports import CanaryFacts, Clock, Deadline, HttpAnswer, HttpEnd
from watchdogd.settings import Canary

ASK_SECONDS = 3.0
"""For all pages together (decision table, layer ``network``)."""
FRESH_SECONDS = 15.0
"""An answer is good for so long: who waits behind a portal needs no more, and nobody is pestered."""
_OK, _LOGIN_NEEDED = 200, 511
"""511: RFC 6585, section 6, made for portals."""
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}")


class Answer(Enum):
    """What one page's answer means."""

    GOOD = "good"
    FOREIGN = "foreign"
    NONE = "none"
    """No answer, or one that the page's own server may well give."""


Fetch = Callable[[Canary, Deadline], HttpAnswer]


def fetch(page: Canary, deadline: Deadline) -> HttpAnswer:
    """``GET`` it once, without redirects. Whatever the world does is an answer; nothing is raised."""
    parts = urlsplit(page.url)
    try:
        left = max(0.001, deadline.remaining())
        connection = socket.create_connection((parts.hostname or "", parts.port or 80), left)
    except TimeoutError:
        return HttpAnswer(end=HttpEnd.SILENT)
    except (OSError, UnicodeError):
        return HttpAnswer(end=HttpEnd.REFUSED)
    with connection:
        return exchange(connection, _request(parts), deadline, json_only=False)


def _request(parts: SplitResult) -> bytes:
    query = f"?{parts.query}" if parts.query else ""
    lines = (
        f"GET {parts.path or '/'}{query} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Accept: */*",
        "Cache-Control: no-cache",
        "User-Agent: watchdogd",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def judged(page: Canary, answer: HttpAnswer) -> tuple[Answer, str]:
    """What the answer means, and what it was in words that hold nothing of its body."""
    if answer.end is not HttpEnd.ANSWERED:
        return Answer.NONE, ""
    if answer.status == _OK:
        good = answer.body.strip() == page.body.encode()
        return (Answer.GOOD, "") if good else (Answer.FOREIGN, "another page")
    if answer.status == _LOGIN_NEEDED:
        return Answer.FOREIGN, f"HTTP {_LOGIN_NEEDED}, a log-in is needed"
    if 300 <= answer.status < 400:
        return _sent_away(page, answer)
    if answer.status == 0:
        return Answer.FOREIGN, "something that is no HTTP"
    return Answer.NONE, ""


def _sent_away(page: Canary, answer: HttpAnswer) -> tuple[Answer, str]:
    try:
        host = urlsplit(answer.headers.get("location", "")).hostname or ""
    except ValueError:
        host = ""
    if host == urlsplit(page.url).hostname:
        return Answer.NONE, ""  # the page moved, to https say: no portal sends anybody back
    where = f"to {host}" if _HOST.fullmatch(host) else "elsewhere"
    return Answer.FOREIGN, f"a redirection {where}"


class Canaries:
    """Callable as ``Reach.canaries``, for all targets together. Any thread may call anything."""

    def __init__(self, pages: Sequence[Canary], clock: Clock, *, fetch: Fetch = fetch) -> None:
        self._pages = tuple(pages)
        self._clock = clock
        self._fetch = fetch
        self._asking = threading.Lock()
        self._open: set[str] = set()
        """Pages that were asked and have not answered; one that hangs stays in here."""
        self._last: tuple[float, CanaryFacts] | None = None
        """``run`` clock, when that was asked for."""
        self._forgot_at = 0.0

    def use(self, pages: Sequence[Canary]) -> None:
        """Ask these from now on."""
        if tuple(pages) != self._pages:
            self._pages = tuple(pages)
            self.forget()

    def forget(self) -> None:
        """What was answered so far was of another network."""
        self._forgot_at = self._clock.run()

    def __call__(self, deadline: Deadline, *, since: float | None = None) -> CanaryFacts:
        """See the port. Ends by ``deadline``, and after ``ASK_SECONDS`` at the latest."""
        pages = self._pages
        if not pages:
            return CanaryFacts()
        limit = deadline.at_most(ASK_SECONDS)
        if not self._asking.acquire(timeout=limit.remaining()):
            return CanaryFacts(asked=len(pages))
        try:
            begun, last = self._clock.run(), self._last
            if last is not None and last[0] >= self._oldest(begun, since):
                return last[1]
            found = self._ask(pages, limit)
            self._last = (begun, found)
            return found
        finally:
            self._asking.release()

    def _oldest(self, now: float, since: float | None) -> float:
        """``run`` clock of the oldest answer that is fresh."""
        return max(now - FRESH_SECONDS, self._forgot_at, since if since is not None else 0.0)

    def _ask(self, pages: Sequence[Canary], deadline: Deadline) -> CanaryFacts:
        answers: queue.SimpleQueue[tuple[Canary, Answer, str]] = queue.SimpleQueue()
        for page in pages:
            self._begin(page, deadline, answers)
        foreign: tuple[Canary, str] | None = None
        for _ in pages:
            try:
                page, answer, said = answers.get(timeout=max(0.001, deadline.remaining()))
            except queue.Empty:
                break
            if answer is Answer.GOOD:
                return CanaryFacts(asked=len(pages), good=page.url)
            if answer is Answer.FOREIGN:
                foreign = foreign or (page, said)
        if foreign is None:
            return CanaryFacts(asked=len(pages))
        return CanaryFacts(asked=len(pages), foreign=foreign[0].url, said=foreign[1])

    def _begin(
        self,
        page: Canary,
        deadline: Deadline,
        answers: queue.SimpleQueue[tuple[Canary, Answer, str]],
    ) -> None:
        if page.url in self._open:
            answers.put((page, Answer.NONE, ""))
            return
        self._open.add(page.url)

        def work() -> None:
            try:
                found = self._fetch(page, deadline)
            finally:
                self._open.discard(page.url)
            answers.put((page, *judged(page, found)))

        threading.Thread(target=work, name="canary", daemon=True).start()
