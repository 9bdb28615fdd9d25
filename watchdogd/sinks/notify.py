"""Tells people, and the dead man's switch. A sink that decides (``core.notices``), and a thread that sends.

In the flow: told after the state changed; the loop hands over frozen records and goes on. The thread ``notify``
makes them durable, waits for what belongs together, sends with a deadline, and tries again. Nothing of it flows
back: a destination that is down changes a counter and a line of the log.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from watchdogd.adapters.notify_urls import NoUrls
from watchdogd.core.backoff import doubling
from watchdogd.core.commands import Fact
from watchdogd.core.events import Event
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.notices import CALM, Following, Notice, Told, follow, unwatched
from watchdogd.core.words import State
from watchdogd.loading.urls import secrets_of
from watchdogd.ports import Clock
from watchdogd.settings import NotifySettings, Secret
from watchdogd.sinks.heartbeat import Beats
from watchdogd.sinks.messages import message
from watchdogd.sinks.outgoing import Outgoing, name_of

log = logging.getLogger(__name__)

RETRY_SECONDS, LONGEST_RETRY = 5.0, 600.0
URLS_RETRY = 60.0
BROKEN_SECONDS = 300.0
"""After a defect of ours: until the next try."""
DEFECT = "defect"
HEARTBEAT = "heartbeat"
"""Its channel."""


class Source(Protocol):
    """Where addresses come from; ``adapters.notify_urls``."""

    def changed(self) -> bool: ...

    def read(self) -> tuple[Secret, ...]:
        """Raises ``NoUrls``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the notifier is given of the world. Each call ends by a deadline of its own and raises nothing."""

    send: Callable[[Secret, str, str], str]
    """Address, title, body -> empty, or why it was not taken."""
    ping: Callable[[Secret, str, str], str]
    """Address, suffix, text -> the same."""
    source: Callable[[NotifySettings], Source]
    channel: Callable[[Secret], str]
    """What kind of address it is, from a closed list."""
    count: Callable[[str, bool], None]
    """Channel, and whether it was taken."""
    expect: Callable[[Iterable[str]], None]
    """The channels that can be counted from now on."""


@dataclass(slots=True)
class _Destination:
    url: Secret
    name: str
    channel: str
    failures: int = 0
    not_before: float = 0.0
    """``run`` clock."""


@dataclass(frozen=True, slots=True)
class _Posted:
    target: str
    told: Told
    notices: tuple[Notice, ...]
    at: float
    """``run`` clock: what waits for company waits from then on, however busy the thread is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One configuration of it."""

    settings: NotifySettings
    policies: Mapping[str, Policy]


class Notifier:
    """Implements ``ports.Sink``."""

    def __init__(self, outgoing: Outgoing, outside: Outside, clock: Clock) -> None:
        self._outgoing = outgoing
        self._outside = outside
        self._clock = clock
        self._beats = Beats()
        self._voices = _Voices()
        self._wanted = _Wanted(settings=NotifySettings(), policies={})
        self._following: dict[str, Following] = {}
        self._offline: frozenset[str] = frozenset()
        self._secrets: tuple[Secret, ...] = ()
        self._changed = threading.Condition()
        self._posted: deque[_Posted] = deque()
        self._fresh: _Wanted | None = None
        self._closing = False
        # of the thread alone:
        self._source: Source | None = None
        self._destinations: list[_Destination] = []
        self._anew = False
        self._was_cut_off = False
        self._read_at = float("inf")
        self._group_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)

    # ------------------------------------------------------------ any thread

    def start(self) -> None:
        """Take up what a former agent told and did not tell, and send from now on."""
        for target, told in self._outgoing.recall().items():
            if told != Told():
                self._following[target] = Following(told=told)
        self._forget_others()
        self._thread.start()

    def use(self, settings: NotifySettings, policies: Mapping[str, Policy]) -> None:
        """This is the configuration from now on; for the thread that calls ``told``, or before it runs."""
        self._wanted = _Wanted(settings=settings, policies=dict(policies))
        self._offline &= policies.keys()
        self._beats.keep(policies)
        self._forget_others()
        with self._changed:
            self._fresh = self._wanted
            self._changed.notify()

    def _forget_others(self) -> None:
        """What was opened of a target that is gone is ended."""
        for target in self._following.keys() - self._wanted.policies.keys():
            notice = unwatched(self._following.pop(target).told, target, self._clock.wall())
            if notice is not None:
                self._post(target, Told(), (notice,))

    def close(self, seconds: float) -> bool:
        """Keep what was decided, and end, in that time. False if the thread hangs on. What was not sent is
        sent by the next agent."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def secrets(self) -> tuple[Secret, ...]:
        """The addresses held now."""
        return self._secrets

    def completed(self) -> None:
        """The loop completed a round."""
        self._beats.completed(self._clock.run())

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        """Decide what is due; never waits for the disk or the network."""
        wanted = self._wanted
        policy = wanted.policies.get(target)
        if policy is None:
            return
        if wanted.settings.tells:
            before = self._following.get(target, CALM)
            after, notices = follow(before, target, facts, state, policy, env)
            if after is not before:
                self._following[target] = after
                if notices or after.told != before.told:
                    self._post(target, after.told, notices)
        if (state.shown is State.OFFLINE) is not (target in self._offline):
            self._offline ^= {target}
            self._nudge()
        if wanted.settings.heartbeat_url and self._beats.note(target, event, facts, state):
            self._nudge()

    def _post(self, target: str, told: Told, notices: tuple[Notice, ...]) -> None:
        with self._changed:
            self._posted.append(_Posted(target, told, notices, self._clock.run()))
            self._changed.notify()

    def _nudge(self) -> None:
        with self._changed:
            self._changed.notify()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        closing = False
        while not closing or self._posted:
            with self._changed:
                if not (self._posted or self._fresh or self._closing):
                    self._changed.wait(self._patience())
                posted, self._posted = self._posted, deque()
                fresh, self._fresh = self._fresh, None
                closing = self._closing
            try:
                self._pass(posted, fresh, closing=closing)
            except Exception as defect:  # noqa: BLE001 - no defect of ours may end all messages
                self._broke(defect, posted, fresh)

    def _pass(self, posted: deque[_Posted], fresh: _Wanted | None, *, closing: bool) -> None:
        while posted:
            self._keep(posted.popleft())
        if closing:
            return
        if fresh is not None:
            self._take_up(fresh)
        self._reach_out()
        self._voices.worked(DEFECT, "people can be told again")

    def _broke(self, defect: Exception, posted: deque[_Posted], fresh: _Wanted | None) -> None:
        """Go on after a pause. What broke while it was being kept is lost, what came after it is not."""
        self._voices.failed(DEFECT, "nobody can be told anything: a defect of watchdogd", defect)
        self._group_at = self._clock.run()
        with self._changed:
            self._posted.extendleft(reversed(posted))
            self._fresh = self._fresh or fresh
            if not (self._posted or self._closing):
                self._changed.wait(BROKEN_SECONDS)

    def _reach_out(self) -> None:
        if self._cut_off():
            self._was_cut_off = True
        else:
            self._back_again()
            self._read_if_due()
            self._send_if_due()
            self._beat_if_due()

    def _cut_off(self) -> bool:
        """No target has a network: what waits becomes one message once there is one."""
        policies = self._wanted.policies
        return bool(policies) and self._offline >= policies.keys()

    def _back_again(self) -> None:
        if self._was_cut_off:
            self._was_cut_off = False
            self._hurry(self._clock.run())

    def _patience(self) -> float | None:
        """How long nothing is due; ``None``: for ever."""
        if self._cut_off():
            return None
        due = [self._read_at, self._group_at]
        due += [one.not_before for one in self._destinations if one.failures]
        waits = [at - self._clock.run() for at in due]
        if self._wanted.settings.heartbeat_url is not None:
            waits.append(self._beats.next_at() - self._clock.boot())
        return None if min(waits) == float("inf") else max(0.0, min(waits))

    def _keep(self, one: _Posted) -> None:
        self._outgoing.post(one.target, one.told, one.notices)
        for notice in one.notices:
            self._group_at = min(self._group_at, one.at + notice.wait)
            if not notice.wait:
                self._hurry(one.at)

    def _hurry(self, now: float) -> None:
        for one in self._destinations:
            one.not_before = min(one.not_before, now)

    def _take_up(self, fresh: _Wanted) -> None:
        """New settings: the addresses are read anew."""
        beat = fresh.settings.heartbeat_url
        self._outside.expect([HEARTBEAT] if beat is not None else [])
        self._source = self._outside.source(fresh.settings) if fresh.settings.tells else None
        self._read_at = self._clock.run() if self._source is not None else float("inf")
        if self._source is None:
            self._destinations = []
            self._secrets = ()

    def _read_if_due(self) -> None:
        source, now = self._source, self._clock.run()
        if source is None or (now < self._read_at and not source.changed()):
            return
        try:
            urls = source.read()
        except NoUrls as error:
            self._read_at = now + URLS_RETRY
            self._voices.failed("addresses", f"nobody can be told anything: {error}")
            return
        self._read_at = float("inf")
        self._voices.worked("addresses", "the addresses of whom to tell can be read again")
        self._secrets = tuple(part for url in urls for part in secrets_of(url))
        known = {one.name: one for one in self._destinations}
        made = [_Destination(url, name_of(url), self._outside.channel(url)) for url in urls]
        self._destinations = [known.get(one.name, one) for one in made]
        self._outside.expect(one.channel for one in made)
        self._outgoing.use([one.name for one in made], anew=self._anew)
        self._anew = True
        self._group_at = min(self._group_at, now)  # what a former agent left

    def _send_if_due(self) -> None:
        now = self._clock.run()
        group = now >= self._group_at
        if group:
            self._group_at = float("inf")
        # Those that failed come last, so that they hold up nobody.
        for one in sorted(self._destinations, key=lambda one: one.failures):
            if self._closing or (self._posted and one.failures):
                break  # what was decided meanwhile is kept before those that hang are tried
            if (group or one.failures) and now >= one.not_before:
                self._send(one)

    def _send(self, one: _Destination) -> None:
        lines, missed = self._outgoing.waiting(one.name)
        if not lines:
            one.failures = 0
            return
        title, body = message(lines, missed)
        why, defect = "", None
        try:
            why = self._outside.send(one.url, title, body)
        except Exception as error:  # noqa: BLE001 - it holds up this address alone
            why, defect = f"a defect of watchdogd: {type(error).__name__}", error
        if why and self._closing:
            return  # it was the end that cut it off
        if not why:
            self._outgoing.reach(one.name, lines[-1].seq)
        self._outside.count(one.channel, not why)
        if why:
            pause = doubling(one.failures, base=RETRY_SECONDS, cap=LONGEST_RETRY)
            one.not_before = self._clock.run() + pause * (0.5 + self._clock.chance() / 2)
            one.failures += 1
            told = (
                f"messages to {one.channel} are not taken ({why}); they wait, and are tried again"
            )
            self._voices.failed(one.name, told, defect)
        else:
            one.failures, one.not_before = 0, 0.0
            self._voices.worked(one.name, f"messages to {one.channel} are taken again")

    def _beat_if_due(self) -> None:
        url = self._wanted.settings.heartbeat_url
        if url is None or self._beats.next_at() > self._clock.boot():
            return
        for suffix, text in self._beats.take(self._clock.run(), self._clock.boot()):
            if self._closing:
                return
            why = self._outside.ping(url, suffix, text)
            self._outside.count(HEARTBEAT, not why)
            if why:
                self._beats.failed(self._clock.boot())
                self._voices.failed(HEARTBEAT, f"the heartbeat is not taken: {why}")
                return
            self._voices.worked(HEARTBEAT, "the heartbeat is taken again")


class _Voices:
    """A line for each change, none while it lasts."""

    def __init__(self) -> None:
        self._failing: set[str] = set()

    def failed(self, what: str, text: str, defect: Exception | None = None) -> None:
        if what not in self._failing:
            log.log(logging.ERROR if defect else logging.WARNING, "%s", text, exc_info=defect)
        self._failing.add(what)

    def worked(self, what: str, text: str) -> None:
        if what in self._failing:
            log.info("%s", text)
        self._failing.discard(what)
