"""What became of resuming a target's training, in one sentence for ``status``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchdogd.cli import output


def resumed(target: Mapping[str, Any]) -> str:
    """Empty if there is nothing to tell: none was called for, or it went well."""
    known = target.get("resume") or {}
    where = f" at step {known['step']:g}" if known.get("step") is not None else ""
    if known.get("halted"):
        return (
            f"needs a person: its training is not resumed any more: {known['failures']} resumes in a row "
            f"failed{where}; find out why, then: watchdogd reset {target['name']}"
        )
    if known.get("running") is not None:
        return f"resume_command is running, {output.ago(known['running'])} so far"
    if known.get("trial") == "open":
        return "its training was resumed; no progress is seen yet"
    if known.get("trial") == "failed":
        count = known["failures"]
        return f"its training was resumed, and that failed{where} ({count} in a row)"
    return ""
