"""One agent with 1, 10, 50, 200 targets: what each costs while nothing happens.

All targets lead to one runtime over one SSH server (``--servers``: over several). Idle means: every
target is up and has had its first rounds, so that no login and none of the hurried rounds of a start is
in the figures; then two minutes are measured, in which each target has seven or eight rounds, two of them
deep ones (they come in waves, as all targets began together: one minute might hold four rounds of each, or
three and none deep).
On a machine that is too busy the agent has fewer rounds and seems cheap: they are shown as well. Linux
only: the figures are read from ``/proc``. ``python -m bench.scale --targets 1,10 --seconds 60``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import Figure, say
from bench.scene import Scene, scene, serves
from tests.lab.guards import mark_this_run
from tests.lab.sshd import stop_process
from tests.lab.waiting import until
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.event_files import raw_lines
from watchdogd.settings import Address

COUNTS = (1, 10, 50, 200)
MEASURED_SECONDS = 120.0
UP_SECONDS, LOOK_SECONDS = 600.0, 2.0
FIRST_ROUNDS = 5
"""Three or four follow each other quickly after a start; the next ones are at the usual pace."""
MEMORY_MIB, CPU_PERCENT = 250.0, 10.0
"""Of 200 idle targets: memory beyond one target's, and of one core."""
_ROUND = re.compile(rb'\{"type":"Stepped","target":"([^"]+)","event":\{"type":"Observed"')
_HEAD = (
    f"{'targets':>7} {'PSS MiB':>8} {'RSS MiB':>8} {'threads':>8} {'descriptors':>12} "
    f"{'CPU %':>7} {'wake-ups/s':>11} {'rounds/s':>9} {'logins':>7} {'all up after s':>15}"
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One agent, idle."""

    targets: int
    pss: float
    """MiB, of the agent's process; what it shares is counted by its share."""
    rss: float
    threads: int
    descriptors: int
    cpu: float
    """Percent of one core."""
    wakeups: float
    """A second: how often any of its threads ran after it had waited."""
    rounds: float
    """A second, of all targets."""
    logins: int
    """Accepted by the servers since the start."""
    up_after: float
    """Seconds from the start until each forward had served a request."""

    def line(self) -> str:
        """As a row of the table."""
        return (
            f"{self.targets:>7} {self.pss:>8.1f} {self.rss:>8.1f} {self.threads:>8} "
            f"{self.descriptors:>12} {self.cpu:>7.2f} {self.wakeups:>11.1f} {self.rounds:>9.2f} "
            f"{self.logins:>7} {self.up_after:>15.1f}"
        )


def measure(targets: int, seconds: float = MEASURED_SECONDS, servers: int = 1) -> Row:
    """One agent with so many targets, left alone for ``seconds`` once all are up and idle."""
    with scene(targets, servers=servers) as made:
        return _measure(made, targets, seconds)


def figures() -> Iterator[Figure]:
    """The largest number of targets beside one."""
    one, many = measure(COUNTS[0]), measure(COUNTS[-1])
    yield Figure(
        name=f"memory, {many.targets} targets idle",
        unit="MiB",
        ours=[many.pss],
        opponent="one target",
        theirs=[one.pss],
        limit=MEMORY_MIB,
        measure="difference",
        note=f"{many.threads} threads, {many.descriptors} descriptors, {many.wakeups:.0f} wake-ups/s",
    )
    yield Figure(
        name=f"CPU, {many.targets} targets idle",
        unit="% of a core",
        ours=[many.cpu],
        opponent="one target",
        theirs=[one.cpu],
        limit=CPU_PERCENT,
        measure="ours",
        note=f"{many.rounds:.1f} rounds/s, all up after {many.up_after:.1f} s, {many.logins} logins",
    )


def _measure(made: Scene, targets: int, seconds: float) -> Row:
    clock, rest = SystemClock(), threading.Event()
    begun = clock.run()
    with (made.folder / "log").open("wb") as log:
        agent = subprocess.Popen(made.argv("run"), env=made.environ(), stdout=log, stderr=log)
    try:
        for address in made.local:
            until(lambda local=address: _served(local, agent), f"{address} serves", UP_SECONDS)  # type: ignore[misc]
        up_after = clock.run() - begun
        until(
            lambda: rest.wait(LOOK_SECONDS) or _settled(made, agent),
            "every target's first rounds",
            UP_SECONDS,
        )
        say(f"{targets} targets up after {up_after:.1f} s; idle for {seconds:.0f} s")
        rounds = _rounds(made).total()
        before, cpu, since = _switches(agent.pid), _cpu(agent.pid), clock.run()
        rest.wait(seconds)
        after, used, span = _switches(agent.pid), _cpu(agent.pid) - cpu, clock.run() - since
        rounds = _rounds(made).total() - rounds
        woken = sum(count - before.get(task, 0) for task, count in after.items())
        pss, rss = _memory(agent.pid)
        return Row(
            targets=targets,
            pss=pss,
            rss=rss,
            threads=len(after),
            descriptors=len(os.listdir(f"/proc/{agent.pid}/fd")),
            cpu=100 * used / span,
            wakeups=woken / span,
            rounds=rounds / span,
            logins=sum(one.log_text().count("Accepted publickey") for one in made.servers),
            up_after=up_after,
        )
    finally:
        stop_process(agent)


def _served(local: Address, agent: subprocess.Popen[bytes]) -> bool:
    assert agent.poll() is None, "the agent has ended"
    return serves(local)


def _settled(made: Scene, agent: subprocess.Popen[bytes]) -> bool:
    assert agent.poll() is None, "the agent has ended"
    rounds = _rounds(made)
    return len(rounds) == len(made.local) and min(rounds.values()) >= FIRST_ROUNDS


def _rounds(made: Scene) -> Counter[str]:
    """How many each target has had so far: from the recorded events, so that the agent has no work of it."""
    found: Counter[str] = Counter()
    for log in sorted((made.folder / "state" / "events").glob("*.jsonl*")):
        found.update(
            name[1].decode() for line in raw_lines(str(log)) if (name := _ROUND.match(line))
        )
    return found


def _switches(pid: int) -> dict[str, int]:
    """How often each thread gave up the CPU by itself: it waits, and is woken once for each."""
    found: dict[str, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            told = re.search(
                r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M
            )
        except OSError:
            continue  # it has ended
        found[task.name] = int(told[1]) if told is not None else 0
    return found


def _cpu(pid: int) -> float:
    """Seconds of CPU so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> tuple[float, float]:
    """MiB: proportional, resident."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    pss, rss = (re.search(rf"^{name}:\s+(\d+) kB", text, re.M) for name in ("Pss", "Rss"))
    assert pss is not None
    assert rss is not None
    return int(pss[1]) / 1024, int(rss[1]) / 1024


def main(words: Sequence[str] | None = None) -> None:
    """Print one row for each number of targets."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--targets", default=",".join(map(str, COUNTS)))
    parser.add_argument("--seconds", type=float, default=MEASURED_SECONDS)
    parser.add_argument("--servers", type=int, default=1)
    asked = parser.parse_args(words)
    mark_this_run()
    print(_HEAD, flush=True)
    for count in map(int, asked.targets.split(",")):
        print(measure(count, asked.seconds, asked.servers).line(), flush=True)


if __name__ == "__main__":
    main()
