"""The closed lists of the outside interface as enums, and the inner words that the core adds to them.

Everything is compared with ``is``; nothing branches on free text.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class State(StrEnum):
    """What a target is, exactly one at a time. ``ASLEEP`` is booked, never shown."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    HEALING = "healing"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    PAUSED = "paused"
    ASLEEP = "asleep"


LIVE_STATES = tuple(state for state in State if state is not State.ASLEEP)
"""The states a target can be in (a sleeping laptop shows nothing)."""


class Cause(StrEnum):
    """The lowest failing layer's diagnosis."""

    AGENT = "agent"
    OFFLINE = "offline"
    CAPTIVE_PORTAL = "captive_portal"
    DNS = "dns"
    HOST_UNREACHABLE = "host_unreachable"
    SSHD_DOWN = "sshd_down"
    SSHD_REJECTS = "sshd_rejects"
    HOST_KEY = "host_key"
    AUTH = "auth"
    LINK_LOST = "link_lost"
    REMOTE_WEDGED = "remote_wedged"
    FORWARD_DENIED = "forward_denied"
    FORWARD_STALLED = "forward_stalled"
    PORT_CONFLICT = "port_conflict"
    WRONG_SERVER = "wrong_server"
    CONTAINER_AMBIGUOUS = "container_ambiguous"
    CONTAINER_ENGINE_DOWN = "container_engine_down"
    CONTAINER_MISSING = "container_missing"
    CONTAINER_EXITED = "container_exited"
    CONTAINER_OOM = "container_oom"
    CONTAINER_PAUSED = "container_paused"
    CONTAINER_RESTARTING = "container_restarting"
    SESSION_MISSING = "session_missing"
    RUNTIME_REFUSED = "runtime_refused"
    RUNTIME_HUNG = "runtime_hung"
    RUNTIME_ERROR = "runtime_error"
    RUNTIME_AUTH = "runtime_auth"
    KERNEL_DEAD = "kernel_dead"
    GPU_LOST = "gpu_lost"
    DISK_FULL = "disk_full"
    TRAINING_STALLED = "training_stalled"
    TRAINING_LOST = "training_lost"
    BUG = "bug"


class Remedy(StrEnum):
    """One repair each."""

    RECONNECT = "reconnect"
    REOPEN_FORWARD = "reopen_forward"
    FREE_PORT = "free_port"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a remedy
    OPEN_SESSION = "open_session"
    START_CONTAINER = "start_container"
    CREATE_CONTAINER = "create_container"
    UNPAUSE_CONTAINER = "unpause_container"
    START_SESSION = "start_session"
    RESTART_KERNEL = "restart_kernel"
    RESTART_CONTAINER = "restart_container"
    REPLACE_CONTAINER = "replace_container"
    RESTART_SESSION = "restart_session"


class Harm(IntEnum):
    """What a remedy can destroy, and so how much proof it needs."""

    HARMLESS = 0
    RESTORING = 1
    DESTRUCTIVE = 2


HARM: dict[Remedy, Harm] = {
    Remedy.RECONNECT: Harm.HARMLESS,
    Remedy.REOPEN_FORWARD: Harm.HARMLESS,
    Remedy.FREE_PORT: Harm.HARMLESS,
    Remedy.REFRESH_TOKEN: Harm.HARMLESS,
    Remedy.OPEN_SESSION: Harm.HARMLESS,
    Remedy.START_CONTAINER: Harm.RESTORING,
    Remedy.CREATE_CONTAINER: Harm.RESTORING,
    Remedy.UNPAUSE_CONTAINER: Harm.RESTORING,
    Remedy.START_SESSION: Harm.RESTORING,
    Remedy.RESTART_KERNEL: Harm.DESTRUCTIVE,
    Remedy.RESTART_CONTAINER: Harm.DESTRUCTIVE,
    Remedy.REPLACE_CONTAINER: Harm.DESTRUCTIVE,
    Remedy.RESTART_SESSION: Harm.DESTRUCTIVE,
}


class Refusal(StrEnum):
    """Why a remedy was passed over. The contract's ``remedy_refused_total{reason}``."""

    VETO = "veto"
    BUDGET = "budget"
    COOLDOWN = "cooldown"
    GRACE = "grace"
    PAUSED = "paused"
    OBSERVE = "observe"
    ASK = "ask"
    NO_SIGHT = "no_sight"
    FLAPPING = "flapping"
    HALTED = "halted"
    OPERATOR = "operator"
    UNARMED = "unarmed"
    FAILED_START = "failed_start"


class Mode(StrEnum):
    """What the agent may do by itself."""

    AUTO = "auto"
    ASK = "ask"
    OBSERVE = "observe"


class Kind(StrEnum):
    """What the runtime is."""

    CONTAINER = "container"
    SESSION = "session"
    EXTERNAL = "external"


class Layer(IntEnum):
    """Lowest first: a fault in a lower layer explains what fails above it."""

    AGENT = 0
    NETWORK = 1
    SSH = 2
    HOST = 3
    CONTAINER = 4
    FORWARD = 5
    RUNTIME = 6
    KERNEL = 7
    TRAINING = 8


class ProbeName(StrEnum):
    """One measurement each."""

    AGENT = "agent"
    NETWORK = "network"
    SSH = "ssh"
    HOST = "host"
    CONTAINER = "container"
    SESSION = "session"
    FORWARD = "forward"
    RUNTIME_TUNNEL = "runtime_tunnel"
    RUNTIME_SERVER = "runtime_server"
    KERNEL = "kernel"
    GPU = "gpu"
    TRAINING = "training"


class Vantage(StrEnum):
    """Where a probe looked from."""

    LAPTOP = "laptop"
    TUNNEL = "tunnel"
    SERVER = "server"


class Outcome(StrEnum):
    """What a probe found. ``UNKNOWN`` is no failure: it raises no counter and permits nothing."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """Where the decision about a target stands; the public state is derived from it."""

    BLIND = "blind"
    STEADY = "steady"
    SUSPECT = "suspect"
    CONFIRMED = "confirmed"
    HELD = "held"
    ACTING = "acting"
    VERIFYING = "verifying"
    SETTLING = "settling"


UP, STEADY = State.UP, Phase.STEADY
"""What nearly every event meets. Named once: Python 3.11 looks a member up slowly."""
ACTING = (Phase.ACTING, Phase.VERIFYING)
"""A remedy runs, or its effect is not proved yet."""
WAITING = (Phase.CONFIRMED, Phase.HELD)
"""The fault is believed, and a remedy is due."""


class Result(StrEnum):
    """How a remedy ended."""

    DONE = "done"
    """Its own check saw the effect."""
    FAILED = "failed"
    NOTHING = "nothing"
    """The last look before the act forbade it; nothing was done."""
    UNKNOWN = "unknown"
    """The deadline passed or the link went away: the effect is to be looked for, not repeated."""


class Hindsight(StrEnum):
    """What became of a remedy that would have been done, had nothing but mode, person or veto held it
    back."""

    RIGHT = "right"
    """Health did not come back in the time that the remedy is given to prove itself."""
    FALSE_ALARM = "false_alarm"
    """It came back by itself."""
    UNDECIDED = "undecided"
    """Somebody acted, so nobody knows."""


class ContainerStatus(StrEnum):
    """The container engine's own words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"
