"""One target's commands, carried out on the workers; each answered by exactly one event.

In the flow: the loop hands over a command; a job does it; the answer is posted into the inbox.
A restoring or destructive remedy runs only once the journal has said that its intent is on disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, assert_never

from watchdogd.carrying.hook_jobs import HookJobs
from watchdogd.carrying.patience import Patience, within
from watchdogd.carrying.rounds import (
    LAPTOP_SLACK,
    SERVER_MOST_SECONDS,
    SERVER_SECONDS,
    SERVER_TIMEOUTS,
    Lane,
    Probes,
    Round,
    unknown,
)
from watchdogd.core.commands import (
    Apply,
    AskLink,
    Bind,
    CloseLink,
    Command,
    Dial,
    Probe,
    Publish,
    RunHook,
    SetAnswer,
    StartOver,
    Wake,
)
from watchdogd.core.events import DialFailed, Event, Observed, RemedyFinished
from watchdogd.core.model import (
    Charge,
    Env,
    Intent,
    Observation,
)
from watchdogd.core.words import HARM, Cause, Harm, ProbeName, Refusal, Remedy, Result
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import (
    Deadline,
    HookFunction,
    Journal,
    LinkStatus,
    Outcome,
    Reach,
    RemedyFunction,
)
from watchdogd.workers import Answer, Job, Overdue, Raised, Value, Workers

log = logging.getLogger(__name__)

DIAL_SECONDS = 30.0
"""For one whole dial, all addresses and phases."""
JOURNAL_SECONDS = 10.0
"""For a commit; a disk that takes longer forbids the act."""
SLACK = 2.0
"""A job's deadline beyond its function's own, so that the function has the last word."""


class LinkControl(Protocol):
    """The target's links, as the executor drives them. They post their news by themselves."""

    def status(self) -> LinkStatus: ...

    def dial(self, number: int, deadline: Deadline) -> None: ...

    def close_link(self, number: int, drain_seconds: float) -> None: ...

    def ask_link(self, number: int) -> None:
        """Must not block."""
        ...

    def start_over(self) -> None:
        """Must not block."""
        ...

    def bind(self) -> None: ...

    def set_answer(self, cause: Cause | None, retry_after: float) -> None: ...


class Executor:
    """Implements ``loop.Carrier`` for one target; ``carry`` returns at once and never raises."""

    def __init__(
        self,
        reach: Reach,
        links: LinkControl,
        workers: Workers,
        post: Callable[[Event], None],
        *,
        laptop: Probes,
        tunnel: Probes,
        server: Probes,
        remedies: Mapping[Remedy, RemedyFunction],
        journal: Journal | None,
        hook: HookFunction | None = None,
        harmless_only: bool = False,
    ) -> None:
        """``laptop`` is measured in every round, ``tunnel`` after it and ``server`` beside it in a deep
        one. ``journal`` is ``None`` where it could not be opened: nothing charged runs then.

        ``harmless_only`` (``run --once``): what is charged, and ``hook``, is answered with "nothing done".
        """
        self._reach = reach
        self._links = links
        self._workers = workers
        self._post = post
        self._laptop = laptop
        self._tunnel = tunnel
        self._server = server
        self._remedies = remedies
        self._journal = journal
        self._stopped = threading.Event()
        self._hooks = HookJobs(
            workers, post, None if harmless_only else hook, journal, self._stopped.is_set
        )
        self._harmless_only = harmless_only
        self._inside: dict[ProbeName, Job] = {}
        self._patience = Patience()
        self._answer: tuple[Cause | None, float] = (None, 0.0)
        self._answer_lock = threading.Lock()

    def carry(self, command: Command, env: Env) -> None:
        """Begin what the command asks for."""
        match command:
            case Probe():
                self.probe(command)
            case Apply(intent=intent):
                self._apply(intent, env)
            case RunHook(hook=hook):
                self._hooks.carry(self._reach, hook, env)
            case Dial(number=number):
                self._dial(number)
            case CloseLink(number=number, drain_seconds=drain):
                self._job("close link", lambda: self._links.close_link(number, drain), drain + 10.0)
            case AskLink(number=number):
                self._links.ask_link(number)
            case StartOver():
                self._links.start_over()
            case Bind():
                self._job("bind", self._links.bind, 10.0)
            case SetAnswer(cause=cause, retry_after=retry_after):
                self._answer = (cause, retry_after)
                self._job("answer", self._set_answer, 10.0)
            case Wake() | Publish():
                pass  # the loop's own
            case _:
                assert_never(command)

    def retarget(self, reach: Reach) -> None:
        """What begins from now on uses this; it must be of the same target and tunnel."""
        self._reach = reach

    def stop(self) -> None:
        """No remedy begins from now on; what runs is abandoned with the workers."""
        self._stopped.set()

    # ------------------------------------------------------------ probes

    def probe(self, command: Probe) -> None:
        """One round; its ``Observed`` is posted by the lanes' deadlines at the latest."""
        started = self._reach.clock.run()
        joint = Round(command.round, started, self._seen)
        link = self._links.status()
        reach = self._patient(link)
        timeout = reach.target.probe.timeout
        measures = self._reach.target.policy().measures
        server = {name: one for name, one in self._server.items() if measures(name)}
        laptop = {**self._laptop, **self._tunnel} if command.deep else self._laptop
        lanes = [self._lane(laptop, reach, timeout + LAPTOP_SLACK, timeout, joint)]
        extra: tuple[Observation, ...] = ()
        # What is asked over a silent link is not answered, and would hold up the whole round.
        if command.deep and link.link is not None and not link.silent:
            seconds = max(SERVER_SECONDS, min(SERVER_MOST_SECONDS, SERVER_TIMEOUTS * timeout))
            lanes.append(self._lane(server, reach, seconds, seconds, joint))
        elif command.deep:
            why = "the SSH link is silent" if link.silent else "no SSH link"
            extra = tuple(unknown(name, started, started, why) for name in server)
        joint.begin(tuple(lanes), extra)

    def _patient(self, link: LinkStatus) -> Reach:
        """The reach of this round, whose probes may take as long as the line needs."""
        trip = link.link.facts().round_trip if link.link is not None else None
        configured = self._reach.target.probe.timeout
        return within(self._reach, self._patience.seconds(configured, trip))

    def _seen(self, event: Observed) -> None:
        self._patience.learn(event)
        self._post(event)

    def _lane(
        self, probes: Probes, reach: Reach, seconds: float, each: float, joint: Round
    ) -> Lane:
        return Lane(
            probes,
            reach,
            self._workers,
            seconds=seconds,
            each=each,
            inside=self._inside,
            done=joint.lane_done,
        )

    # ------------------------------------------------------------ remedies

    def _apply(self, intent: Intent, env: Env) -> None:
        if not intent.charged:
            self._act(intent)
        elif self._harmless_only:
            self._finished(intent, Result.NOTHING, "only harmless remedies", Refusal.OBSERVE)
        elif self._journal is None:
            self._unkept(intent, "not open, so nothing may be risked")
        else:
            charge = Charge(
                remedy=intent.remedy,
                key=intent.key,
                wall=env.wall,
                boot=env.boot,
                boot_id=env.boot_id,
            )
            self._workers.submit(
                self._name(f"intent {intent.remedy}"),
                partial(self._journal.intend, self._reach.target.name, intent, charge),
                JOURNAL_SECONDS,
                partial(self._intended, intent),
            )

    def _intended(self, intent: Intent, answer: Answer[None]) -> None:
        match answer:
            case Value():
                self._act(intent)
            case Overdue():
                self._unkept(intent, "the disk did not answer in time")
            case Raised(error):
                log.error("journal cannot keep an intent, so nothing is done", exc_info=error)
                self._unkept(intent, str(error) or type(error).__name__)

    def _unkept(self, intent: Intent, why: str) -> None:
        """No commit, no act: without memory the agent only observes."""
        self._finished(intent, Result.NOTHING, f"journal: {why}", Refusal.OBSERVE)

    def _act(self, intent: Intent) -> None:
        seconds = intent.deadline_seconds
        self._workers.submit(
            self._name(f"remedy {intent.remedy}"),
            lambda: self._applied(intent, Deadline.after(self._reach.clock, seconds)),
            seconds + SLACK,
            partial(self._acted, intent),
        )

    def _applied(self, intent: Intent, deadline: Deadline) -> Outcome:
        function = self._remedies.get(intent.remedy)
        if self._stopped.is_set():
            return Outcome(result=Result.NOTHING, detail="the agent is stopping")
        if function is None:
            return Outcome(result=Result.FAILED, detail=f"{intent.remedy} is not built")
        link = self._reach.links.status()
        if HARM[intent.remedy] is not Harm.HARMLESS and (link.link is None or link.silent):
            # Known from the start, so there is no doubt to be outwaited: nothing was sent.
            told = "no SSH link answers now, so nothing was sent to the server"
            return Outcome(result=Result.NOTHING, reason=Refusal.NO_SIGHT, detail=told)
        return function(self._reach, intent, deadline)

    def _acted(self, intent: Intent, answer: Answer[Outcome]) -> None:
        match answer:
            case Value(outcome):
                pass
            case Overdue():
                outcome = Outcome(result=Result.UNKNOWN, detail="no answer by the deadline")
            case Raised(Transient() | Permanent() as error):
                result = Result.UNKNOWN if error.cause is Cause.LINK_LOST else Result.FAILED
                outcome = Outcome(result=result, detail=error.detail, mend=error.mend)
            case Raised(error):
                log.error("remedy %s failed", intent.remedy, exc_info=error)
                outcome = Outcome(
                    result=Result.FAILED,
                    detail=f"{intent.remedy} raised {type(error).__name__}; the log has the traceback",
                )
        if intent.charged and self._journal is not None:
            finish = partial(
                self._journal.finish, self._reach.target.name, intent.key, outcome.result
            )
            self._job("journal", finish, JOURNAL_SECONDS)
        self._finished(intent, outcome.result, outcome.detail, outcome.reason, outcome.mend)

    def _finished(
        self,
        intent: Intent,
        result: Result,
        detail: str,
        reason: Refusal | None = None,
        mend: str = "",
    ) -> None:
        self._post(
            RemedyFinished(key=intent.key, result=result, reason=reason, detail=detail, mend=mend)
        )

    # ------------------------------------------------------------ links

    def _dial(self, number: int) -> None:
        self._workers.submit(
            self._name("dial"),
            lambda: self._links.dial(number, Deadline.after(self._reach.clock, DIAL_SECONDS)),
            DIAL_SECONDS + SLACK,
            partial(self._dialed, number),
        )

    def _dialed(self, number: int, answer: Answer[None]) -> None:
        """A dial posts its own news; only one that broke or hangs is told here."""
        match answer:
            case Value():
                return
            case Overdue():
                cause, detail = Cause.HOST_UNREACHABLE, "the dial hangs past its deadline"
            case Raised(error):
                log.error("dial of %s failed", self._reach.target.name, exc_info=error)
                cause, detail = Cause.BUG, f"the dial raised {type(error).__name__}"
        self._post(
            DialFailed(number=number, cause=cause, permanent=False, reached=False, detail=detail)
        )

    def _set_answer(self) -> None:
        with self._answer_lock:  # the newest wins, whichever job comes last
            self._links.set_answer(*self._answer)

    def _job(self, name: str, work: Callable[[], None], seconds: float) -> None:
        self._workers.submit(self._name(name), work, seconds, partial(self._told, name))

    def _told(self, name: str, answer: Answer[None]) -> None:
        if isinstance(answer, Raised):
            log.error("%s of %s failed", name, self._reach.target.name, exc_info=answer.error)

    def _name(self, what: str) -> str:
        return f"{what} {self._reach.target.name}"
