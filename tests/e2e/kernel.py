"""A kernel that computes, started the way the notebook does it, and watched from outside.

It is asked for over REST and gets its cell over a WebSocket, straight at the published port, so it is no
client of the forward. The cell runs on when the client is gone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

import websocket

from tests.lab.local_link import until

WAIT = 20.0
COUNTER = "tmp/counter"
CELL = """
import os, time
n = 0
while True:
    end = time.monotonic() + 0.02
    while time.monotonic() < end:
        n += 1
    with open("/tmp/counter.new", "w") as file:
        file.write(str(n))
    os.replace("/tmp/counter.new", "/tmp/counter")
    time.sleep(0.05)
"""
"""Uses about a third of one core, so that the machine has time for the test as well."""


class Kernel:
    """Computes from construction on. ``inside``: process 1 of its container, on this machine."""

    def __init__(self, port: int, token: str, inside: int) -> None:
        self._port, self._token = port, token
        self._root = Path(f"/proc/{inside}/root")
        answer = self._post("/api/kernels", {"name": "python3"})
        self.id = str(answer["id"])
        self._execute(CELL)
        until(lambda: self.count() > 0, WAIT)
        self.pid = _pid_of(self.id)

    def count(self) -> int:
        """How far it has computed; 0 before it began."""
        with contextlib.suppress(OSError, ValueError):
            return int((self._root / COUNTER).read_text())
        return 0

    def advances(self) -> bool:
        """It lives, as the same process, and computes: the counter moves within 2 s."""
        before, end = self.count(), time.monotonic() + 2
        while self.count() <= before:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return _pid_of(self.id) == self.pid

    def kill(self) -> None:
        """SIGKILL, as by the kernel's own crash."""
        os.kill(self.pid, signal.SIGKILL)

    def _post(self, path: str, body: dict[str, object]) -> Any:
        asking = http.client.HTTPConnection("127.0.0.1", self._port, timeout=WAIT)
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        try:
            asking.request("POST", path, json.dumps(body), headers)
            answer = asking.getresponse()
            text = answer.read()
            assert answer.status in (200, 201), text
            return json.loads(text)
        finally:
            asking.close()

    def _execute(self, code: str) -> None:
        """Send the cell, and wait until the kernel says that it is busy with it."""
        session = uuid.uuid4().hex
        channel = websocket.create_connection(
            f"ws://127.0.0.1:{self._port}/api/kernels/{self.id}/channels?session_id={session}",
            timeout=WAIT,
            header={"Authorization": f"token {self._token}"},
            suppress_origin=True,
        )
        try:
            channel.send(json.dumps(_request(code, session)))
            while True:
                said = json.loads(channel.recv())
                if said["msg_type"] == "execute_input":
                    return
        finally:
            channel.close()


def _request(code: str, session: str) -> dict[str, object]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "username": "",
        "session": session,
        "date": "",
        "version": "5.3",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
        "buffers": [],
    }


def _pid_of(kernel: str) -> int:
    """On this machine, of the process whose arguments name the kernel's connection file."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if f"kernel-{kernel}.json".encode() in (entry / "cmdline").read_bytes():
                    return int(entry.name)
    return 0
