"""Has the core's commands carried out: probes, remedies and links of one target, on the workers.

In the flow: between the loop's commands and the workers' jobs; answers go back as events.
"""

from watchdogd.carrying.executor import Executor, LinkControl

__all__ = ["Executor", "LinkControl"]
