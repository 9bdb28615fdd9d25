"""The recorded event log, ``watchdogd.events/1``: what its lines are, and how they become text and back.

Knows no file. The recorder writes it, ``simulate`` reads it; the core does not know that it exists.
"""

from watchdogd.eventlog.codec import Unfit, decode, encode
from watchdogd.eventlog.lines import (
    SCHEMA,
    Began,
    Line,
    Missed,
    Opened,
    Retuned,
    Stepped,
    read,
    without_words,
    written,
)
from watchdogd.eventlog.reading import Numbered, Unreadable, numbered

__all__ = [
    "SCHEMA",
    "Began",
    "Line",
    "Missed",
    "Numbered",
    "Opened",
    "Retuned",
    "Stepped",
    "Unfit",
    "Unreadable",
    "decode",
    "encode",
    "numbered",
    "read",
    "without_words",
    "written",
]
