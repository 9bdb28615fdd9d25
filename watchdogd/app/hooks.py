"""What the agent tells whoever runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from watchdogd.app.reload import Reloaded
from watchdogd.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What the agent calls at moments that concern its process. None may block or raise."""

    ended: Callable[[], None] = lambda: None
    """The loop ended."""
    completed: Callable[[], None] = lambda: None
    """A round of the decision loop was completed; on its thread."""
    reloading: Callable[[], None] = lambda: None
    """Somebody asked for the configuration to be read again, and that begins."""
    reloaded: Callable[[Reloaded], None] = lambda reloaded: None
    """A reading of the configuration ended."""
    taken_up: Callable[[Settings], None] = lambda settings: None
    """Another configuration is in force."""


NO_HOOKS = Hooks()
