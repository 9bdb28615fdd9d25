"""The service under macOS' launchd, as an agent of the login session."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from watchdogd.service.plist import FILE, LABEL, plist_text
from watchdogd.service.steering import (
    Installed,
    ServiceState,
    ServiceTrouble,
    put,
    run,
    said,
)

RETRIES = 20
RETRY_SECONDS = 0.5
"""Right after a ``bootout`` launchd still holds the former one: "5: Input/output error" for a while."""


class Launchd:
    """Implements ``Steering`` with ``launchctl``."""

    def __init__(self, environ: Mapping[str, str], pause: Callable[[float], None]) -> None:
        """``pause`` waits so many seconds."""
        self._environ = environ
        self._pause = pause
        self._home = environ.get("HOME") or str(Path.home())
        self._file = Path(self._home) / "Library" / "LaunchAgents" / FILE
        self._domain = f"gui/{os.getuid()}"
        self._service = f"{self._domain}/{LABEL}"

    def install(self, program: str, config: str | None, *, start: bool) -> Installed:
        """Write the property list and have it loaded: that starts it, now and at each login."""
        self._session()
        (Path(self._home) / "Library" / "Logs" / "watchdogd").mkdir(parents=True, exist_ok=True)
        changed, kept = put(self._file, plist_text(program, self._home, config))
        if changed and self._loaded():
            self._out()
        if start:
            self._in()
        return Installed(file=self._file, changed=changed, kept=kept)

    def uninstall(self) -> bool:
        """See the port."""
        there = self._file.exists()
        if self._loaded():
            self._out()
        self._file.unlink(missing_ok=True)
        return there

    def start(self) -> None:
        """Load it; where it is loaded, have it run now."""
        if not self._file.exists():
            raise ServiceTrouble("the service is not installed", "watchdogd service install")
        self._session()
        if self._loaded():
            self._launchctl("kickstart", self._service)
        else:
            self._in()

    def stop(self) -> None:
        """Unload it: what is loaded, launchd keeps alive. It is loaded again at the next login."""
        if self._loaded():
            self._out()

    def state(self) -> ServiceState:
        """See the port."""
        done = run(("launchctl", "print", self._service), self._environ)
        pairs = (line.partition(" = ")[::2] for line in done.stdout.splitlines())
        found = {name.strip(): value.strip() for name, value in pairs}
        pid = found.get("pid", "")
        word = found.get("state", "loaded") if done.returncode == 0 else "not loaded"
        ended = found.get("last exit code", "")
        return ServiceState(
            installed=self._file.exists(),
            running=pid.isdecimal(),
            word=word,
            detail="" if pid.isdecimal() or not ended else f"it ended with {ended}",
            pid=int(pid) if pid.isdecimal() else None,
            starts_at_login=self._file.exists(),
        )

    def logs(self, *, lines: int, follow: bool) -> tuple[str, ...]:
        """See the port."""
        file = f"{self._home}/Library/Logs/watchdogd/launchd.log"
        return ("tail", "-n", str(lines), *(("-F",) if follow else ()), file)

    def _session(self) -> None:
        if run(("launchctl", "print", self._domain), self._environ).returncode != 0:
            raise ServiceTrouble(
                f"there is no login session {self._domain}, as over SSH",
                "log in at the screen of this machine, and call it there",
            )

    def _loaded(self) -> bool:
        return run(("launchctl", "print", self._service), self._environ).returncode == 0

    def _in(self) -> None:
        for attempt in range(RETRIES):
            done = run(("launchctl", "bootstrap", self._domain, str(self._file)), self._environ)
            if done.returncode == 0 or self._loaded():
                return
            if attempt + 1 < RETRIES:
                self._pause(RETRY_SECONDS)
        raise ServiceTrouble(
            f"launchd does not load it: {said(done)}",
            f"launchctl print-disabled {self._domain}; or switch it on among the login items",
        )

    def _out(self) -> None:
        self._launchctl("bootout", self._service)
        for _ in range(RETRIES):
            if not self._loaded():
                return
            self._pause(RETRY_SECONDS)
        raise ServiceTrouble(f"launchd does not let {LABEL} go")

    def _launchctl(self, *words: str) -> None:
        done = run(("launchctl", *words), self._environ)
        if done.returncode != 0:
            raise ServiceTrouble(f"`launchctl {' '.join(words)}`: {said(done)}")
