"""Plays the faults one after another on the real agent, measures, judges, and tells.

What the agent says of itself gives cause, remedy and the time of detection; that a fault is there,
that it is healed, and that the runtime survived is seen with the demo's own eyes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from watchdogd.core.veto import MOST_LOAD_PER_CORE
from watchdogd.core.words import Cause, Remedy
from watchdogd.demo import configuration
from watchdogd.demo.agent import VERDICTS, News
from watchdogd.demo.faults import FAULTS, HARMLESS, Fault, FaultName
from watchdogd.demo.sight import LOOPBACK, Process, until
from watchdogd.demo.stage import Stage, left_out
from watchdogd.demo.table import Row, outcome, table
from watchdogd.ports import Clock, Deadline


class Say(Protocol):
    """Where lines for people go; ``nl=False``: the line is not over yet."""

    def __call__(self, text: str, /, *, nl: bool = True) -> None: ...


PRESENT_SECONDS = 10.0
DETECT_SECONDS = 60.0
HEAL_SECONDS = 150.0
CALM_SECONDS = 60.0
LASTS_SECONDS = 3.0
"""How long a fault that passes by itself is let stand once the agent has found it."""
LOOK_SECONDS = 0.1
STEADY_LINK_SECONDS = 10.0
"""The agent replaces a link that lived so long at once; a younger one it takes for a bad sign."""
TELLS_HOLDERS = Path("/proc/net/tcp").exists()
"""Elsewhere the system does not say who listens on a port."""
STARTS_AN_HOUR = 5
"""The agent's own limit for starting a runtime anew; it is not a setting."""
START_WINDOW_SECONDS = 3600.0


class Director:
    """One performance. ``say`` gets each line for people."""

    def __init__(self, stage: Stage, clock: Clock, say: Say) -> None:
        self._stage = stage
        self._clock = clock
        self._say = say
        self._starts: list[float] = []
        self._still_there = True
        self._broken_off = False
        self.rows: list[Row] = []

    # ------------------------------------------------------------ the order of things

    def play(self, more_seconds: float) -> bool:
        """All faults once, then random ones for ``more_seconds``; True if each went as it should."""
        missing = left_out()
        self._introduce()
        for fault in FAULTS.values():
            if fault not in missing and not self._act(fault):
                break
        if more_seconds > 0 and self._all_good():
            self._go_on(Deadline.after(self._clock, more_seconds), missing)
        self._conclude(missing)
        return self._all_good()

    def _all_good(self) -> bool:
        return not self._broken_off and all(not row.problems for row in self.rows)

    def _act(self, fault: Fault) -> bool:
        """One fault; False if the stage does not come to rest, so that a next one would say nothing."""
        if self.rows and not until(self._clock, CALM_SECONDS, self._stage.agent.calm, LOOK_SECONDS):
            self._say("the agent does not come to rest: what is left is not played")
            self._broken_off = True
            return False
        self._say(f"{fault.title}: ", nl=False)
        row = self.perform(fault)
        self.rows.append(row)
        self._say(outcome(row))
        return True

    def _go_on(self, deadline: Deadline, missing: dict[Fault, str]) -> None:
        self._say(f"Going on with random faults for {deadline.remaining():.0f} s.")
        while not deadline.passed():
            possible = tuple(self._possible(missing))
            drawn = possible[int(self._clock.chance() * len(possible))]
            if not self._act(drawn):
                return

    def _possible(self, missing: dict[Fault, str]) -> Iterator[Fault]:
        """What may be drawn: the agent starts a runtime anew only so often in an hour."""
        since = self._clock.run() - START_WINDOW_SECONDS
        starts = sum(1 for at in self._starts if at >= since)
        for fault in FAULTS.values():
            spent = Remedy.START_SESSION in fault.remedies and starts >= STARTS_AN_HOUR
            if fault not in missing and not spent and not fault.before_agent:
                yield fault

    # ------------------------------------------------------------ one fault

    def perform(self, fault: Fault) -> Row:
        """Make it, see that it is there, wait until it is found and healed, judge."""
        stage, lab = self._stage, self._stage.lab
        before = stage.program.process()
        self._settle(fault)
        wall, run = self._clock.wall(), self._clock.run()
        fault.inject(lab)
        # a request that begins from here on cannot get through before the fault is healed
        there = self._clock.run()
        if Remedy.START_SESSION in fault.remedies:
            self._starts.append(run)
        try:
            if not until(self._clock, PRESENT_SECONDS, lambda: fault.present(lab)):
                return Row(fault=fault, problems=("the fault could not be made",))
            if not fault.spares_runtime:
                there = self._clock.run()
            if fault.before_agent:
                stage.agent.start()
                stage.witness.start()
            found = self._found(fault, wall)
            if fault.passes:
                there = self._passes(fault)
            healed = self._healed(there)
        finally:
            fault.undo(lab)
        began = there if fault.passes else run
        return self._row(fault, wall, found, None if healed is None else healed - began, before)

    def _settle(self, fault: Fault) -> None:
        """A link that is killed young is redialled with a pause, and that is not what is shown."""
        self._stage.witness.forget()
        self._stage.agent.forget()
        if Remedy.RECONNECT in fault.remedies:
            until(self._clock, STEADY_LINK_SECONDS, self._link_is_old, LOOK_SECONDS)

    def _link_is_old(self) -> bool:
        age = self._stage.agent.link_age(self._clock.wall())
        return age is not None and age >= STEADY_LINK_SECONDS

    def _found(self, fault: Fault, wall: float) -> News | None:
        """The first news that names a cause that fits."""

        def look() -> News | None:
            self._stage.agent.target()
            news = self._stage.agent.news_since(wall)
            return next((one for one in news if one.cause in fault.causes), None)

        def over() -> bool:
            return look() is not None or self._stage.agent.exit_status is not None

        until(self._clock, DETECT_SECONDS, over, LOOK_SECONDS)
        return look()

    def _passes(self, fault: Fault) -> float:
        """It stands a while, is still there, and goes away by itself; returns when."""
        self._clock.wait(LASTS_SECONDS)
        self._still_there = fault.present(self._stage.lab)
        fault.undo(self._stage.lab)
        return self._clock.run()

    def _healed(self, there: float) -> float | None:
        """When the witness first got through again, and the agent says so too (``run`` clock)."""
        witness, agent = self._stage.witness, self._stage.agent

        def over() -> bool:
            good = witness.usable_since(there) is not None and agent.up()
            return good or agent.exit_status is not None

        until(self._clock, HEAL_SECONDS, over, LOOK_SECONDS)
        sample = witness.usable_since(there)
        return sample.ended if sample is not None and agent.up() else None

    # ------------------------------------------------------------ judging

    def _row(
        self,
        fault: Fault,
        wall: float,
        found: News | None,
        healed: float | None,
        before: Process | None,
    ) -> Row:
        news = self._stage.agent.news_since(wall)
        remedies = tuple(one.remedy for one in news if one.remedy is not None)
        problems = [
            *([] if found else [f"expected {' or '.join(sorted(fault.causes))}"]),
            *([] if healed is not None else [f"it was not usable again in time{_busy()}"]),
            *wrong_causes(fault, news),
            *wrong_remedies(fault, remedies),
            *self._harm(fault, before),
            *self._agent_problems(),
        ]
        return Row(
            fault=fault,
            cause=found.cause if found else None,
            remedies=remedies,
            detected=max(0.0, found.wall - wall) if found else None,
            healed=healed,
            note=f"held by {self._holder()}" if fault.before_agent else "",
            problems=tuple(problems),
        )

    def _agent_problems(self) -> Iterator[str]:
        status = self._stage.agent.exit_status
        if status is not None:
            yield f"the agent ended with status {status}"

    def _harm(self, fault: Fault, before: Process | None) -> Iterator[str]:
        """What must not have happened to processes, looked at from outside."""
        after = self._stage.program.process()
        survived = before is not None and before.same_as(after)
        if fault.spares_runtime and not survived:
            yield "the runtime's process did not survive"
        if fault.passes and not self._still_there:
            yield "somebody ended it before it was over"
        if fault.name is FaultName.PORT_TAKEN_AT_START:
            yield from self._unnamed()

    def _unnamed(self) -> Iterator[str]:
        stranger, holder = self._stage.lab.stranger, self._holder()
        if TELLS_HOLDERS and (stranger is None or str(stranger.pid) not in holder):
            yield f"the holder of the port was not named with its pid, but as {holder}"

    def _holder(self) -> str:
        """Who holds the port, in the agent's words; the best of them, as a holder may just be going."""
        news, stranger = self._stage.agent.news_since(0), self._stage.lab.stranger
        named = [str(one.entry.get("holder")) for one in news if one.kind == "bind_failed"]
        right = [name for name in named if stranger and str(stranger.pid) in name]
        return (right or named or ["nobody"])[0]

    # ------------------------------------------------------------ telling

    def _introduce(self) -> None:
        stage = self._stage
        where = "in a private tmux" if stage.lab.tmux else "as a child of this demo (no tmux here)"
        self._say(f"SSH server on {LOOPBACK}:{stage.server.port}, private keys, no root.")
        self._say(f"Runtime: {stage.program.name}, {where}.")
        self._say(f"Agent: watchdogd run --config {stage.agent.config}")
        self._say(f"{configuration.spoken(endurance=stage.endurance)}\n")

    def _conclude(self, missing: dict[Fault, str]) -> None:
        self._say(f"\n{table(self.rows)}")
        for fault, why in missing.items():
            self._say(f"left out: {fault.title}: {why}")
        if self._all_good():
            self._say(
                "\nAll healed. The runtime's process survived every fault that was not its own, "
                "and nothing else was done than what stands here."
            )
            return
        self._say("\nNot all went as it should. The agent's last words:")
        for words in self._stage.agent.last_words():
            self._say(f"    {words}")


def wrong_causes(fault: Fault, news: tuple[News, ...]) -> Iterator[str]:
    """Incidents that were given a cause that the fault does not have."""
    right = fault.causes | fault.on_the_way
    wrong: dict[Cause, None] = {}
    for one in news:
        if one.kind in VERDICTS and one.cause is not None and one.cause not in right:
            wrong[one.cause] = None
    if wrong:
        yield f"wrong cause on the way: {', '.join(wrong)}"


def wrong_remedies(fault: Fault, remedies: tuple[Remedy, ...]) -> Iterator[str]:
    """What was done and should not have been, or was not done and should have been.

    A new link hurts nobody: the agent may make one first where it lacks sight of the server.
    """
    for one in dict.fromkeys(remedies):
        if one not in (*fault.remedies, *HARMLESS):
            yield f"{one} was not called for"
        elif one not in HARMLESS and remedies.count(one) > 1:
            yield f"{one} was done {remedies.count(one)} times"
    if fault.remedies and not set(remedies) & set(fault.remedies):
        yield f"expected {' or '.join(fault.remedies)}"


def _busy() -> str:
    """Why a repair may have been held back here, if it was the machine."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if load <= MOST_LOAD_PER_CORE:
        return ""
    return (
        f": this machine is busy (load {load:.0f} per core), and over {MOST_LOAD_PER_CORE:g} nothing that "
        "runs is restarted; try again when it is less so"
    )
