"""The resume hook: ``resume_command`` of a target, run on this machine after a verified repair. No remedy.

What it is told stands in a line of JSON on its standard input. Status 0 says that the training was started;
whether it moves is looked for by the probes.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from watchdogd.core.resume import Hook
from watchdogd.core.words import Result
from watchdogd.ports import Deadline, Outcome, RunHere
from watchdogd.settings import TargetSettings

SCHEMA = "watchdogd.resume/1"
_SHOWN = 400
"""Characters of what it printed last that are told."""


def request(target: str, hook: Hook) -> bytes:
    """What the command is told."""
    run = hook.generation
    told = {
        "schema": SCHEMA,
        "target": target,
        "incident": hook.incident,
        "generation": {
            "boot_id": run.boot_id,
            "container": run.container,
            "started": run.started,
        },
        "attempt": hook.attempt,
        "back": hook.back,
        "last_step": hook.step,
        "deadline_seconds": hook.deadline_seconds,
    }
    return json.dumps(told).encode() + b"\n"


def resume(
    run: RunHere,
    redact: Callable[[str], str],
    target: TargetSettings,
    hook: Hook,
    deadline: Deadline,
) -> Outcome:
    """Run it to its end or to the deadline. ``redact`` takes secrets out of what it printed."""
    argv = target.training.resume_command
    if not argv:
        return Outcome(result=Result.NOTHING, detail="resume_command is not configured any more")
    try:
        ran = run(argv, stdin=request(target.name, hook), deadline=deadline)
    except InterruptedError as error:
        return Outcome(result=Result.NOTHING, detail=str(error))
    except OSError as error:
        return Outcome(result=Result.FAILED, detail=f"it cannot be started: {error.strerror}")
    words = _last_words(ran.said, redact)
    if ran.status is None:
        limit = f"it was ended after {hook.deadline_seconds:g} s"
        return Outcome(result=Result.UNKNOWN, detail=limit + words)
    if ran.status == 0:
        return Outcome(result=Result.DONE, detail=words.removeprefix("; "))
    how = f"signal {-ran.status}" if ran.status < 0 else f"status {ran.status}"
    return Outcome(result=Result.FAILED, detail=how + words)


def _last_words(said: bytes, redact: Callable[[str], str]) -> str:
    lines = [line.strip() for line in redact(said.decode(errors="replace")).splitlines()]
    text = " | ".join(line for line in lines if line)
    plain = "".join(char if char.isprintable() else "?" for char in text)
    return f"; it printed: {plain[-_SHOWN:]}" if plain else ""
