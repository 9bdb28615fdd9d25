"""The guard's script under real shells: when it acts, when it does not, and that it acts once."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.lab.local_link import LocalLink, until
from tests.lab.needs import free_port
from tests.lab.shells import SHELLS
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.guard import ServerGuard, checked, parse
from watchdogd.adapters.tmux import Tmux
from watchdogd.core.sight import HostSight, ProcessCpu
from watchdogd.core.words import Remedy
from watchdogd.ports import (
    Deadline,
    EngineRefused,
    GuardAnswer,
    GuardOrder,
    GuardResult,
)
from watchdogd.probes.host import SCRIPTS, parse_facts
from watchdogd.scripts import framed, text_of
from watchdogd.settings import Address

CLOCK = SystemClock()
TMUX = """#!/bin/sh
case $* in
*list-panes*) cat {pane} ;;
*) exit 1 ;;
esac
"""


class Shell(LocalLink):
    """A server whose ``sh`` is the one that the test names."""

    def __init__(self, env: dict[str, str], shell: Sequence[str]) -> None:
        super().__init__(env)
        self.shell = shell

    def _shell(self, argv: Sequence[str]) -> list[str]:
        named = [*self.shell, *argv[1:]] if argv[0] == "sh" else list(argv)
        return ["/bin/sh", "-c", shlex.join(named)]


class Recording(Tmux):
    """What ends the session is a command that leaves a mark."""

    command: Sequence[str] = ()

    def kill_argv(self, name: str, seconds: int) -> list[str]:
        return list(self.command)


@dataclass
class Scene:
    """A server with one session, whose command sleeps and whose port is closed."""

    folder: Path
    shell: Sequence[str]
    process: subprocess.Popen[bytes]
    link: Shell = field(init=False)
    order: GuardOrder = field(init=False)

    def __post_init__(self) -> None:
        tools = self.folder / "bin"
        tools.mkdir()
        self.pane = self.folder / "pane"
        self.run = f"{self.process.pid}:1700000000"
        self.pane.write_text(f"{self.run} 0\n77:1700000000 1\n")
        (tools / "tmux").write_text(TMUX.format(pane=shlex.quote(str(self.pane))))
        (tools / "tmux").chmod(0o755)
        env = {"HOME": str(self.folder), "PATH": f"{tools}:{os.environ['PATH']}"}
        self.link = Shell(env, self.shell)
        self.order = GuardOrder(
            key="i1:0:restart_session",
            remedy=Remedy.RESTART_SESSION,
            place=Address("127.0.0.1", free_port()),
            session="colab_session",
            run=self.run,
            seen=self.seen(),
            per_6h=2,
            per_24h=3,
        )

    def seen(self) -> HostSight:
        """As the probe reads it."""
        done = subprocess.run(
            ["sh", "-s", "--", "M", "-", str(self.process.pid)],
            input=text_of(*SCRIPTS),
            capture_output=True,
            check=True,
            timeout=30,
        )
        lines = framed(done.stdout.decode(), "M")
        assert lines is not None
        return parse_facts(lines, CLOCK.run())

    def act(
        self, order: GuardOrder | None = None, does: str = "", seconds: float = 60
    ) -> GuardAnswer:
        """One order; what is done leaves a line in ``acts``."""
        tmux = Recording(lambda: self.link, CLOCK)
        tmux.command = [
            "sh",
            "-c",
            f"echo x >>{shlex.quote(str(self.folder / 'acts'))}; {does or ':'}",
        ]
        guard = ServerGuard(lambda: self.link, CLOCK, tmux)
        return guard.act(order or self.order, Deadline.after(CLOCK, seconds))

    def acts(self) -> int:
        """How often it was done."""
        file = self.folder / "acts"
        return len(file.read_text().splitlines()) if file.exists() else 0

    @property
    def ledger(self) -> Path:
        return self.folder / ".watchdogd" / "ledger.jsonl"

    def entries(self) -> list[dict[str, object]]:
        """The ledger, each line of it JSON."""
        return [json.loads(line) for line in self.ledger.read_text().splitlines()]


@pytest.fixture(params=SHELLS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    yield from a_scene(tmp_path, request.param)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Scene]:
    """With the system's ``sh`` alone."""
    yield from a_scene(tmp_path, ["sh"])


def a_scene(folder: Path, shell: Sequence[str]) -> Iterator[Scene]:
    process = subprocess.Popen(["sleep", "300"])
    try:
        yield Scene(folder, shell, process)
    finally:
        process.kill()
        process.wait(10)


def key(order: GuardOrder, name: str) -> GuardOrder:
    return replace(order, key=name)


def test_it_acts_and_keeps_a_ledger(scene: Scene) -> None:
    assert scene.act().result is GuardResult.ACTED
    assert scene.acts() == 1
    intent, result = scene.entries()
    assert (intent["event"], intent["key"], intent["remedy"], intent["place"]) == (
        "intent",
        scene.order.key,
        "restart_session",
        str(scene.order.place),
    )
    assert (result["event"], result["key"], result["result"]) == (
        "result",
        scene.order.key,
        "acted",
    )
    assert scene.ledger.stat().st_mode & 0o077 == 0


def test_one_key_acts_once(scene: Scene) -> None:
    scene.act()
    again = scene.act()
    assert (again.result, again.detail, scene.acts()) == (GuardResult.REPEAT, "acted", 1)


def test_an_order_whose_result_was_lost_is_not_given_again(scene: Scene) -> None:
    scene.act()
    scene.ledger.write_text(
        scene.ledger.read_text().splitlines()[0] + "\n"
    )  # killed while it acted
    again = scene.act()
    assert (again.result, again.detail, scene.acts()) == (GuardResult.REPEAT, "unknown", 1)


def test_a_pause_on_the_server_forbids_it(scene: Scene) -> None:
    (scene.folder / ".watchdogd").mkdir()
    (scene.folder / ".watchdogd" / "PAUSE").touch()
    assert (scene.act().result, scene.acts()) == (GuardResult.PAUSED, 0)


def test_another_one_at_work_forbids_it(scene: Scene) -> None:
    (scene.folder / ".watchdogd").mkdir()
    with (scene.folder / ".watchdogd" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert (scene.act().result, scene.acts()) == (GuardResult.BUSY, 0)
    assert scene.act().result is GuardResult.ACTED


@pytest.mark.parametrize("pane", ["1:1700000000 0\n", "", "garbage\n", "$(touch evil) 0\n"])
def test_another_generation_is_not_touched(one: Scene, pane: str) -> None:
    one.pane.write_text(pane)
    assert (one.act().result, one.acts()) == (GuardResult.CHANGED, 0)


ANSWERS = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2])); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.mark.parametrize(
    ("status", "result"),
    [(200, GuardResult.HEALED), (403, GuardResult.HEALED), (500, GuardResult.ACTED)],
)
@pytest.mark.parametrize("tool", ["curl", "python3"])
def test_a_runtime_that_answers_is_not_touched(
    one: Scene, status: int, result: GuardResult, tool: str
) -> None:
    port = one.order.place.port
    with subprocess.Popen([sys.executable, "-c", ANSWERS, str(port), str(status)]) as server:
        try:
            until(lambda: listens(port))
            if tool == "python3":
                one.link.env["PATH"] = without(one.folder, "curl", one.link.env["PATH"])
            assert one.act().result is result
        finally:
            server.kill()


def test_work_that_began_since_forbids_it(scene: Scene) -> None:
    busy = replace(
        scene.order.seen,
        processes=tuple(
            replace(process, cpu_seconds=process.cpu_seconds - 10.0)
            for process in scene.order.seen.processes or ()
        ),
    )
    # what it had used then is less than now: it computed
    answer = scene.act(replace(scene.order, seen=busy))
    assert (answer.result, scene.acts()) == (GuardResult.VETO, 0)
    assert "uses CPU" in answer.detail


def test_a_process_that_was_started_since_forbids_it(scene: Scene) -> None:
    nobody = replace(scene.order.seen, processes=())
    answer = scene.act(replace(scene.order, seen=nobody))
    assert (answer.result, scene.acts()) == (GuardResult.VETO, 0)
    assert "was started" in answer.detail


def test_what_runs_in_another_pane_forbids_it(one: Scene) -> None:
    """It would end with the session."""
    with subprocess.Popen(["sleep", "300"]) as other:
        try:
            one.pane.write_text(f"{one.run} 0\n{other.pid}:1700000000 0\n")
            assert (one.act().result, one.acts()) == (GuardResult.VETO, 0)
        finally:
            other.kill()


def test_the_runtimes_own_server_may_be_busy(one: Scene) -> None:
    (process,) = one.order.seen.processes or ()
    server = replace(one.order.seen, processes=(), servers=((process.pid, process.started),))
    assert one.act(replace(one.order, seen=server)).result is GuardResult.ACTED


def test_a_persons_order_is_stopped_by_no_veto_and_no_budget(scene: Scene) -> None:
    order = replace(scene.order, ordered=True, per_6h=0, seen=HostSight(read_at=CLOCK.run()))
    assert scene.act(order).result is GuardResult.ACTED
    assert scene.entries()[0]["event"] == "intent"
    (scene.folder / ".watchdogd" / "PAUSE").touch()
    assert scene.act(key(order, "i2")).result is GuardResult.PAUSED
    (scene.folder / ".watchdogd" / "PAUSE").unlink()
    assert scene.act(order).result is GuardResult.REPEAT
    scene.pane.write_text("1:1 0\n")
    assert scene.act(key(order, "i3")).result is GuardResult.CHANGED
    assert scene.acts() == 1


def test_processes_that_cannot_be_seen_forbid_it(one: Scene) -> None:
    one.process.kill()
    one.process.wait(10)
    assert (one.act().result, one.acts()) == (GuardResult.UNREAD, 0)


def test_the_ledger_is_the_budget_of_all_agents(scene: Scene) -> None:
    for number in range(2):
        assert scene.act(key(scene.order, f"i{number}")).result is GuardResult.ACTED
    answer = scene.act(key(scene.order, "i9"))
    assert (answer.result, scene.acts()) == (GuardResult.BUDGET, 2)
    elsewhere = replace(scene.order, key="i10", place=Address("127.0.0.1", free_port()))
    assert scene.act(elsewhere).result is GuardResult.ACTED


@pytest.mark.parametrize(
    ("age", "result"),
    [
        (7 * 3600, GuardResult.ACTED),  # out of the 6 h
        (25 * 3600, GuardResult.ACTED),
        (-3600, GuardResult.BUDGET),  # from the future: fresh
        (3600, GuardResult.BUDGET),
    ],
)
def test_only_age_gives_budget_back(one: Scene, age: int, result: GuardResult) -> None:
    assert one.act(key(one.order, "i1")).result is GuardResult.ACTED
    lines = []
    for number in range(2):
        entry = {"at": int(time.time()) - age, "event": "intent", "key": f"old{number}"}
        entry |= {"remedy": "restart_session", "place": str(one.order.place)}
        lines.append(json.dumps(entry, separators=(",", ":")))
    one.ledger.write_text("\n".join(lines) + "\n")
    assert one.act(key(one.order, "i2")).result is result


def test_a_ledger_that_cannot_be_understood_counts_as_acts_of_now(one: Scene) -> None:
    (one.folder / ".watchdogd").mkdir()
    one.ledger.write_text('garbage\n{"at":17,"event":"int')
    assert (one.act().result, one.acts()) == (GuardResult.BUDGET, 0)


def test_a_half_written_end_spoils_no_later_line(one: Scene) -> None:
    (one.folder / ".watchdogd").mkdir()
    one.ledger.write_text('{"at":17,"event":"int')
    assert one.act().result is GuardResult.ACTED
    assert len(one.ledger.read_text().splitlines()) == 3


def test_the_ledger_stays_small(one: Scene) -> None:
    (one.folder / ".watchdogd").mkdir()
    line = '{"at":17,"event":"intent","key":"k","remedy":"r","place":"127.0.0.1:1"}\n'
    one.ledger.write_text(2500 * line)
    assert one.act().result is GuardResult.ACTED
    assert len(one.ledger.read_text().splitlines()) == 1002


def test_an_act_that_fails_says_so(scene: Scene) -> None:
    answer = scene.act(does="echo no such session >&2; exit 3")
    assert (answer.result, answer.detail) == (GuardResult.FAILED, "no such session")
    assert scene.entries()[1]["result"] == "failed"


@pytest.mark.parametrize("tool", ["flock", "tmux", "timeout"])
def test_a_server_without_a_tool_says_which(one: Scene, tool: str) -> None:
    one.link.env["PATH"] = without(one.folder, tool, one.link.env["PATH"])
    answer = one.act()
    assert (answer.result, one.acts()) == (GuardResult.MISSING, 0)
    assert tool in answer.detail


def test_a_home_that_cannot_be_written_forbids_it(one: Scene) -> None:
    (one.folder / ".watchdogd").write_text("a file")
    assert (one.act().result, one.acts()) == (GuardResult.MISSING, 0)


@pytest.mark.parametrize("same_key", [True, False])
def test_many_at_once_act_once(one: Scene, same_key: bool) -> None:
    """I21. What the act changes is what the next one looks at."""
    changes = f"echo 9:9 0 >{shlex.quote(str(one.pane))}; sleep 0.3"
    orders = [one.order if same_key else key(one.order, f"agent{n}") for n in range(6)]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda order: one.act(order, does=changes).result, orders))
    assert found.count(GuardResult.ACTED) == 1, found
    others = {GuardResult.ACTED, GuardResult.BUSY, GuardResult.CHANGED, GuardResult.REPEAT}
    assert set(found) <= others
    assert one.acts() == 1


def test_it_goes_on_when_whoever_asked_is_gone(one: Scene) -> None:
    """The link dies while the act runs: its result is in the ledger all the same."""
    one.link = Cut(one.link.env, ["sh"])
    with pytest.raises(EngineRefused):
        one.act(does="sleep 1")
    until(lambda: one.ledger.exists() and len(one.entries()) == 2, 20)
    assert one.entries()[1]["result"] == "acted"


class Cut(Shell):
    """Hangs up on what it began, and reads no answer."""

    def run(self, argv, *, deadline, stdin=b"", limit=0):  # type: ignore[no-untyped-def]
        from watchdogd.ports import Completed

        child = subprocess.Popen(
            self._shell(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.env,
            start_new_session=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(stdin)
        child.stdin.close()
        acts = Path(self.env["HOME"]) / "acts"
        until(acts.exists, 20)
        child.stdout.close()
        os.killpg(child.pid, 1)
        child.wait(20)
        return Completed(255, b"", b"")


@pytest.mark.parametrize(
    "change",
    [
        {"key": "a'b"},
        {"key": ""},
        {"run": "1:2; reboot"},
        {"container": "$(reboot)"},
        {"seen": HostSight(read_at=0.0)},
    ],
)
def test_an_order_that_no_shell_may_see_is_refused(one: Scene, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="order"):
        checked(replace(one.order, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("lines", [[], ["result="], ["result=perhaps"], ["detail=x"]])
def test_an_answer_that_makes_no_sense_is_none(lines: list[str]) -> None:
    with pytest.raises(EngineRefused):
        parse(lines)


def test_too_little_time_is_not_begun(one: Scene) -> None:
    assert one.act(seconds=30).result is GuardResult.MISSING
    assert one.link.ran == []


def test_no_argument_of_it_is_a_deletion(one: Scene) -> None:
    """I11: of the script itself, too."""
    words = text_of("processes.sh", "guard.sh").decode().split()
    assert not {"rm", "rmdir", "prune", "kill-server"} & set(words)
    one.act()
    assert "rm" not in one.link.ran[0]


def test_a_process_of_before_counts_its_cpu_from_then(one: Scene) -> None:
    (process,) = one.order.seen.processes or ()
    assert isinstance(process, ProcessCpu)
    nearly = replace(process, cpu_seconds=process.cpu_seconds - 0.02)
    order = replace(one.order, seen=replace(one.order.seen, processes=(nearly,)))
    assert one.act(order).result is GuardResult.ACTED


def listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def without(folder: Path, tool: str, path: str) -> str:
    """A PATH on which everything is but that tool."""
    bare = folder / f"without-{tool}"
    bare.mkdir()
    for place in path.split(":"):
        if not os.path.isdir(place):
            continue
        for name in os.listdir(place):
            if name != tool and not (bare / name).exists() and shutil.which(name, path=place):
                (bare / name).symlink_to(os.path.join(place, name))
    return str(bare)
