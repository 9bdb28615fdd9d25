"""What the settings can keep: the worst case after a tunnel fault, held against what was asked for."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec

from watchdogd.loading.mismatch import mismatches
from watchdogd.loading.values import duration_text
from watchdogd.settings import Settings, TargetSettings

APPRISE = "apprise>=2.2,<3"
"""As the extra ``notify`` has it."""
_LATE = 1.0
_WATCHER = 0.25
_DIAL = 3.0
_HARD_LIMIT = 60.0
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def cautions(settings: Settings) -> tuple[str, ...]:
    """All that is allowed and likely not meant: what ``config check`` warns of, and ``run`` at its start."""
    return (*_worst_case(settings), *mismatches(settings), *_nobody_to_tell(settings))


def _nobody_to_tell(settings: Settings) -> tuple[str, ...]:
    """Addresses are given, and the package that sends to them is not installed."""
    key = "urls_file" if settings.notify.urls_file else "urls_command"
    if not settings.notify.tells or find_spec("apprise") is not None:
        return ()
    return (
        f"notify.{key}: nobody is told anything, as apprise is not installed beside watchdogd: "
        f"{shlex.quote(sys.executable)} -m pip install '{APPRISE}'",
    )


def _worst_case(settings: Settings) -> tuple[str, ...]:
    """One warning for each promise that cannot be kept; empty if all can.

    A link fell silent just after an answer: the next question comes a keepalive later, 1 s after that its
    answer is late (more on a slow line), a watcher finds it 0.25 s later, and a dial on a good path is
    allowed 3 s. A link that stays silent for 60 s is cut whatever the keepalive.
    """
    return tuple(line for target in settings.targets.values() for line in _warnings(target))


def _warnings(target: TargetSettings) -> list[str]:
    keepalive, objective = target.ssh.keepalive, target.forward.objective
    silence = keepalive + _LATE + _WATCHER
    served = silence + _DIAL
    lines = [f"targets.{target.name}: {why}"] if (why := _reaches_itself(target)) else []
    if served > objective:
        lines.append(
            f"targets.{target.name}: a silent link is replaced after {_s(served)} at worst "
            f"(ssh.keepalive {_s(keepalive)}, {_s(_LATE + _WATCHER)} for its answer, {_s(_DIAL)} for a dial), later "
            f"than forward.objective {_s(objective)}; lower ssh.keepalive or raise the objective"
        )
    if 2 * silence > _HARD_LIMIT:
        lines.append(
            f"targets.{target.name}: ssh.keepalive {_s(keepalive)} leaves a silent link less than "
            f"{_s(2 * silence)}: it is cut at {_s(_HARD_LIMIT)}; keep ssh.keepalive at "
            f"{_s(_HARD_LIMIT / 2 - _LATE - _WATCHER)} or below"
        )
    return lines


def _reaches_itself(target: TargetSettings) -> str:
    """Why what the forward reaches is the forward; empty if it is not."""
    local, remote = target.forward.local, target.forward.remote
    if target.ssh.host not in _THIS_MACHINE or local.port != remote.port:
        return ""
    return (
        f"the server is this machine, and forward.local {local} is the port of forward.remote {remote}: "
        "the forward would reach itself; set another forward.local"
    )


def _s(seconds: float) -> str:
    return f"{seconds:g}s" if seconds < 60 else duration_text(seconds)
