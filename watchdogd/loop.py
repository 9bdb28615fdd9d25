"""The decision loop: one thread, one inbox, one ``TargetState`` a target; the only caller of ``step``.

In the flow: workers, links and the control socket post events; the loop steps, replaces the state,
has the commands carried out, and tells the sinks. It never waits for any of them.

What it promises: one event at a time in order of arrival; the state is replaced before its commands
are carried out; the newest ``Wake`` replaces the older, so a stale one cannot fire; a failing sink is
counted and stops nothing. An exception in ``step`` is not caught: it ends the process.
"""

from __future__ import annotations

import heapq
import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from watchdogd.core.budget import destructive_lately
from watchdogd.core.commands import Command, Fact, Publish, Wake
from watchdogd.core.events import (
    ClockStepped,
    Event,
    Observed,
    Resumed,
    SettingsChanged,
    Woke,
)
from watchdogd.core.model import (
    Env,
    Policy,
    TargetState,
    View,
)
from watchdogd.ports import Clock, Recorder, Sink

log = logging.getLogger(__name__)

INBOX_WAIT = 5.0
"""Longest wait for an event: an idle loop completes rounds too."""
UNLINKED_WAIT = 1.0
"""The same while some target has no link: after a wake no link says so, and only a look at the clocks does."""
SLEPT_SECONDS = 2.0
"""The boot clock outran the run clock by more: the laptop slept."""
STOOD_SECONDS = 30.0
"""A gap between two rounds beyond this (or 2.5 intervals) counts as sleep, whatever the clocks say."""
STALL_SECONDS = 10.0
"""A gap beyond this voids the probes that were under way: their deadlines ran without them."""
STEP_LOGGED = 5.0
STEP_TOLD = 60.0
"""The wall clock was set by more: what was derived from it is void."""

Step = Callable[[TargetState, Event, Policy, Env], tuple[TargetState, tuple[Command, ...]]]


class Carrier(Protocol):
    """Has one target's commands carried out. Must neither block nor raise."""

    def carry(self, command: Command, env: Env) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One target as the loop knows it."""

    policy: Policy
    carrier: Carrier


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The loop's own figures; replaced as a whole, so any thread may read it."""

    rounds: int = 0
    last_round_run: float = 0.0
    resumes: int = 0
    suspended_seconds: float = 0.0
    clock_steps: int = 0
    sink_failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Regroup:
    """The targets after a change of the configuration; taken up between two events."""

    members: Mapping[str, Member]
    """All targets from now on. One that is not in here is forgotten."""
    anew: frozenset[str] = frozenset()
    """Those among them that were built anew: what was known of a target of that name is void."""
    changed: Mapping[str, SettingsChanged] = field(default_factory=dict)
    """What those are told that go on with other settings."""
    moved: Callable[[], None] = lambda: None
    """Called on the loop's thread once its own part is done: who reads the View follows suit here.
    It must neither block nor raise."""
    done: threading.Event = field(default_factory=threading.Event)


class Inbox:
    """Where all threads meet the loop. ``post`` never blocks; it may be called from any thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, Event] | Regroup | None] = queue.SimpleQueue()

    def post(self, target: str, event: Event) -> None:
        """Put one event of one target at the end."""
        self._queue.put((target, event))

    def regroup(self, wanted: Regroup) -> None:
        """Have the targets changed, after all that was posted so far."""
        self._queue.put(wanted)

    def nudge(self) -> None:
        """End the loop's present wait without an event."""
        self._queue.put(None)

    def take(self, wait: float) -> tuple[str, Event] | Regroup | None:
        """The oldest item, ``None`` if none came within ``wait`` seconds."""
        try:
            return self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None


class Letterbox:
    """One target's way into the inbox. Once closed it takes nothing more, so what a target's parts
    say after their end is not taken for the word of those that were built in their place."""

    def __init__(self, inbox: Inbox, target: str) -> None:
        self._inbox = inbox
        self._target = target
        self._lock = threading.Lock()
        self._closed = False

    def post(self, event: Event) -> None:
        """Put one event at the inbox's end; never blocks."""
        with self._lock:
            if not self._closed:
                self._inbox.post(self._target, event)

    def close(self) -> None:
        """Take nothing from now on."""
        with self._lock:
            self._closed = True


class ClockWatch:
    """Compares two readings of the three clocks: sleep, standstill, a wall clock that was set."""

    def __init__(self, clock: Clock, longest_interval: float) -> None:
        self._clock = clock
        self.expect(longest_interval)
        self._last = (clock.run(), clock.boot(), clock.wall())
        self.disturbed_run = float("-inf")
        """``run`` clock of the last sleep, standstill or step: what began before it is void."""

    def expect(self, longest_interval: float) -> None:
        """Seconds between two rounds of a healthy target: a gap like that is no standstill."""
        self._stood = max(STOOD_SECONDS, 2.5 * longest_interval)

    def look(self) -> tuple[Resumed | ClockStepped, ...]:
        """What happened to time since the last look."""
        now = (self._clock.run(), self._clock.boot(), self._clock.wall())
        ran, booted, walled = (new - old for new, old in zip(now, self._last, strict=True))
        self._last = now
        found: list[Resumed | ClockStepped] = []
        slept = booted - ran if booted - ran > SLEPT_SECONDS else 0.0
        slept += ran if ran > self._stood else 0.0
        if slept:
            log.info("the laptop slept, or the agent stood still, for %.0f s", slept)
            found.append(Resumed(slept=slept))
        stepped = walled - booted
        if abs(stepped) > STEP_LOGGED:
            log.warning("the wall clock was set by %+.0f s", stepped)
        if abs(stepped) > STEP_TOLD:
            found.append(ClockStepped(by=stepped))
        if found or ran > STALL_SECONDS:
            self.disturbed_run = now[0]
        return tuple(found)


class Loop:
    """Owns all target states. ``run`` is its thread; everything else may be called from any thread."""

    def __init__(
        self,
        members: Mapping[str, Member],
        inbox: Inbox,
        clock: Clock,
        *,
        step: Step,
        first: Callable[[Env], TargetState],
        anew: Callable[[TargetState, Env], TargetState],
        sinks: Sequence[Sink] = (),
        recorder: Recorder | None = None,
        completed: Callable[[float], None] = lambda seconds: None,
        idle_seconds: float = INBOX_WAIT,
    ) -> None:
        """``completed`` is called after each round with the seconds that it took, waiting excluded.
        ``idle_seconds``: where nothing happens, a round is completed at least so often."""
        self._members = dict(members)
        self._inbox = inbox
        self._clock = clock
        self._step = step
        self._first = first
        self._anew = anew
        self._sinks = tuple(sinks)
        self._recorder = recorder
        self._completed = completed
        self._idle = idle_seconds
        self._failures: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._wakes: dict[str, float] = {}
        self._due: list[tuple[float, str]] = []
        """A heap of ``_wakes``, in which those stand still that another one replaced."""
        self._watch = ClockWatch(clock, _longest(members))
        env = self._env()
        self._states: dict[str, TargetState] = {}
        self._charged: set[str] = set()
        """Targets with a remedy that may count for the whole fleet."""
        self._unlinked: set[str] = set()
        for name in members:
            self._keep(name, first(env))
        self._pulse = Pulse(last_round_run=env.run)
        self._view = View(
            targets=MappingProxyType(dict(self._states)),
            started_wall=env.wall,
            last_round_wall=env.wall,
        )

    def view(self) -> View:
        """All targets as of the last step: one frozen record."""
        return self._view

    def pulse(self) -> Pulse:
        """The loop's own figures."""
        return self._pulse

    def age(self) -> float:
        """Seconds (``run`` clock) since the last completed round."""
        return max(0.0, self._clock.run() - self._pulse.last_round_run)

    def run(self) -> None:
        """Rounds until ``stop``. Raises what ``step`` raises."""
        while not self._stopping.is_set():
            self.round(self._idle)

    def stop(self) -> None:
        """End ``run`` after the present event."""
        self._stopping.set()
        self._inbox.nudge()

    def round(self, wait: float = INBOX_WAIT) -> None:
        """Wait for one event or timer, at most ``wait`` seconds, and deal with what is due."""
        if self._unlinked:
            wait = min(wait, UNLINKED_WAIT)
        arrived = self._inbox.take(max(0.0, min(wait, self._next_wake() - self._clock.run())))
        if self._stopping.is_set():
            return
        begun = self._clock.run()
        self._look_at_clocks()
        if isinstance(arrived, Regroup):
            self._regroup(arrived)
        elif arrived is not None and arrived[0] in self._members:
            self._deliver(*arrived)
        self._deliver_due()
        self._complete(self._clock.run() - begun)

    def _next_wake(self) -> float:
        while self._due and self._wakes.get(self._due[0][1]) != self._due[0][0]:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else float("inf")

    def _look_at_clocks(self) -> None:
        for event in self._watch.look():
            pulse = self._pulse
            if isinstance(event, Resumed):
                self._pulse = replace(
                    pulse,
                    resumes=pulse.resumes + 1,
                    suspended_seconds=pulse.suspended_seconds + event.slept,
                )
            else:
                self._pulse = replace(pulse, clock_steps=pulse.clock_steps + 1)
            for target in self._members:
                self._deliver(target, event)

    def _deliver_due(self) -> None:
        now, due = self._clock.run(), []
        while self._next_wake() <= now:  # all before the first is told: each may ask for another
            due.append(heapq.heappop(self._due)[1])
            del self._wakes[due[-1]]
        for target in due:
            self._deliver(target, Woke())

    def _keep(self, target: str, state: TargetState) -> None:
        """What is looked up at each step is kept apart: to ask all of 200 targets took a third of the loop's
        time (measured)."""
        self._states[target] = state
        for kept, held in (
            (self._charged, state.charges),
            (self._unlinked, state.dialing.up is None),
        ):
            if held:
                kept.add(target)
            else:
                kept.discard(target)

    def _regroup(self, wanted: Regroup) -> None:
        env, before = self._env(), self._states
        self._members = dict(wanted.members)
        self._states, self._charged, self._unlinked = {}, set(), set()
        for name in wanted.members:
            if name in wanted.anew and name in before:
                self._keep(name, self._anew(before[name], env))
            else:
                self._keep(name, before.get(name) or self._first(env))
        for name in [*self._wakes]:
            if name not in wanted.members or name in wanted.anew:
                del self._wakes[name]
        self._watch.expect(_longest(wanted.members))
        self._view = replace(self._view, targets=MappingProxyType(dict(self._states)))
        wanted.moved()
        for target, event in wanted.changed.items():
            self._deliver(target, event)
        wanted.done.set()

    def _deliver(self, target: str, event: Event) -> None:
        member = self._members[target]
        if isinstance(event, Observed) and event.started <= self._watch.disturbed_run:
            event = replace(event, stalled=True)
        env, before = self._env(), self._states[target]
        if self._charged:
            charged = (self._states[name] for name in self._charged)
            env = replace(env, fleet=destructive_lately(charged, env))
        state, commands = self._step(before, event, member.policy, env)
        self._keep(target, state)
        self._view = replace(self._view, targets=MappingProxyType(dict(self._states)))
        facts: list[Fact] = []
        for command in commands:
            if isinstance(command, Wake):
                self._wakes[target] = command.at
                heapq.heappush(self._due, (command.at, target))
            elif isinstance(command, Publish):
                facts.append(command.fact)
            else:
                member.carrier.carry(command, env)
        if self._recorder is not None:
            self._recorder.stepped(target, before, event, member.policy, env, state, commands)
        self._tell(target, event, facts, state, env)

    def _tell(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        for sink in self._sinks:
            try:
                sink.told(target, event, facts, state, env)
            except Exception as error:  # noqa: BLE001 - no sink may stop healing
                self._sink_failed(type(sink).__name__, error)

    def _sink_failed(self, name: str, error: Exception) -> None:
        self._failures[name] += 1
        self._pulse = replace(self._pulse, sink_failures=self._pulse.sink_failures + 1)
        if self._failures[name] == 1:
            log.error("sink %s failed; from now on this is only counted", name, exc_info=error)

    def _complete(self, seconds: float) -> None:
        self._pulse = replace(
            self._pulse, rounds=self._pulse.rounds + 1, last_round_run=self._clock.run()
        )
        self._view = replace(self._view, last_round_wall=self._clock.wall())
        self._completed(seconds)

    def _env(self) -> Env:
        return env_of(self._clock)


def _longest(members: Mapping[str, Member]) -> float:
    return max((member.policy.interval for member in members.values()), default=0.0)


def env_of(clock: Clock) -> Env:
    """The clocks and the dice as of now."""
    return Env(
        run=clock.run(),
        boot=clock.boot(),
        wall=clock.wall(),
        boot_id=clock.boot_id(),
        chance=clock.chance(),
    )
