"""Looking: plain functions that measure once, by a deadline, and return facts.

The two registries say which probes there are and in what order; the loop is handed them.
"""

from __future__ import annotations

from collections.abc import Mapping

from watchdogd.core.words import Cause, ProbeName
from watchdogd.ports import ProbeFunction
from watchdogd.probes.agent import agent
from watchdogd.probes.container import container
from watchdogd.probes.forward import forward
from watchdogd.probes.gpu import gpu
from watchdogd.probes.host import host
from watchdogd.probes.kernel import kernel
from watchdogd.probes.network import network
from watchdogd.probes.runtime import runtime_server, runtime_tunnel
from watchdogd.probes.session import session
from watchdogd.probes.ssh import ssh
from watchdogd.probes.training import training

LAPTOP_PROBES: Mapping[ProbeName, ProbeFunction] = {
    ProbeName.AGENT: agent,
    ProbeName.NETWORK: network,
    ProbeName.SSH: ssh,
    ProbeName.FORWARD: forward,
    ProbeName.RUNTIME_TUNNEL: runtime_tunnel,
}
"""Measured in every round, lowest layer first."""

TUNNEL_PROBES: Mapping[ProbeName, ProbeFunction] = {ProbeName.KERNEL: kernel}
"""Measured in a deep round after those: what is asked of a runtime that answers through the forward."""

SERVER_PROBES: Mapping[ProbeName, ProbeFunction] = {
    ProbeName.CONTAINER: container,
    ProbeName.SESSION: session,
    ProbeName.HOST: host,
    ProbeName.RUNTIME_SERVER: runtime_server,
    ProbeName.GPU: gpu,
    ProbeName.TRAINING: training,
}
"""Measured in a deep round, in this order: ``host`` reads what ``container`` and ``session`` found."""

_DIAL = frozenset(
    {
        Cause.AGENT,
        Cause.OFFLINE,
        Cause.DNS,
        Cause.HOST_UNREACHABLE,
        Cause.SSHD_DOWN,
        Cause.SSHD_REJECTS,
        Cause.HOST_KEY,
        Cause.AUTH,
        Cause.LINK_LOST,
        Cause.REMOTE_WEDGED,
        Cause.BUG,
    }
)
_RUNTIME = frozenset(
    {
        Cause.RUNTIME_REFUSED,
        Cause.RUNTIME_HUNG,
        Cause.RUNTIME_ERROR,
        Cause.RUNTIME_AUTH,
        Cause.WRONG_SERVER,
        Cause.BUG,
    }
)

DECLARED_CAUSES: Mapping[ProbeName, frozenset[Cause]] = {
    ProbeName.AGENT: frozenset({Cause.AGENT, Cause.BUG}),
    ProbeName.NETWORK: frozenset({Cause.OFFLINE, Cause.CAPTIVE_PORTAL, Cause.DNS, Cause.BUG}),
    ProbeName.SSH: _DIAL,
    ProbeName.HOST: frozenset({Cause.REMOTE_WEDGED, Cause.DISK_FULL, Cause.BUG}),
    ProbeName.CONTAINER: frozenset(
        {
            Cause.CONTAINER_AMBIGUOUS,
            Cause.CONTAINER_ENGINE_DOWN,
            Cause.CONTAINER_MISSING,
            Cause.CONTAINER_EXITED,
            Cause.CONTAINER_OOM,
            Cause.CONTAINER_PAUSED,
            Cause.CONTAINER_RESTARTING,
            Cause.BUG,
        }
    ),
    ProbeName.SESSION: frozenset({Cause.SESSION_MISSING, Cause.BUG}),
    ProbeName.FORWARD: frozenset({Cause.PORT_CONFLICT, Cause.BUG}),
    ProbeName.KERNEL: frozenset({Cause.RUNTIME_ERROR, Cause.BUG}),
    ProbeName.RUNTIME_TUNNEL: _RUNTIME | {Cause.FORWARD_DENIED, Cause.FORWARD_STALLED},
    ProbeName.RUNTIME_SERVER: _RUNTIME,
    ProbeName.GPU: frozenset({Cause.BUG}),
    ProbeName.TRAINING: frozenset({Cause.BUG}),
}
"""Every cause that a probe's FAIL may carry: the label sets that the metrics create at start. ``bug``
stands for a probe whose own code failed."""
