"""The real agent as a child process, and what it says of itself over its control socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from watchdogd.control import NoAgent, NoAnswer, ask, control_path
from watchdogd.core.words import Cause, Remedy, State
from watchdogd.demo.sight import finish

ASK_SECONDS = 3.0
STOP_SECONDS = 8.0
"""The agent promises to end within 5 s."""
WORDS_LINES, WORDS_WIDTH = 20, 400

CAUSES_OF_NEWS: Mapping[str, Cause] = {
    "link_lost": Cause.LINK_LOST,
    "link_silent": Cause.LINK_LOST,
    "bind_failed": Cause.PORT_CONFLICT,
}
"""News that carry no cause of their own, and the one that they mean."""
NEWS_OF_CAUSES = ("dial_failed", "state_changed", "incident_opened", "incident_rerooted")
VERDICTS = ("incident_opened", "incident_rerooted")


@dataclass(frozen=True, slots=True)
class News:
    """One entry of ``recent``."""

    wall: float
    """Unix seconds."""
    kind: str
    entry: Mapping[str, object]

    @property
    def cause(self) -> Cause | None:
        """The cause that it names or means."""
        if self.kind in CAUSES_OF_NEWS:
            return CAUSES_OF_NEWS[self.kind]
        named = self.entry.get("cause")
        return Cause(str(named)) if named and self.kind in NEWS_OF_CAUSES else None

    @property
    def remedy(self) -> Remedy | None:
        """The remedy that begins with it; a link made anew by the loop itself is ``reconnect`` too."""
        if self.kind == "reconnected":
            return Remedy.RECONNECT
        return Remedy(str(self.entry["remedy"])) if self.kind == "remedy_intended" else None


def parse(entries: Iterable[Mapping[str, object]]) -> tuple[News, ...]:
    """The entries of ``recent``, as records."""
    return tuple(
        News(datetime.fromisoformat(str(one["at"])).timestamp(), str(one["kind"]), one)
        for one in entries
    )


class Agent:
    """``python -m watchdogd run`` on one configuration file."""

    def __init__(self, config: Path, state_dir: Path, log: Path, path: str) -> None:
        """``path``: the agent's ``PATH``."""
        self.config = config
        self.log = log
        self._environment = {**os.environ, "PATH": path}
        for name in ("SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "WATCHDOGD_CONFIG"):
            self._environment.pop(name, None)
        self._socket = control_path(str(state_dir), self._environment)
        self._child: subprocess.Popen[bytes] | None = None
        self._seen: dict[str, News] = {}

    def start(self) -> None:
        """Starts it in a process group of its own: a Ctrl-C reaches the demo alone."""
        argv = [sys.executable, "-m", "watchdogd", "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def exit_status(self) -> int | None:
        """``None`` while it runs, or was never started."""
        return None if self._child is None else self._child.poll()

    def target(self) -> Mapping[str, object]:
        """What it says of the target now; empty if it does not answer. Remembers the news in it."""
        try:
            answer = ask(self._socket, {"verb": "status", "target": None}, ASK_SECONDS)
        except (NoAgent, NoAnswer):
            return {}
        targets = answer.get("targets")
        found = targets[0] if isinstance(targets, list) and targets else {}
        for news in parse(found.get("recent", ())):
            self._seen.setdefault(json.dumps(news.entry, sort_keys=True), news)
        return dict(found)

    def news_since(self, wall: float) -> tuple[News, ...]:
        """All that ``target`` has brought and that is not older than ``wall``, in order."""
        return tuple(one for one in self._seen.values() if one.wall >= wall)

    def forget(self) -> None:
        """Drops the news so far, but for what ``target`` brings once more."""
        self._seen = {}

    def up(self) -> bool:
        """True if it says that the target is up."""
        return self.target().get("state") == State.UP

    def calm(self) -> bool:
        """True if it says: up, nothing is being repaired, no incident is open."""
        now = self.target()
        return now.get("state") == State.UP and now.get("incident") is None

    def link_age(self, wall: float) -> float | None:
        """Seconds that the present link is up; ``None`` without one."""
        link = self.target().get("link")
        if not isinstance(link, dict) or not link.get("up") or not link.get("since"):
            return None
        return wall - datetime.fromisoformat(str(link["since"])).timestamp()

    def last_words(self) -> tuple[str, ...]:
        """The end of its log, oldest line first."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ()
        return tuple(line[:WORDS_WIDTH] for line in lines[-WORDS_LINES:])

    def stop(self) -> int | None:
        """SIGTERM; returns its exit status (negative if it had to be killed)."""
        if self._child is not None:
            finish(self._child, gentle=STOP_SECONDS)
        return self.exit_status
