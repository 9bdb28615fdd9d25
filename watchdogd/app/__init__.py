"""The composition root: puts settings, adapters, probes, remedies, core and sinks together.

``agent.py`` shows the whole program; ``run_agent`` and ``check_targets`` are what the command line calls.
"""

from watchdogd.app.agent import Agent
from watchdogd.app.check import check_targets
from watchdogd.app.results import CheckResult
from watchdogd.app.run import run_agent

__all__ = ["Agent", "CheckResult", "check_targets", "run_agent"]
