"""When a training run is resumed after a repair, and what is made of that.

In the flow: ``remedying`` says when a repair begins and how it ends; ``step`` calls ``follow`` after the
decision of each turn. A resume never leads to a remedy and forbids none: nothing here is read by ``choose``.
"""

from __future__ import annotations

from dataclasses import replace

from watchdogd.core.choose import only_observes
from watchdogd.core.commands import (
    HookBegan,
    HookEnded,
    ResumeEnded,
    ResumeHalted,
    ResumeWithheld,
    RunHook,
)
from watchdogd.core.events import HookFinished, Started
from watchdogd.core.lengths import length
from watchdogd.core.model import Intent, TargetState
from watchdogd.core.resume import NOTHING_OWED, Hook, Resume, Trial
from watchdogd.core.sight import Generation
from watchdogd.core.turn import Turn
from watchdogd.core.words import Mode, Phase, Refusal, Result

HOOK_SECONDS = 60.0
"""How long the command may run (reasoned: as long as a container may take to start). What it starts is to
go on without it."""
ENDING_SECONDS = 15.0
"""Beyond it, for its end by force: then the core gives up on the answer."""
PROGRESS_SECONDS = 600.0
"""So soon after the hook the progress file must move (the design's number: a model is loaded, and compiled)."""
RETRY_SECONDS = 60.0
"""After a hook that was not begun, because the journal could not keep it."""
BACK_AFTER = 2
"""So many failures at one step: the next try begins one checkpoint earlier."""
MOST_FAILURES = 3
"""That one failed, too: only a person knows better."""
SAME_STEP = 0.001
"""Steps that differ by so small a part are the same: a file that is written every few seconds shows the step
of a crash only so exactly (reasoned)."""
PROVED = (Phase.SETTLING, Phase.STEADY)


# ---------------------------------------------------------------- told by the repair


def repairing(turn: Turn, intent: Intent) -> None:
    """A repair begins that may end or replace what runs. The first of several says what was lost; a hook
    that still runs is for an earlier one."""
    if not turn.policy.resumes or not intent.charged:
        return
    known = turn.state.resume or NOTHING_OWED
    if known.lost is None or turn.state.hook is not None:
        known = replace(
            known,
            lost=intent.generation,
            repair=intent.key,
            incident=intent.incident,
            made=None,
        )
    turn.change(resume=known)


def acted(turn: Turn) -> None:
    """The repair did something, or nobody knows: what comes now may be its work."""
    known = turn.state.resume
    if known is not None and known.lost is not None:
        turn.change(resume=replace(known, made=None))


def called_off(turn: Turn, intent: Intent) -> None:
    """The repair did nothing after all."""
    known = turn.state.resume
    if known is not None and known.lost is not None and known.repair == intent.key:
        turn.change(resume=_paid(known))


def unproved(turn: Turn) -> None:
    """A repair failed, or did not bring health in time. It may still come, of this or of a person's work."""
    known = turn.state.resume
    if known is not None and known.lost is not None:
        turn.change(resume=replace(known, made=turn.state.generation))


def remembered(turn: Turn, event: Started) -> None:
    """Take up what a former agent left. Which hook was begun the journal knows: it was told before it was.

    A repair whose end is not known may have been decided so late that nothing else was kept of it: what was
    seen healthy last is what it met.
    """
    kept, owing = event.memory.resume, bool(event.open)
    if kept is None and not (owing and turn.policy.resumes) and event.hook is None:
        return
    known = replace(kept or NOTHING_OWED, ran=event.hook)
    if owing:
        known = replace(known, made=None)
    if owing and known.lost is None and turn.policy.resumes:
        incident = event.memory.incident
        known = replace(
            known,
            lost=event.memory.armed or Generation(),
            incident=incident.id if incident is not None else "",
            made=None,
        )
    turn.change(resume=known)


def lifted(turn: Turn) -> None:
    """A person says to try again: with the next repair."""
    known = turn.state.resume
    if known is not None:
        turn.change(resume=replace(known, trial=Trial.NONE, failures=0, halted=False))


def redefined(turn: Turn) -> None:
    """Something else is behind the tunnel: what was owed or counted was another training's."""
    known = turn.state.resume
    if known is not None:
        turn.change(resume=Resume(ran=known.ran), hook=None, hook_until=0.0, last_step=None)


# ---------------------------------------------------------------- each turn


def pending(state: TargetState) -> bool:
    """Is anything to be followed?"""
    known = state.resume
    return state.hook is not None or (
        known is not None and (known.lost is not None or known.trial is Trial.OPEN)
    )


def follow(turn: Turn) -> None:
    """Run the hook once a repair is proved; look whether the training moves after it."""
    state = turn.state
    if state.hook is not None:
        if turn.env.run >= state.hook_until:
            late = HookFinished(key=state.hook.key, result=Result.UNKNOWN, detail="no answer")
            finished(turn, late)
        return
    if state.resume is not None and state.resume.trial is Trial.OPEN:
        _watch(turn, state.resume)
    if turn.state.resume is not None and turn.state.resume.lost is not None:
        _owed(turn, turn.state.resume)


def _owed(turn: Turn, known: Resume) -> None:
    state, policy, now = turn.state, turn.policy, turn.state.generation
    if state.pause is not None and state.intent is None:
        _withhold(turn, known, Refusal.PAUSED, "the target is paused: who paused it resumes it")
        return
    if state.phase not in PROVED or now.container is None or not _read(state):
        return
    if not policy.resumes or not _replaced(known, now):
        turn.change(resume=_paid(known))
    elif same_run(known.ran, now):
        # Begun by an agent that did not live to see its end. It is not known, and not repeated.
        trial = Trial.OPEN if policy.watches_progress else Trial.NONE
        turn.change(resume=_paid(replace(known, trial=trial)), hook_until=0.0)
    elif policy.mode is Mode.OBSERVE:
        _withhold(turn, known, Refusal.OBSERVE, 'mode is "observe"')
    elif known.halted:
        _withhold(turn, known, Refusal.HALTED, _halted(known))
    elif _goes_on(state):
        _withhold(turn, known, Refusal.VETO, "it goes on by itself: its progress moves")
    elif _may_begin(turn):
        _begin(turn, known)


def _read(state: TargetState) -> bool:
    """Was it read which run that is, since the repair ended?"""
    seen = state.sight.container or state.sight.session
    return seen is not None and seen.read_at >= state.ignore_before


def _may_begin(turn: Turn) -> bool:
    """Where a training can be seen it is looked for in two reads: it may go on by itself."""
    state, policy, now = turn.state, turn.policy, turn.env.run
    looked = not policy.watches_training or now - state.phase_since >= policy.read_gap
    return looked and now >= state.hook_not_before and not only_observes(state, now)


def _replaced(known: Resume, now: Generation) -> bool:
    """Is what runs now the work of the repair, and not what ran before it or what a person started?"""
    return not same_run(known.lost, now) and (known.made is None or same_run(known.made, now))


def same_run(one: Generation | None, other: Generation) -> bool:
    """The same run of the runtime: the server's boot adds nothing to that, and may not be known."""
    return one is not None and (one.container, one.started) == (other.container, other.started)


def _goes_on(state: TargetState) -> bool:
    """Was progress seen to move since this run of the runtime began? A second training would spoil it."""
    life = state.life
    beacons = (life.progress, life.checkpoint)
    moved = any(one is not None and bool(one.gaps) for one in beacons)
    return moved or life.busy_run is not None or _holds_gpu(state)


def _holds_gpu(state: TargetState) -> bool:
    """Does a process that is known to be the runtime's hold a GPU? The server's GPUs may be anybody's: what
    held one while the runtime's processes could not be listed says nothing."""
    gpu, host = state.sight.gpu, state.sight.host
    ours = {one.pid for one in (host.processes if host else None) or ()}
    return gpu is not None and any(one.pid in ours for one in gpu.processes)


def _withhold(turn: Turn, known: Resume, reason: Refusal, detail: str) -> None:
    """Not now, and not later: what happened since then is for a person to judge."""
    turn.change(resume=_paid(known))
    turn.tell(ResumeWithheld(incident=known.incident, reason=reason, detail=detail))


def _paid(known: Resume) -> Resume:
    """Nothing is owed any more."""
    return replace(known, lost=None, repair="", incident="", made=None)


def _begin(turn: Turn, known: Resume) -> None:
    """One hook for this generation; the journal keeps that before it runs."""
    state, env = turn.state, turn.env
    known = _where(turn, known)
    if known.halted:
        _withhold(turn, known, Refusal.HALTED, _halted(known))
        return
    now = state.generation
    hook = Hook(
        key=f"{known.incident}:resume:{now.container}:{now.started or ''}",
        incident=known.incident,
        repair=known.repair,
        generation=now,
        attempt=known.failures + 1,
        back=1 if known.failures >= BACK_AFTER else 0,
        step=state.last_step,
        decided=env.run,
        deadline_seconds=HOOK_SECONDS,
    )
    turn.change(
        hook=hook,
        hook_until=env.run + HOOK_SECONDS + ENDING_SECONDS,
        hook_mark=_mark(state),
        resume=replace(known, ran=now, trial=Trial.NONE),
    )
    turn.tell(HookBegan(hook=hook))
    turn.emit(RunHook(hook=hook))


def _where(turn: Turn, known: Resume) -> Resume:
    """What is known of the place where the training was lost now. The last resume failed if it got no
    further than that, unless it was counted already."""
    step = turn.state.last_step
    if not same_step(known.step, step):
        return replace(known, step=step, failures=0)
    if step is None and known.trial is Trial.MOVED:
        return replace(known, failures=0)  # it moved, and nothing tells that it came no further
    if known.trial not in (Trial.OPEN, Trial.MOVED):
        return known
    return _failed(turn, known, "the training was lost at the same step again")


def same_step(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= SAME_STEP * max(abs(one), abs(other))


# ---------------------------------------------------------------- what became of it


def finished(turn: Turn, event: HookFinished) -> None:
    """The one answer to the hook in flight; any other is late."""
    env, hook, known = turn.env, turn.state.hook, turn.state.resume
    if hook is None or known is None or event.key != hook.key:
        return
    seconds = env.run - hook.decided
    turn.tell(HookEnded(hook=hook, result=event.result, seconds=seconds, detail=event.detail))
    turn.change(hook=None)
    if event.result is Result.NOTHING:
        known = replace(known, ran=None)
        turn.change(resume=known, hook_not_before=env.run + RETRY_SECONDS)
        return
    if event.result is not Result.DONE:
        known = _failed(turn, known, f"the command {_ended(event.result, hook)}")
    elif turn.policy.watches_progress:
        known = replace(known, trial=Trial.OPEN)
        turn.change(hook_until=env.run + PROGRESS_SECONDS)
        turn.look_again(0)
    else:
        known = replace(known, failures=0)
    turn.change(resume=_paid(known) if known.repair == hook.repair else known)


def _ended(result: Result, hook: Hook) -> str:
    if result is Result.UNKNOWN:
        return f"did not end within {length(hook.deadline_seconds)}"
    return "failed"


def _watch(turn: Turn, known: Resume) -> None:
    """Does the progress file move? Only a look that could read it can say that it does not."""
    state, seen = turn.state, turn.state.sight.training
    if not state.hook_until:  # a former agent's hook: its time begins anew
        turn.change(hook_until=turn.env.run + PROGRESS_SECONDS, hook_mark=_mark(state))
    elif not turn.policy.watches_progress:
        turn.change(resume=replace(known, trial=Trial.NONE))
    elif seen is None:
        return
    elif seen.progress_mark and seen.progress_mark != state.hook_mark:
        turn.change(resume=replace(known, trial=Trial.MOVED))
        turn.tell(ResumeEnded(moved=True, step=seen.step, failures=known.failures))
    elif seen.read_at >= state.hook_until:
        told = f"no progress for {length(PROGRESS_SECONDS)} after it"
        turn.change(resume=_failed(turn, known, told))


def _failed(turn: Turn, known: Resume, detail: str) -> Resume:
    """Counted and told. Nothing else comes of it: no container is touched for it."""
    failures = known.failures + 1
    halted = failures >= MOST_FAILURES
    turn.tell(ResumeEnded(moved=False, step=known.step, failures=failures, detail=detail))
    if halted and not known.halted:
        turn.tell(ResumeHalted(step=known.step, failures=failures))
    return replace(known, trial=Trial.FAILED, failures=failures, halted=halted)


def _halted(known: Resume) -> str:
    where = f" at step {known.step:g}" if known.step is not None else ""
    return f"{known.failures} resumes in a row failed{where}; a person has to reset it"


def _mark(state: TargetState) -> str:
    return state.sight.training.progress_mark if state.sight.training is not None else ""
