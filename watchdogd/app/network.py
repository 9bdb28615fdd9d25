"""This laptop's network, as the whole agent sees it: one watch and one set of canaries for all targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from watchdogd.adapters.canaries import Canaries
from watchdogd.adapters.network_watch import NetworkWatch, Ways
from watchdogd.app.targets import InService
from watchdogd.core.events import NetworkChanged
from watchdogd.ports import Clock
from watchdogd.settings import Canary


class Network:
    """Tells each target when the way to its server is another one."""

    def __init__(
        self,
        pages: Sequence[Canary],
        targets: Callable[[], Mapping[str, InService]],
        clock: Clock,
    ) -> None:
        """``targets``: those in service now; not called before ``start``."""
        self.canaries = Canaries(pages, clock)
        self._targets = targets
        self._watch = NetworkWatch(self._ways, self._changed, clock)

    def start(self) -> None:
        """Begin to watch."""
        self._watch.start()

    def close(self, seconds: float) -> None:
        """Tell nothing more; waits so long for the thread."""
        self._watch.close(seconds)

    def _ways(self) -> Ways:
        return {name: one.parts.route.ways() for name, one in self._targets().items()}

    def _changed(self, name: str, routed: bool) -> None:
        self.canaries.forget()
        target = self._targets().get(name)
        if target is not None:
            target.letters.post(NetworkChanged(routed=routed))
