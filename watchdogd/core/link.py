"""What is remembered of a target's SSH link."""

from __future__ import annotations

from dataclasses import dataclass

from watchdogd.core.words import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialing:
    """What is known of the target's SSH link and of the dials for it."""

    up: int | None = None
    """Number of the link that serves new connections."""
    silent: bool = False
    up_since: float = 0.0
    dialing: int | None = None
    """Number of the dial in flight."""
    dialing_since: float = 0.0
    """``run`` clock, when it was asked for."""
    last_number: int = 0
    attempt: int = 0
    """Failures since the last good link: the exponent of the back-off."""
    rejects: int = 0
    """How often sshd closed the door since the last good link, wake or change of network."""
    denied: int = 0
    """How often sshd refused the key since the last good link."""
    next_at: float = 0.0
    """``run`` clock; before it no dial."""
    lost_at: float | None = None
    """``run`` clock, when the forward lost its link (None while one is up)."""
    lost_cause: Cause | None = None
    """Why there is no link: ``link_lost`` at first, then the cause of the last dial that failed."""
    ever_up: bool = False
    stopped_by: Cause | None = None
    """A permanent cause: no dial until ``FilesChanged`` (host key), or only a rare one (auth)."""
    failure: Cause | None = None
    """Cause of the last failed dial; None once a link is up."""
    failure_detail: str = ""
    failure_mend: str = ""
    eased_until: float = 0.0
    """``run`` clock: until then a dial that fails before it reached the server does not lengthen the back-off."""
    host_key_after: float = 0.0
    """``run`` clock: a round that began earlier says nothing of the host key. 0: a refused key was seen on a
    network that is what it seems, or none was; without end: it was a captive portal's, or may have been."""
    charged: tuple[float, ...] = ()
    """``run`` times of dials that reached sshd without being let in, last 10 minutes."""
    beside: tuple[float, ...] = ()
    """``run`` times at which a link took the place of a silent one, last 10 minutes."""
    port_holder: str = ""
    """Who holds the local port, if it is not ours; empty if it is ours."""
    port_bound: bool = False
