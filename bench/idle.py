"""One target, a container, nothing to do: memory, and CPU over a minute."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from bench.report import Figure, say
from tests.e2e.lab import OWN_TOKEN, Bench
from tests.lab.docker import Dockerd
from tests.lab.image import jupyter_image

from bench.container import DEFAULTS  # isort: skip

SETTLE_SECONDS, MEASURED_SECONDS = 20.0, 60.0
MEMORY_MIB, CPU_PERCENT = 80.0, 1.0


def figures() -> Iterator[Figure]:
    """Beside a Python interpreter that only waits."""
    rest = threading.Event()
    with Dockerd() as engine:
        image = jupyter_image(engine)
        with Bench(engine, image, settings={**OWN_TOKEN, **DEFAULTS}) as bench:
            bench.settle()
            bare = subprocess.Popen(
                [sys.executable, "-c", "import threading; threading.Event().wait()"]
            )
            try:
                rest.wait(SETTLE_SECONDS)
                say(f"idle for {MEASURED_SECONDS:.0f} s")
                before = _cpu(bench.agent.pid)
                rest.wait(MEASURED_SECONDS)
                used = _cpu(bench.agent.pid) - before
                memory = (_memory(bench.agent.pid), _memory(bare.pid))
            finally:
                bare.kill()
                bare.wait()
    yield Figure(
        name="resident memory, one target idle",
        unit="MiB",
        ours=[memory[0]],
        opponent="a bare interpreter",
        theirs=[memory[1]],
        limit=MEMORY_MIB,
        measure="ours",
    )
    yield Figure(
        name="CPU, one target idle",
        unit="% of a core",
        ours=[100 * used / MEASURED_SECONDS],
        opponent="its limit",
        theirs=[CPU_PERCENT],
        limit=CPU_PERCENT,
        measure="ours",
    )


def _cpu(pid: int) -> float:
    """Seconds of CPU so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """MiB resident now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
