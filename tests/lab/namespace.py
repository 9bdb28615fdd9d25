"""Into a network namespace, with one thread only: what it does there, the rest of this process does not."""

from __future__ import annotations

import ctypes
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_NEWNET = 0x40000000
T = TypeVar("T")


def move_to(name: str) -> None:
    """The calling thread, and no other, is in that network namespace from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{name}").open("rb") as space:
        if libc.setns(space.fileno(), _NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def within(name: str, job: Callable[[], T], seconds: float = 30.0) -> T:
    """What ``job`` gives or raises there, in a thread of its own."""
    answers: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def work() -> None:
        try:
            move_to(name)
            answers.put((job(), None))
        except Exception as error:  # noqa: BLE001 - handed on
            answers.put((None, error))

    thread = threading.Thread(target=work, name="in-namespace", daemon=True)
    thread.start()
    value, error = answers.get(timeout=seconds)
    thread.join(seconds)
    if error is not None:
        raise error
    return value  # type: ignore[return-value]
