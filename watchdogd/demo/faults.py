"""Faults by name: how each is made, how it is undone, and an own look whether it is there.

Usable by anything that has a ``Lab``: the demo, tests. ``present`` never asks the agent.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from watchdogd.core.words import Cause, Remedy
from watchdogd.demo.runtime import Program, TmuxRuntime
from watchdogd.demo.sight import LOOPBACK, Process, finish, look, send, stopped
from watchdogd.demo.ssh_server import SshServer

STRANGER = (
    "import socket, sys\n"
    "s = socket.socket()\n"
    "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
    f"s.bind(({LOOPBACK!r}, int(sys.argv[1])))\n"
    "s.listen(8)\n"
    "print('ready', flush=True)\n"
    "while True:\n"
    "    c, _ = s.accept()\n"
    "    with c: c.sendall(b'stranger')\n"
)
LOOK_SECONDS = 1.0


class FaultName(StrEnum):
    """The closed list."""

    PORT_TAKEN_AT_START = "port_taken_at_start"
    LINK_KILLED = "link_killed"
    LINK_FROZEN = "link_frozen"
    SERVER_GONE_AND_BACK = "server_gone_and_back"
    RUNTIME_KILLED = "runtime_killed"
    RUNTIME_HUNG = "runtime_hung"
    SESSION_KILLED = "session_killed"


@dataclass(slots=True, kw_only=True)
class Lab:
    """The parts that faults are done to, and what a fault in progress must remember."""

    server: SshServer
    program: Program
    tmux: TmuxRuntime | None
    """``None`` where tmux is missing: then the last three faults cannot be made."""
    local_port: int
    """The agent's end of the forward."""
    stranger: subprocess.Popen[bytes] | None = None
    victims: tuple[int, ...] = ()
    hung: Process | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. ``causes`` and ``remedies`` are what a correct agent answers it with."""

    name: FaultName
    title: str
    """One line for people."""
    causes: frozenset[Cause]
    remedies: tuple[Remedy, ...]
    """What may be done; empty if the world must mend it and the agent only has to notice."""
    passes: bool
    """It is undone from outside while the agent watches; healing is measured from that moment."""
    spares_runtime: bool
    """The runtime's process must be the same one afterwards."""
    inject: Callable[[Lab], None]
    undo: Callable[[Lab], None]
    """Leaves nothing of the fault behind; harmless if it was healed already, or never made."""
    present: Callable[[Lab], bool]
    on_the_way: frozenset[Cause] = frozenset()
    """Causes that may be believed first: what is seen before the whole of it is."""
    needs_tmux: bool = False
    before_agent: bool = False
    """It is made before the agent is started."""


# ---------------------------------------------------------------- the link


def _kill_link(lab: Lab) -> None:
    lab.victims = lab.server.kill_sessions()


def _link_is_killed(lab: Lab) -> bool:
    return bool(lab.victims) and all(look(pid) is None for pid in lab.victims)


def _freeze_link(lab: Lab) -> None:
    lab.victims = lab.server.freeze_sessions()


def _thaw_link(lab: Lab) -> None:
    lab.server.thaw_sessions()


def _link_is_frozen(lab: Lab) -> bool:
    return bool(lab.victims) and all(stopped(pid) for pid in lab.victims)


def _stop_server(lab: Lab) -> None:
    lab.server.stop()


def _start_server(lab: Lab) -> None:
    if not lab.server.listening:
        lab.server.start()


def _server_is_gone(lab: Lab) -> bool:
    return not lab.server.sessions() and _refused(lab.server.port)


# ---------------------------------------------------------------- the local port


def _take_port(lab: Lab) -> None:
    """A process that has nothing to do with us listens there; returns once it does."""
    argv = [sys.executable, "-c", STRANGER, str(lab.local_port)]
    lab.stranger = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
    if lab.stranger.stdout is not None:
        lab.stranger.stdout.readline()


def _leave_port(lab: Lab) -> None:
    if lab.stranger is not None:
        finish(lab.stranger)
        if lab.stranger.stdout is not None:
            lab.stranger.stdout.close()


def _stranger_answers(lab: Lab) -> bool:
    alive = lab.stranger is not None and lab.stranger.poll() is None
    return alive and _first_bytes(lab.local_port) == b"stranger"


# ---------------------------------------------------------------- the runtime


def _kill_runtime(lab: Lab) -> None:
    process = lab.program.process()
    if process is not None:
        send(process, signal.SIGKILL)


def _runtime_is_dead(lab: Lab) -> bool:
    return lab.program.process() is None and _refused(lab.program.port)


def _hang_runtime(lab: Lab) -> None:
    lab.hung = lab.program.process()
    if lab.hung is not None:
        send(lab.hung, signal.SIGSTOP)


def _free_runtime(lab: Lab) -> None:
    if lab.hung is not None:
        send(lab.hung, signal.SIGCONT)
        lab.hung = None


def _runtime_is_hung(lab: Lab) -> bool:
    seen = look(lab.hung.pid) if lab.hung is not None else None
    still = seen is not None and seen.same_as(lab.hung) and stopped(seen.pid)
    return still and not lab.program.answers(LOOK_SECONDS) and not _refused(lab.program.port)


def _kill_session(lab: Lab) -> None:
    if lab.tmux is not None:
        lab.tmux.kill_session()


def _session_is_gone(lab: Lab) -> bool:
    return lab.tmux is not None and not lab.tmux.has_session() and _runtime_is_dead(lab)


def _nothing(_: Lab) -> None:
    """What the agent has to heal by itself needs no undoing."""


# ---------------------------------------------------------------- looks


def _refused(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=LOOK_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _first_bytes(port: int) -> bytes:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), LOOK_SECONDS) as asking:
        return asking.recv(64)
    return b""


# ---------------------------------------------------------------- the list

HARMLESS = (Remedy.RECONNECT, Remedy.REOPEN_FORWARD)

FAULTS: Mapping[FaultName, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            name=FaultName.PORT_TAKEN_AT_START,
            title="a stranger holds the local port when the agent starts",
            causes=frozenset({Cause.PORT_CONFLICT}),
            remedies=(),
            passes=True,
            spares_runtime=True,
            inject=_take_port,
            undo=_leave_port,
            present=_stranger_answers,
            before_agent=True,
        ),
        Fault(
            name=FaultName.LINK_KILLED,
            title="SSH link killed",
            causes=frozenset({Cause.LINK_LOST}),
            remedies=HARMLESS,
            passes=False,
            spares_runtime=True,
            inject=_kill_link,
            undo=_nothing,
            present=_link_is_killed,
        ),
        Fault(
            name=FaultName.LINK_FROZEN,
            title="SSH link frozen (TCP stays up, nobody answers)",
            causes=frozenset({Cause.LINK_LOST}),
            remedies=HARMLESS,
            passes=False,
            spares_runtime=True,
            inject=_freeze_link,
            undo=_thaw_link,
            present=_link_is_frozen,
        ),
        Fault(
            name=FaultName.SERVER_GONE_AND_BACK,
            title="SSH server gone, and back",
            causes=frozenset({Cause.SSHD_DOWN}),
            remedies=HARMLESS,
            passes=True,
            spares_runtime=True,
            inject=_stop_server,
            undo=_start_server,
            present=_server_is_gone,
            on_the_way=frozenset({Cause.LINK_LOST}),
        ),
        Fault(
            name=FaultName.RUNTIME_KILLED,
            title="runtime killed in its tmux session",
            causes=frozenset({Cause.SESSION_MISSING, Cause.RUNTIME_REFUSED}),
            remedies=(Remedy.START_SESSION,),
            passes=False,
            spares_runtime=False,
            inject=_kill_runtime,
            undo=_nothing,
            present=_runtime_is_dead,
            needs_tmux=True,
        ),
        Fault(
            name=FaultName.RUNTIME_HUNG,
            title="runtime hung (connects, never answers)",
            causes=frozenset({Cause.RUNTIME_HUNG}),
            remedies=(Remedy.RESTART_SESSION,),
            passes=False,
            spares_runtime=False,
            inject=_hang_runtime,
            undo=_free_runtime,
            present=_runtime_is_hung,
            needs_tmux=True,
        ),
        Fault(
            name=FaultName.SESSION_KILLED,
            title="tmux session killed",
            causes=frozenset({Cause.SESSION_MISSING}),
            remedies=(Remedy.START_SESSION,),
            passes=False,
            spares_runtime=False,
            inject=_kill_session,
            undo=_nothing,
            present=_session_is_gone,
            on_the_way=frozenset({Cause.RUNTIME_REFUSED}),
            needs_tmux=True,
        ),
    )
}
"""In the order in which the demo plays them."""
