"""watchdogd in the world: plays the loop around ``step``, answers its commands, obeys its remedies."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from watchdogd.core.commands import (
    Apply,
    Bind,
    Command,
    Dial,
    Fact,
    Probe,
    Publish,
    RemedyEnded,
    RemedyIntended,
    RemedyRefused,
    StateChanged,
    Wake,
)
from watchdogd.core.events import (
    ContainerDied,
    DialFailed,
    Event,
    LinkLost,
    LinkSilent,
    LinkSpeaking,
    LinkUp,
    Observed,
    PortBound,
    RemedyFinished,
    Resumed,
    Started,
    Woke,
)
from watchdogd.core.machine import first, step
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.words import HARM, Cause, Harm, Result
from watchdogd.sim import looks, obeying, skipping
from watchdogd.sim.world import Link, World

DAY = 86400.0
BIND_SECONDS = 0.01
TOLD_SECONDS = 0.2
"""From the end of a container to the engine's word on the laptop."""
LATE_SECONDS = 1.25
"""An answer that takes longer is late (the adapter's least, and its look four times a second)."""
SPEAKS_AGAIN_SECONDS = 0.5
CUT_SECONDS = 60.0
"""A connection that was silent for so long is ended by the adapter (TCP_USER_TIMEOUT)."""
SAME_SECONDS = 1e-3
"""Two reckonings of one moment differ by less."""
Decision = tuple[str, ...]


class Agent:
    """A ``Healer``. ``decisions`` is filled only if asked for: memory must not grow in a long run."""

    world: World
    state: TargetState

    def __init__(
        self, policy: Policy | None = None, *, skip: bool = True, record: bool = False
    ) -> None:
        self.policy = policy or Policy()
        self.skip = skip
        self.decisions: list[Decision] | None = [] if record else None
        self.rounds_played = 0
        self._recent: deque[TargetState] = deque(maxlen=self.policy.deep_every + 1)
        self._until = 0.0
        """When the stretch ends that the recent rounds belong to (``now`` clock)."""
        self._link: Link | None = None
        self._disturbed = -1.0
        self._acts: list[float] = []

    # ------------------------------------------------------------ what the world tells

    def begin(self, world: World) -> None:
        """The agent starts."""
        self.world = world
        self.state = first(self.env())
        self.take(Started())

    def changed(self) -> None:
        """Watch the link, as the keepalive does: its next question is not answered in time."""
        link, known = self.world.link, self.state.dialing
        if link is not self._link or link is None or known.up is None or not self.world.awake:
            return
        speaks = self.world.speaks()
        if known.silent and speaks:
            self.world.after_awake(SPEAKS_AGAIN_SECONDS, lambda: self._hear(link))
        elif not known.silent and not speaks:
            self.world.after_awake(self.policy.keepalive + LATE_SECONDS, lambda: self._miss(link))

    def _hear(self, link: Link) -> None:
        known = self.state.dialing
        if link is self.world.link and known.up is not None and self.world.speaks():
            self.take(LinkSpeaking(number=known.up))

    def _miss(self, link: Link) -> None:
        known = self.state.dialing
        if link is not self.world.link or known.up is None or known.silent or self.world.speaks():
            return
        self.take(LinkSilent(number=known.up))
        self.world.after_awake(CUT_SECONDS, lambda: self._give_up(link))

    def _give_up(self, link: Link) -> None:
        number = self.state.dialing.up
        if link is self.world.link and number is not None and not self.world.speaks():
            self.world.settle()
            self.world.link = None
            self.take(LinkLost(number=number))
            self.world.change_done()

    def link_reset(self) -> None:
        """The other side ended the link."""
        if self.state.dialing.up is not None and self.world.awake:
            number = self.state.dialing.up
            self.world.after_awake(0.0, lambda: self.take(LinkLost(number=number)))

    def container_ended(self) -> None:
        """The engine's events come over the link, while there is one."""
        told = ContainerDied(container=looks.CONTAINER, at=looks.EPOCH + self.world.now)
        if self.world.speaks():
            self.world.after_awake(TOLD_SECONDS, lambda: self.take(told))

    def resumed(self, slept: float) -> None:
        """The loop sees that its clocks disagree."""
        self._disturbed = self.world.run
        self.take(Resumed(slept=slept))

    # ------------------------------------------------------------ the loop

    def env(self) -> Env:
        """Clocks and one throw of the dice."""
        world = self.world
        return Env(
            run=world.run,
            boot=world.now,
            wall=looks.EPOCH + world.now,
            boot_id="laptop-boot",
            chance=world.dice.random(),
            fleet=len(self._destructive(world.now)),
        )

    def _destructive(self, now: float) -> list[float]:
        while self._acts and now - self._acts[0] >= DAY:
            del self._acts[0]
        return self._acts

    def take(self, event: Event) -> None:
        """One event through ``step``, and what it wishes for."""
        if isinstance(event, Observed) and event.started <= self._disturbed:
            event = replace(event, stalled=True)
        self.state, commands = step(self.state, event, self.policy, self.env())
        for command in commands:
            self._carry(command)
        if isinstance(event, Observed):
            self._recent.append(self.state)
            if self.skip:
                self._skip()

    def _carry(self, command: Command) -> None:
        match command:
            case Probe():
                self._probe(command)
            case Apply():
                if HARM[command.intent.remedy] is Harm.DESTRUCTIVE:
                    self._acts.append(self.world.now)
                obeying.obey(self, command.intent)
            case Dial():
                self.dial(command.number)
            case Wake():
                self.world.alarm = (command.at, lambda: self.take(Woke()))
            case Publish():
                self._tell(command.fact)
            case Bind():
                self.world.after_awake(BIND_SECONDS, lambda: self.take(PortBound()))
            case _:
                pass

    def _probe(self, command: Probe) -> None:
        self.rounds_played += 1
        self.world.score.rounds += 1
        known, timeout = self.state.dialing, self.policy.timeout
        seconds = looks.seconds(self.world, command, known, timeout)
        seen = looks.look(self.world, command, known, timeout)
        self.world.after_awake(seconds, lambda: self.take(seen))

    def dial(self, number: int, key: str | None = None) -> None:
        """Make a link; with ``key``, the remedy that this dial is ends with it."""

        def ended(failed: Cause | None) -> None:
            if failed is None:
                self._link = self.world.link
                self.take(LinkUp(number=number))
            else:
                self.take(DialFailed(number=number, cause=failed, permanent=False, reached=False))
            if key is not None:
                result = Result.FAILED if failed else Result.DONE
                self.take(RemedyFinished(key=key, result=result))

        self.world.dial(ended)

    # ------------------------------------------------------------ what is told

    def _tell(self, fact: Fact) -> None:
        self.world.score.messages += 1
        if self.decisions is not None and (words := _words(fact)):
            self.decisions.append((f"{self.world.run:.6f}", *words))

    # ------------------------------------------------------------ quiet stretches

    def _skip(self) -> None:
        world = self.world
        if world.alarm is None:
            return
        world.training.advance(world.now)
        change = min(
            world.next_world_event(),
            world.next_laptop_event(),
            world.training.next_change(),
            world.scenario.length,
        )
        if abs(change - self._until) > SAME_SECONDS:
            # Another stretch: what was seen before the change says nothing of it.
            self._until = change
            self._recent.clear()
            self._recent.append(self.state)
            return
        jump = skipping.over(self._recent, self.policy, world, change - world.slept)
        if jump is not None:
            if self.decisions is not None:
                self.decisions += [(f"{at:.6f}", *_again(jump.state)) for at in jump.told]
            self.state = jump.state
            self._recent.clear()
            due = self._ask if jump.state.round_open else lambda: self.take(Woke())
            world.alarm = (jump.state.next_round_at, due)

    def _ask(self) -> None:
        """The round that a skipped stretch left open; the next turn is its answer."""
        self._probe(Probe(round=self.state.round, deep=True))


def _again(state: TargetState) -> Decision:
    """The one refusal that lasts over a stretch that was skipped."""
    ((remedy, reason),) = state.refusals
    return ("refused", str(remedy), str(reason))


def _words(fact: Fact) -> Decision:
    """What is compared between two runs: remedies, refusals, and changes of the state."""
    match fact:
        case RemedyIntended():
            return ("intended", str(fact.intent.remedy))
        case RemedyEnded():
            return ("ended", str(fact.intent.remedy), str(fact.result))
        case RemedyRefused():
            return ("refused", str(fact.remedy), str(fact.reason))
        case StateChanged():
            return ("state", str(fact.old), str(fact.new), str(fact.cause or ""))
        case _:
            return (type(fact).__name__,)
