"""The service under the user's own systemd."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from watchdogd.service.steering import (
    Installed,
    ServiceState,
    ServiceTrouble,
    put,
    run,
    said,
)
from watchdogd.service.unit import NAME, unit_text

SHOWN = "LoadState,ActiveState,SubState,StatusText,Result,ExecMainStatus,MainPID,NRestarts,UnitFileState"
GONE = "Failed to connect"


def unit_path(environ: Mapping[str, str]) -> Path:
    """Where a user's own units belong (``systemd.unit(5)``)."""
    base = environ.get("XDG_CONFIG_HOME", "")
    home = environ.get("HOME") or str(Path.home())
    folder = Path(base) if os.path.isabs(base) else Path(home) / ".config"
    return folder / "systemd" / "user" / NAME


class Systemd:
    """Implements ``Steering`` with ``systemctl --user``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._file = unit_path(environ)

    def install(self, program: str, config: str | None, *, start: bool) -> Installed:
        """Write the unit, have it started at login, and start it now. Nothing is written where no
        user manager answers. One that runs is restarted if its unit changed."""
        self._systemctl("show-environment")
        changed, kept = put(self._file, unit_text(program, config))
        self._systemctl("daemon-reload")
        self._systemctl("enable", NAME)
        if start:
            self._systemctl("restart" if changed else "start", NAME)
        return Installed(file=self._file, changed=changed, kept=kept, notes=self._notes())

    def uninstall(self) -> bool:
        """See the port."""
        there = self._file.exists()
        if there:
            self._systemctl("disable", "--now", NAME)
            self._file.unlink()
            self._systemctl("daemon-reload")
        return there

    def start(self) -> None:
        """Returns once the agent said that it is ready."""
        self._known()
        self._systemctl("start", NAME)

    def stop(self) -> None:
        """Returns once it ended."""
        self._known()
        self._systemctl("stop", NAME)

    def state(self) -> ServiceState:
        """See the port."""
        told = self._systemctl("show", f"--property={SHOWN}", NAME)
        found = dict(line.partition("=")[::2] for line in told.splitlines())
        running = found.get("ActiveState") in ("active", "reloading", "activating")
        state = ServiceState(
            installed=found.get("LoadState") == "loaded",
            running=running,
            word=f"{found.get('ActiveState', '?')} ({found.get('SubState', '?')})",
            detail=found.get("StatusText", "") if running else "",
            pid=int(found.get("MainPID") or 0) or None,
            restarts=int(found.get("NRestarts") or 0),
            starts_at_login=found.get("UnitFileState") == "enabled",
        )
        if running or found.get("Result", "success") == "success":
            return state
        why = f"it ended with {found.get('ExecMainStatus')} ({found.get('Result')})"
        return replace(state, detail=why)

    def logs(self, *, lines: int, follow: bool) -> tuple[str, ...]:
        """See the port."""
        shown = ("journalctl", "--user", "--unit", NAME, "--lines", str(lines))
        return (*shown, "--follow") if follow else (*shown, "--no-pager")

    def _known(self) -> None:
        if not self.state().installed:
            raise ServiceTrouble("the service is not installed", "watchdogd service install")

    def _systemctl(self, *words: str) -> str:
        done = run(("systemctl", "--user", *words), self._environ)
        if done.returncode == 0:
            return done.stdout
        if GONE in done.stderr:
            raise self._no_manager(said(done))
        why = said(done)
        if words[0] in ("start", "restart"):
            raise ServiceTrouble(
                f"the service did not start: {self.state().detail or why}",
                "watchdogd service logs",
            )
        raise ServiceTrouble(f"`systemctl --user {' '.join(words)}`: {why}")

    def _no_manager(self, why: str) -> ServiceTrouble:
        if not self._environ.get("XDG_RUNTIME_DIR"):
            return ServiceTrouble(
                "this shell knows no user manager: XDG_RUNTIME_DIR is not set, as after su or sudo",
                f"log in as this user, or: export XDG_RUNTIME_DIR=/run/user/{os.getuid()}",
            )
        return ServiceTrouble(
            f"no systemd of this user answers ({why})",
            "loginctl enable-linger; without systemd, run `watchdogd run` from what starts your "
            "programs",
        )

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self._lingers() is False:
            notes.append("it ends when you log out; to let it run on: loginctl enable-linger")
        own = self._environ.get("SSH_AUTH_SOCK")
        if own and "SSH_AUTH_SOCK=" not in self._systemctl("show-environment"):
            notes.append(
                "a service does not see this shell's SSH agent; if the key is only there: put "
                f"SSH_AUTH_SOCK={own} into ~/.config/watchdogd/env where that path stays the same, "
                "else after each login: systemctl --user import-environment SSH_AUTH_SOCK"
            )
        return tuple(notes)

    def _lingers(self) -> bool | None:
        """``None``: nobody knows."""
        try:
            done = run(("loginctl", "show-user", "--property=Linger", "--value", ""), self._environ)
        except ServiceTrouble:
            return None
        return {"yes": True, "no": False}.get(done.stdout.strip()) if done.returncode == 0 else None
