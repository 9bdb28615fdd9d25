"""One command over a channel of ``ssh``: its input fed, both outputs read, its status awaited."""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from watchdogd.adapters.openssh_messages import exit_status
from watchdogd.adapters.openssh_mux import Opened
from watchdogd.ports import Completed, Deadline

_CHUNK = 65_536
_IN, _OUT, _ERR = range(3)


class Running:
    """In the caller's thread, to the end or to the deadline."""

    def __init__(
        self, opened: Opened, stdin: bytes, limit: int, *, spoke: Callable[[], None]
    ) -> None:
        """``limit``: bytes kept of each output. ``spoke``: called when something came."""
        self._opened = opened
        self._input = memoryview(stdin)
        self._limit = limit
        self._spoke = spoke
        self._outputs = {opened.ours[_OUT]: bytearray(), opened.ours[_ERR]: bytearray()}
        self._truncated = False
        self._told = b""
        self._selector = selectors.DefaultSelector()

    def finish(self, deadline: Deadline) -> Completed:
        """Raises ``TimeoutError``. A status of -1: it ended without one."""
        with self._selector:
            self._begin()
            while self._selector.get_map():
                ready = self._selector.select(deadline.remaining())
                if deadline.passed():  # also of one that never stops talking
                    raise TimeoutError("the command did not end in time")
                for key, _ in ready:
                    key.data()
        out, err = self._outputs.values()
        return Completed(
            status=self._status(), stdout=bytes(out), stderr=bytes(err), truncated=self._truncated
        )

    def _begin(self) -> None:
        for one in (self._opened.control, *self._opened.ours):
            one.setblocking(False)
        for one in (self._opened.control, *self._outputs):
            self._selector.register(one, selectors.EVENT_READ, partial(self._take, one))
        sink = self._opened.ours[_IN]
        self._selector.register(sink, selectors.EVENT_WRITE, partial(self._feed, sink))

    def _take(self, ready: socket.socket) -> None:
        try:
            data = ready.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(ready)
        elif ready is self._opened.control:
            self._told += data
        else:
            self._keep(self._outputs[ready], data)

    def _keep(self, kept: bytearray, data: bytes) -> None:
        self._spoke()
        room = self._limit - len(kept)
        kept += data[:room]
        self._truncated = self._truncated or len(data) > room

    def _feed(self, sink: socket.socket) -> None:
        try:
            if self._input:
                self._input = self._input[sink.send(self._input[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # it may end without reading all of its input
            self._input = memoryview(b"")
        if not self._input:
            self._selector.unregister(sink)
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

    def _status(self) -> int:
        told = self._told
        while len(told) >= 4:
            (size,) = struct.unpack(">I", told[:4])
            status = exit_status(told[4 : 4 + size])
            if status is not None:
                return status
            told = told[4 + size :]
        return -1
