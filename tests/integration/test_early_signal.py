"""A signal that comes while the agent is still being made ends it as any other does: with 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

WAITS_ONCE = """#!/bin/sh
if mkdir {first} 2>/dev/null; then echo asked > {asked}; read go < {asked}; fi
echo "hostname 127.0.0.1"
"""
"""An ssh that waits for its go the first time; whoever asks it again is answered at once."""


def test_sigterm_while_ssh_is_still_asked(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    os.mkfifo(asked)
    ssh = tmp_path / "ssh"
    ssh.write_text(WAITS_ONCE.format(first=tmp_path / "first", asked=asked))
    ssh.chmod(0o755)
    config = tmp_path / "w.toml"
    config.write_text(
        f'[agent]\nstate_dir = "{tmp_path}/s"\nlisten = "127.0.0.1:0"\n'
        '[targets.a]\nssh.host = "127.0.0.1"\nssh.port = 1\nruntime.kind = "external"\n'
    )
    environ = {**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    agent = subprocess.Popen(
        [sys.executable, "-m", "watchdogd", "--config", str(config), "run"],
        env={**environ, "XDG_RUNTIME_DIR": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert asked.read_text() == "asked\n"
        agent.send_signal(signal.SIGTERM)
        asked.write_text("go\n")
        assert agent.wait(15) == 0
        assert not (tmp_path / "s" / "run" / "control.sock").exists()
    finally:
        agent.kill()
        agent.wait(5)
