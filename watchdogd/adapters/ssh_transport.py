"""paramiko's transport, with each refused channel told its own reason.

paramiko keeps the newest refusal of all: of several at once some would learn another's reason, others none.
"""

from __future__ import annotations

import threading
from typing import Any

import paramiko
from paramiko.common import CONNECTION_FAILED_CODE


class LinkTransport(paramiko.Transport):
    """As paramiko's. ``open_channel`` raises ``ChannelException`` with what the server said of that channel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._asked = threading.local()
        """``number``: of the channel that this thread asks for."""
        self._refused: dict[int, paramiko.ChannelException] = {}
        super().__init__(*args, **kwargs)

    def open_channel(self, *args: Any, **kwargs: Any) -> paramiko.Channel:
        """As paramiko's."""
        self._asked.number = None
        try:
            return super().open_channel(*args, **kwargs)
        except paramiko.SSHException:
            refused = self._refused.pop(self._asked.number, None)
            if refused is None:
                raise
            raise refused from None

    def get_exception(self) -> Exception | None:
        """As paramiko's; whatever else ended its thread comes as one of those that are waited for."""
        error = super().get_exception()
        if error is None or isinstance(error, OSError | EOFError | paramiko.SSHException):
            return error
        return paramiko.SSHException(f"{type(error).__name__}: {error}")

    def _next_channel(self) -> int:
        number: int = super()._next_channel()  # type: ignore[misc]
        self._asked.number = number
        return number

    def _parse_channel_open_failure(self, m: paramiko.Message) -> None:
        number, code = m.get_int(), m.get_int()
        text = CONNECTION_FAILED_CODE.get(code, "(unknown code)")
        self._refused[number] = paramiko.ChannelException(code, text)
        m.rewind()
        super()._parse_channel_open_failure(m)  # type: ignore[misc]
