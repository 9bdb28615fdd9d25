"""The operator's door: a unix socket (``wire``) and what is answered on it (``status``,
``ladder``, ``why``, ``orders``)."""

from __future__ import annotations

from watchdogd.control.ladder import ladder
from watchdogd.control.orders import Orders
from watchdogd.control.status import StatusAnswers
from watchdogd.control.wire import (
    ControlServer,
    NoAgent,
    NoAnswer,
    Occupied,
    ask,
    control_path,
    control_paths,
)

__all__ = [
    "ControlServer",
    "NoAgent",
    "NoAnswer",
    "Occupied",
    "Orders",
    "StatusAnswers",
    "ask",
    "control_path",
    "control_paths",
    "ladder",
]
