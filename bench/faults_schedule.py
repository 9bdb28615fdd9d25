"""The faults: what is done to each lane, at which second. The same for all of them, at the same moment."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass

from bench.faults_client import PATIENCE
from bench.faults_lane import ELSEWHERE, HOME, Lane
from tests.lab.sshd import Sshd, keygen

Act = Callable[[Lane], object]


def _always(_lane: Lane) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``steps``: what is done how many seconds after the fault's begin, in that order."""

    title: str
    steps: tuple[tuple[float, Act], ...]
    before: Act | None = None
    """Done before the keeper is started."""
    slow: bool = False
    """Late answers are this fault's nature: nobody can be faster."""
    patience: float = PATIENCE
    root: bool = False
    applies: Callable[[Lane], bool] = _always


def _set(**values: object) -> Act:
    def act(lane: Lane) -> None:
        for name, value in values.items():
            setattr(lane.line, name, value)

    return act


def _reset(lane: Lane) -> None:
    lane.line.reset_all()


def _calm(lane: Lane) -> None:
    lane.line.calm()


def _kill(lane: Lane) -> None:
    lane.sshd.kill_sessions()


def _all(*acts: Act) -> Act:
    def act(lane: Lane) -> None:
        for one in acts:
            one(lane)

    return act


def _stall(lane: Lane) -> None:
    lane.line.hole()


def _flow(lane: Lane) -> None:
    lane.line.hole(up=True, down=True)


def _lossy() -> float:
    """30 % of all pieces are lost, each loss is a TCP retransmission: 0.2 s, doubled each time (RFC 6298;
    Linux's least timeout)."""
    late, timeout = 0.0, 0.2
    while random.random() < 0.3:  # noqa: S311 - no secret
        late, timeout = late + timeout, 2 * timeout
    return late


def _jitter() -> float:
    return random.uniform(0.0, 2.0)  # noqa: S311 - no secret


def _rogue(lane: Lane) -> None:
    rogue = Sshd()
    lane.rogues.append(rogue)
    rogue.authorize(lane.sshd.identity)
    lane.line.target = rogue.port
    _reset(lane)


def _other_key(lane: Lane) -> None:
    key = lane.folder / "other"
    lane.sshd.authorize(key if key.exists() else keygen(key))
    _kill(lane)


def _same_port(lane: Lane) -> None:
    lane.user_config(f"LocalForward {lane.local} {lane.remote}")
    _kill(lane)


def _moved(lane: Lane) -> None:
    lane.line.hole()
    lane.line.listen(ELSEWHERE)
    lane.resolve_to(ELSEWHERE)


def _nameless(lane: Lane) -> None:
    lane.resolve_to("")
    _kill(lane)


def _passing(seconds: float, **values: object) -> tuple[tuple[float, Act], ...]:
    """The line is so for a while."""
    return ((0.0, _set(**values)), (seconds, _calm))


def _after_loss(seconds: float, **values: object) -> tuple[tuple[float, Act], ...]:
    """So, and the present connections are reset as it begins."""
    return ((0.0, _all(_set(**values), _reset)), (seconds, _calm))


_SQUAT = tuple((number / 10, Lane.take_port) for number in range(1, 40))
_REBOOTS = tuple(
    step
    for at in (0.0, 15.0, 30.0, 45.0)
    for step in ((at, Lane.server_down), (at + 3, Lane.server_up))
)
FAULTS: dict[str, Fault] = {
    "session_killed": Fault(
        title="the server's session processes are killed", steps=((0.0, _kill),)
    ),
    "reset": Fault(title="the connection is reset", steps=((0.0, _reset),)),
    "half_closed": Fault(
        title="the server ends its half of the connection",
        steps=((0.0, lambda lane: lane.line.half_close()),),
    ),
    "hole_this": Fault(
        title="a black hole for this connection, new ones work", steps=((0.0, _stall),)
    ),
    "hole_all_20": Fault(
        title="a black hole for everything, 20 s", steps=_passing(20.0, frozen=True)
    ),
    "stall_40": Fault(
        title="this connection stalls for 40 s, new ones work", steps=((0.0, _stall), (40.0, _flow))
    ),
    "one_way": Fault(
        title="what this connection's client sends vanishes",
        steps=((0.0, lambda lane: lane.line.hole(down=True)),),
    ),
    "session_stopped": Fault(
        title="the session processes get SIGSTOP, for good",
        steps=((0.0, lambda lane: lane.sshd.kill_sessions(signal.SIGSTOP)),),
    ),
    "sshd_restart_3": Fault(
        title="sshd is down for 3 s", steps=((0.0, Lane.server_down), (3.0, Lane.server_up))
    ),
    "sshd_down_20": Fault(
        title="sshd is down for 20 s", steps=((0.0, Lane.server_down), (20.0, Lane.server_up))
    ),
    "reboots": Fault(title="the server is down 3 s of every 15 s, for a minute", steps=_REBOOTS),
    "refuses_15": Fault(
        title="reset, and connects are refused for 15 s",
        steps=(
            (0.0, lambda lane: lane.line.listen()),
            (0.0, _reset),
            (15.0, lambda lane: lane.line.listen(HOME)),
        ),
    ),
    "no_banner_20": Fault(
        title="reset, and for 20 s no banner comes", steps=_after_loss(20.0, mute=True)
    ),
    "banner_after_8": Fault(
        title="reset, and for 30 s the banner is 8 s late",
        steps=_after_loss(30.0, first_byte_after=8.0),
    ),
    "kex_cut_3": Fault(
        title="reset, and three times again in the key exchange", steps=_after_loss(60.0, cuts=3)
    ),
    "turned_away_15": Fault(
        title="reset, and for 15 s closed before the banner",
        steps=_after_loss(15.0, turns_away=True),
    ),
    "dies_often_30": Fault(
        title="for 30 s each connection is reset after 3 s", steps=_after_loss(30.0, lifetime=3.0)
    ),
    "loss_30": Fault(
        title="30 % of all pieces are lost, for 30 s",
        steps=_passing(30.0, delay=_lossy),
        slow=True,
        patience=15.0,
    ),
    "round_trip_6": Fault(
        title="a round trip takes 6 s, for 60 s",
        steps=_passing(60.0, delay=lambda: 3.0),
        slow=True,
        patience=30.0,
    ),
    "jitter_2": Fault(
        title="each piece is 0 to 2 s late, for 30 s",
        steps=_passing(30.0, delay=_jitter),
        slow=True,
        patience=30.0,
    ),
    "throttled": Fault(
        title="8 kB/s, for 30 s",
        steps=_passing(30.0, bytes_per_second=8000.0),
        slow=True,
        patience=15.0,
    ),
    "runtime_refused": Fault(
        title="the runtime is gone for 15 s",
        steps=((0.0, Lane.stop_runtime), (15.0, Lane.start_runtime)),
    ),
    "runtime_hung": Fault(
        title="the runtime hangs for 15 s",
        steps=((0.0, Lane.freeze_runtime), (15.0, Lane.thaw_runtime)),
    ),
    "port_taken_on_loss": Fault(
        title="session killed; a stranger takes the local port if it is free in 4 s, for 15 s",
        steps=((0.0, _kill), *_SQUAT, (15.0, Lane.free_port)),
    ),
    "port_taken_on_start": Fault(
        title="keeper killed; a stranger takes the local port, for 15 s",
        steps=((0.0, lambda lane: lane.keeper.kill_main()), *_SQUAT, (15.0, Lane.free_port)),
    ),
    "keeper_killed": Fault(
        title="the keeper is killed; its service manager starts it again",
        steps=((0.0, lambda lane: lane.keeper.kill_main()),),
    ),
    "ssh_killed": Fault(
        title="the ssh process is killed",
        steps=((0.0, lambda lane: lane.keeper.signal_ssh(signal.SIGKILL)),),
        applies=lambda lane: lane.has_ssh_child,
    ),
    "ssh_stopped": Fault(
        title="the ssh process gets SIGSTOP, for good",
        steps=((0.0, lambda lane: lane.keeper.signal_ssh(signal.SIGSTOP)),),
        applies=lambda lane: lane.has_ssh_child,
    ),
    "keeper_stopped_20": Fault(
        title="all of the keeper is stopped for 20 s",
        steps=((0.0, lambda lane: lane.keeper.freeze()), (20.0, lambda lane: lane.keeper.thaw())),
    ),
    "local_forward": Fault(
        title="session killed; for 20 s the user's Host block has the same LocalForward",
        steps=((0.0, _same_port), (20.0, lambda lane: lane.user_config())),
    ),
    "host_key_20": Fault(
        title="another server with another host key answers for 20 s",
        steps=((0.0, _rogue), (20.0, lambda lane: lane.original())),
    ),
    "key_revoked_20": Fault(
        title="session killed; the key is not accepted for 20 s",
        steps=((0.0, _other_key), (20.0, lambda lane: lane.sshd.authorize(lane.sshd.identity))),
    ),
    "address_moved": Fault(
        title="the name leads to another address, the old one is gone",
        steps=((0.0, _moved),),
        root=True,
    ),
    "name_unknown_15": Fault(
        title="session killed; the name cannot be resolved for 15 s",
        steps=((0.0, _nameless), (15.0, lambda lane: lane.resolve_to(HOME))),
        root=True,
    ),
    "idle_20": Fault(
        title="no client for 20 s, UnusedConnectionTimeout 4 s",
        before=lambda lane: lane.server_options({"UnusedConnectionTimeout": "4"}),
        steps=(
            (0.0, lambda lane: lane.rest(True)),
            (20.0, lambda lane: lane.rest(False)),
        ),
    ),
}
