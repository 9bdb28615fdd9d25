"""Messages and heartbeat, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from watchdogd.adapters.apprise_send import AppriseSender
from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.heartbeat import HeartbeatPing
from watchdogd.adapters.journal import SqliteJournal
from watchdogd.adapters.local_command import LocalCommands
from watchdogd.adapters.notify_urls import UrlSource, channel
from watchdogd.adapters.outbox import JournalOutbox
from watchdogd.app import folders
from watchdogd.core.model import Policy
from watchdogd.ports import Clock
from watchdogd.settings import NotifySettings
from watchdogd.sinks.metrics import MetricsSink
from watchdogd.sinks.notify import Notifier, Outside
from watchdogd.sinks.outgoing import Outgoing


class Notifying(Notifier):
    """The notifier of one agent, with all that it runs."""

    def __init__(
        self,
        journal: SqliteJournal,
        state: Path,
        metrics: MetricsSink,
        clock: Clock,
        redact: Callable[[str], str],
        *,
        silent: bool,
    ) -> None:
        """``silent``: nobody is told (`run --once` answers who called it)."""
        self._silent = silent
        ledger = ChildLedger(folders.children_folder(state))
        self._commands = LocalCommands(clock, ledger, unwritten=True)
        outside = Outside(
            send=AppriseSender(self._commands.run, clock),
            ping=HeartbeatPing(clock),
            source=lambda settings: UrlSource(settings, self._commands.run, clock),
            channel=channel,
            count=metrics.notified,
            expect=metrics.channels,
        )
        super().__init__(Outgoing(JournalOutbox(journal), redact), outside, clock)

    def use(self, settings: NotifySettings, policies: Mapping[str, Policy]) -> None:
        """As the notifier does."""
        super().use(NotifySettings() if self._silent else settings, policies)

    def close(self, seconds: float) -> bool:
        """As the notifier does; what is being sent is ended."""
        self._commands.stop()
        return super().close(seconds)
