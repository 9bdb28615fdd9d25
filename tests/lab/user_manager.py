"""A real systemd user manager with a home of its own, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.lab.closing import Closing
from tests.lab.needs import programs, root
from tests.lab.sshd import stop_process
from tests.lab.waiting import until

SYSTEMD = "/lib/systemd/systemd"
LONGEST = "300"
"""Seconds after which it ends whatever happens to the test."""
UNIT = "watchdogd.service"


class UserManager(Closing):
    """Starts in the constructor; ``close`` ends it and every unit and removes the folder."""

    def __init__(self) -> None:
        programs("systemctl", "systemd-analyze")
        root("systemd looks for /run/systemd/system")
        Path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="watchdogd-user-"))
        self.home = self.folder / "home"
        self.config = self.home / ".config"
        runtime = self.folder / "run"
        self.config.mkdir(parents=True)
        runtime.mkdir(mode=0o700)
        kept = {name: os.environ[name] for name in ("WATCHDOGD_TEST_RUN",) if name in os.environ}
        self.environ = {
            **kept,
            "HOME": str(self.home),
            "USER": "root",
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "XDG_RUNTIME_DIR": str(runtime),
        }
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["timeout", "--foreground", LONGEST, SYSTEMD, "--user"],
                env=self.environ,
                stdout=log,
                stderr=log,
            )
        try:
            until(self._answers, "the user manager runs")
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        return self.call("is-system-running").stdout.strip() in ("running", "degraded")

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``systemctl --user``, whatever comes of it."""
        return self.run("systemctl", "--user", *words)

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Any program as this user would."""
        return subprocess.run(
            argv, env=self.environ, capture_output=True, text=True, timeout=60, check=False
        )

    def show(self, name: str) -> str:
        """One property of the service."""
        return self.call("show", f"--property={name}", "--value", UNIT).stdout.strip()

    @property
    def log(self) -> Path:
        """What the service writes, once a drop-in of ``drop_in`` is there."""
        return self.folder / "service.log"

    def drop_in(self, *lines: str) -> None:
        """Add these lines to the unit's [Service]; its output goes to ``log``, as no journal runs here."""
        place = self.config / "systemd" / "user" / f"{UNIT}.d" / "test.conf"
        place.parent.mkdir(parents=True, exist_ok=True)
        told = (f"StandardOutput=append:{self.log}", f"StandardError=append:{self.log}")
        place.write_text("\n".join(("[Service]", *told, *lines, "")))
        self.call("daemon-reload")

    def close(self) -> None:
        """End the service, then the manager."""
        with suppress(subprocess.TimeoutExpired):
            self.call("stop", UNIT)
        stop_process(self._process)
        shutil.rmtree(self.folder, ignore_errors=True)
