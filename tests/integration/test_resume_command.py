"""``resume_command`` as real processes: told on its standard input, ended by its deadline, never left behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.fakes_reach import target
from tests.lab.waiting import until
from watchdogd.adapters import local_command
from watchdogd.adapters.child_ledger import ChildLedger, identity_of
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.local_command import LocalCommands
from watchdogd.core.resume import Hook
from watchdogd.core.sight import Generation
from watchdogd.core.words import Result
from watchdogd.ports import Deadline, Outcome, Ran
from watchdogd.remedies.hook import request, resume
from watchdogd.settings import TrainingSettings
from watchdogd.sinks.redact import Redactor

pytestmark = pytest.mark.real

CLOCK = SystemClock()
HOOK = Hook(
    key="i1:resume:c:t",
    incident="i1",
    repair="i1:0:start_container",
    generation=Generation(boot_id="b", container="c", started="t"),
    attempt=3,
    back=1,
    step=1050.0,
    decided=0.0,
    deadline_seconds=60.0,
)


@pytest.fixture
def commands(tmp_path: Path) -> LocalCommands:
    return LocalCommands(CLOCK, ChildLedger(tmp_path / "children"))


def soon(seconds: float = 30.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


def shell(script: str, *words: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script, "sh", *words)


def resumed(commands: LocalCommands, *argv: str, seconds: float = 30.0) -> Outcome:
    wanted = replace(target(), training=TrainingSettings(resume_command=argv))
    redact = Redactor(lambda: ()).text
    return resume(commands.run, redact, wanted, HOOK, soon(seconds))


def gone(pid: int) -> bool:
    return identity_of(pid) is None


def pid_in(file: Path) -> int:
    text = until(lambda: file.read_text().strip() if file.exists() else "", "its number is told")
    return int(text)


# ---------------------------------------------------------------- what it is told, and tells


def test_it_is_told_what_it_is_for_in_one_line_of_json(
    commands: LocalCommands, tmp_path: Path
) -> None:
    outcome = resumed(commands, *shell('cat > "$1"', str(tmp_path / "told")))
    assert outcome.result is Result.DONE
    text = (tmp_path / "told").read_text()
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "schema": "watchdogd.resume/1",
        "target": "a100",
        "incident": "i1",
        "generation": {"boot_id": "b", "container": "c", "started": "t"},
        "attempt": 3,
        "back": 1,
        "last_step": 1050.0,
        "deadline_seconds": 60.0,
    }
    assert request("a100", replace(HOOK, step=None)).count(b'"last_step": null') == 1


def test_the_longest_thing_it_can_be_told_fits_into_a_pipe() -> None:
    run = Generation(boot_id="b" * 64, container="c" * 64, started="2026-11-28T17:25:27.123456789Z")
    assert len(request("t" * 32, replace(HOOK, incident="i" * 64, generation=run))) < 4096


@pytest.mark.parametrize(
    ("script", "result", "detail"),
    [
        ("exit 0", Result.DONE, ""),
        ("echo begun; echo at 1000 >&2", Result.DONE, "it printed: begun | at 1000"),
        ("echo no checkpoint >&2; exit 3", Result.FAILED, "status 3; it printed: no checkpoint"),
        ("kill -9 $$", Result.FAILED, "signal 9"),
        ("exec <&-; exec sleep 0.1", Result.DONE, ""),
        ("printf 'a\\033[31mb\\n'", Result.DONE, "it printed: a?[31mb"),
    ],
)
def test_its_end_is_told_with_its_last_words(
    commands: LocalCommands, script: str, result: Result, detail: str
) -> None:
    outcome = resumed(commands, *shell(script))
    assert (outcome.result, outcome.detail) == (result, detail)


def test_a_program_that_cannot_be_started_says_why(commands: LocalCommands, tmp_path: Path) -> None:
    for name, why in (("none", "No such file"), ("plain", "Permission denied")):
        file = tmp_path / name
        if name == "plain":
            file.write_text("#!/bin/sh\n")
        outcome = resumed(commands, str(file))
        assert outcome.result is Result.FAILED
        assert why in outcome.detail


def test_no_secret_that_it_prints_is_told(commands: LocalCommands) -> None:
    told = resumed(commands, *shell("echo WANDB_API_KEY=abcdef0123456789; exit 1")).detail
    assert "abcdef" not in told
    assert "WANDB_API_KEY=***" in told


def test_words_without_end_are_cut_and_do_not_hold_it_up(commands: LocalCommands) -> None:
    ran = commands.run(
        shell("yes 0123456789 | head -c 20000000; echo last"), stdin=b"", deadline=soon()
    )
    assert ran.status == 0
    assert len(ran.said) == local_command.KEPT_BYTES
    assert ran.said.endswith(b"last\n")
    told = resumed(commands, *shell("yes 0123456789 | head -c 200000; echo last")).detail
    assert len(told) < 500
    assert told.endswith("last")


@pytest.mark.parametrize("script", ["echo begun", "exec >&- 2>&-; sleep 0.2"])
def test_an_agent_with_more_than_1024_open_files_runs_it_too(
    commands: LocalCommands, script: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 2048
    if hard != resource.RLIM_INFINITY and hard < most:
        pytest.skip(f"no more than {hard} open files are allowed here")
    with ExitStack() as cleanup:
        if soft != resource.RLIM_INFINITY and soft < most:
            cleanup.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        while cleanup.enter_context(Path(os.devnull).open("rb")).fileno() < 1024:
            pass
        ran = commands.run(shell(script), stdin=b"", deadline=soon())
    assert (ran.status, ran.said) == (0, b"begun\n" if "echo" in script else b"")


# ---------------------------------------------------------------- its end


def test_sleep_for_a_day_is_ended_by_the_deadline(commands: LocalCommands, tmp_path: Path) -> None:
    outcome = resumed(commands, "sleep", "1d", seconds=0.3)
    assert outcome.result is Result.UNKNOWN
    assert "was ended" in outcome.detail
    assert list((tmp_path / "children").iterdir()) == []


def test_its_children_end_with_it(commands: LocalCommands, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = 'sleep 1d & echo $! > "$1.new"; mv "$1.new" "$1"; wait'
    ran: list[Ran] = []
    deadline = soon(60)
    thread = threading.Thread(
        target=lambda: ran.append(
            commands.run(shell(script, str(pid)), stdin=b"", deadline=deadline)
        )
    )
    thread.start()
    child = pid_in(pid)
    commands.close(soon())
    thread.join(30)
    assert ran[0].status is None
    until(lambda: gone(child), "the child's end")


def test_who_ignores_the_signal_is_killed(
    commands: LocalCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_command, "TERM_SECONDS", 0.3)
    script = "trap '' TERM; echo here; while :; do sleep 1; done"
    ran = commands.run(shell(script), stdin=b"", deadline=soon(1.0))
    assert ran.status is None


def test_what_it_leaves_in_its_group_ends_with_it(commands: LocalCommands, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    ran = commands.run(shell('sleep 1d & echo $! > "$1"', str(pid)), stdin=b"", deadline=soon())
    assert ran.status == 0
    child = pid_in(pid)
    until(lambda: gone(child), "the child's end")


def test_what_it_starts_in_a_session_of_its_own_lives_on_and_holds_nothing_up(
    commands: LocalCommands, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    # It keeps the other end of the pipe, as the master of a shared ssh connection does.
    child = (
        "import os, sys; os.setsid(); open(sys.argv[1], 'w').write(str(os.getpid())); "
        "os.execvp('sleep', ['sleep', '1d'])"
    )
    script = '"$1" -c "$2" "$3" & while [ ! -s "$3" ]; do sleep 0.05; done; echo done'
    ran = commands.run(shell(script, sys.executable, child, str(pid)), stdin=b"", deadline=soon())
    left = pid_in(pid)
    try:
        assert (ran.status, ran.said) == (0, b"done\n")
        assert not gone(left)
    finally:
        os.kill(left, signal.SIGKILL)
    until(lambda: gone(left), "the end of what the test left")


def test_after_the_agent_began_to_end_none_is_started(commands: LocalCommands) -> None:
    commands.close(soon())
    outcome = resumed(commands, "sleep", "1d")
    assert (outcome.result, outcome.detail) == (Result.NOTHING, "the agent is stopping")


KILLED = """
import sys
from pathlib import Path
from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.local_command import LocalCommands
from watchdogd.ports import Deadline
clock = SystemClock()
commands = LocalCommands(clock, ChildLedger(Path(sys.argv[1])))
commands.run(["sleep", "1d"], stdin=b"", deadline=Deadline.after(clock, 60))
"""


def test_a_killed_agents_command_is_ended_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "children"
    argv = [sys.executable, "-c", KILLED, str(folder)]
    with subprocess.Popen(argv) as agent:
        try:
            entry = until(lambda: next(iter(folder.glob("*.json")), None), "it is written down")
        finally:
            agent.kill()
    child = int(entry.stem)
    assert not gone(child)
    assert ChildLedger(folder).end_orphans(CLOCK) == (child,)
    until(partial(gone, child), "its end")


# ---------------------------------------------------------------- the script of the how-to

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "resume-a-training-run.md"
SSH = '#!/bin/sh\n[ "$5" = gpu.example.org ] || exit 255\nshift 5\nexec "$@"\n'
DOCKER = '#!/bin/sh\n[ "$1 $2 $3" = "exec -i colab" ] || exit 125\nshift 3\nexec "$@"\n'
TRAIN = """
import os, sys, time
folder = os.path.dirname(__file__)
with open(os.path.join(folder, "begun.new"), "w") as file:
    file.write(f"{os.getpid()} {sys.argv[1:]}")
os.replace(os.path.join(folder, "begun.new"), os.path.join(folder, "begun"))
while not os.path.exists(os.path.join(folder, "enough")):
    time.sleep(0.05)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As it stands on the page, with a server that is this machine."""
    content = tmp_path / "content"
    (content / "checkpoints").mkdir(parents=True)
    (content / "train.py").write_text(TRAIN)
    text = HOW_TO.read_text().split("```python\n", 1)[1].split("```", 1)[0]
    assert text.startswith("#!/usr/bin/env python3\n")
    files = {"resume.py": text.replace("/content", str(content)), "ssh": SSH, "docker": DOCKER}
    for name, body in files.items():
        (tmp_path / name).write_text(body)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for step, complete in ((90, True), (1000, True), (1100, True), (1200, False)):
        folder = content / "checkpoints" / f"step_{step}"
        folder.mkdir()
        if complete:
            (folder / "DONE").touch()
    return tmp_path / "resume.py"


@pytest.mark.parametrize(("back", "step"), [(0, 1100), (1, 1000), (7, 90)])
def test_the_script_of_the_how_to_starts_from_the_right_checkpoint_and_never_twice(
    commands: LocalCommands, script: Path, back: int, step: int
) -> None:
    content = script.parent / "content"
    wanted = replace(target(), training=TrainingSettings(resume_command=(str(script),)))
    run = partial(resume, commands.run, Redactor(lambda: ()).text, wanted)
    hook = replace(HOOK, back=back)
    outcome = run(hook, soon())
    folder = content / "checkpoints" / f"step_{step}"
    assert outcome == Outcome(result=Result.DONE, detail=f"it printed: begun from {folder}")
    begun = content / "begun"
    pid, told = until(lambda: begun.read_text() if begun.exists() else "", "it trains").split(
        " ", 1
    )
    try:
        assert told == f"['--resume', '{folder}']"
        assert not gone(int(pid)), "it outlives the command that started it"
        again = run(hook, soon())
        assert again.result is Result.FAILED
        assert again.detail == "status 1; it printed: a training runs already"
    finally:
        (content / "enough").touch()
        until(lambda: gone(int(pid)), "the training's end")


def test_what_matters_most_runs_also_where_nothing_can_be_written_down(tmp_path: Path) -> None:
    """Messages of a full disk, say; a hook waits."""
    (tmp_path / "children").write_text("no folder")
    ledger = ChildLedger(tmp_path / "children")
    lasting = shell("exec sleep 60")  # one that ended already is not noted
    with pytest.raises(OSError, match="children"):
        LocalCommands(CLOCK, ledger).run(lasting, stdin=b"", deadline=soon())
    ran = LocalCommands(CLOCK, ledger, unwritten=True).run(
        shell("echo told"), stdin=b"", deadline=soon()
    )
    assert (ran.status, ran.said) == (0, b"told\n")
