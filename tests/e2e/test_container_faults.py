"""Faults of the container: who starts it again, how often, and when nobody may."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.agent import SLOW_LOOK_SECONDS
from tests.e2e.kernel import Kernel
from tests.e2e.lab import OWN_TOKEN, Bench, Mark, stopped
from tests.e2e.server import SESSION, Life
from tests.lab import needs
from tests.lab.docker import Dockerd

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]

START = "/usr/local/bin/start-runtime"
MORTAL = f"""
rm -f /tmp/end /tmp/eat
{START} &
while sleep 0.1; do
  [ -e /tmp/end ] && exit 3
  [ -e /tmp/eat ] && exec python3 -c 'held = [bytearray(1 << 20) for _ in range(1 << 20)]'
done
"""
"""Process 1 beside Jupyter: ends by itself, or eats all memory, when a file says so."""
PATIENT = f'trap "exit 0" TERM; {START} & while :; do wait; sleep 0.1; done'
"""Process 1 that ends when it is asked to, as the front proxy of the real image does."""
UNLESS_STOPPED = "--restart=unless-stopped"


def tell(life: Life, what: str) -> None:
    """Put a file into the container, from outside and without the engine."""
    with contextlib.suppress(ProcessLookupError):
        os.close(os.open(f"/proc/{life.pid}/root/tmp/{what}", os.O_CREAT | os.O_WRONLY))


def killed_from_outside(life: Life) -> None:
    os.kill(life.pid, signal.SIGKILL)


def exited_by_itself(life: Life) -> None:
    tell(life, "end")


ENDS = pytest.mark.parametrize("end", [killed_from_outside, exited_by_itself])


def again(bench: Bench, life: Life, within: float = 40.0) -> Life:
    """The container's next run, once it is up and nothing is left to do."""

    def found() -> Life | None:
        now = bench.server.life(life.id)
        return now if now.started != life.started and now.pid else None

    later = bench.agent.until(found, "another run", within, SLOW_LOOK_SECONDS)
    bench.calm()
    return later


@ENDS
def test_adopted_without_a_restart_policy(bench: Bench, end: object) -> None:
    """Started by hand as documented, random token and all: one ``start_container``, nothing else."""
    assert callable(end)
    life = bench.run_container(command=("sh", "-c", MORTAL))
    bench.open_view()
    begin = bench.start()
    assert bench.actions(begin) == ["refresh_token"]
    begin = bench.mark()
    end(life)
    later = again(bench, life)
    assert bench.actions(begin) == ["start_container"]
    assert bench.acts(begin) == ["die", "start"]
    assert bench.incidents(begin) == ["container_exited"]
    assert (later.id, later.restarts) == (life.id, 0)
    assert bench.server.containers() == [life.id]
    assert bench.usable(), (
        bench.agent.url(),
        bench.usable(),
        bench.server.docker.cli("logs", life.id).stderr.decode()[-3000:],
        bench.agent.last_words(),
    )
    assert bench.server.sessions() == [SESSION]


RARE: dict[str, object] = {"probe.interval": "10m", "probe.suspect_interval": "5s"}
"""Looks so rare that the agent would find out by itself after minutes."""


def test_the_engine_tells_and_no_look_is_awaited(dockerd: Dockerd, jupyter: str) -> None:
    with Bench(dockerd, jupyter, settings={**OWN_TOKEN, **RARE}) as own:
        life = own.settle()
        begin = own.mark()
        killed_from_outside(life)
        own.agent.until(own.usable, "usable", 30.0)
        assert own.server.life(life.id).started != life.started
        assert own.actions(begin) == ["start_container"]
        assert own.acts(begin) == ["die", "start"]
        assert own.incidents(begin) == ["container_exited"]


@ENDS
def test_adopted_with_a_restart_policy(own: Bench, end: object) -> None:
    """Docker starts it again; the agent leaves it to that and does nothing."""
    assert callable(end)
    life = own.settle(UNLESS_STOPPED, command=("sh", "-c", MORTAL))
    begin = own.mark()
    end(life)
    own.wait_noticed(1)
    later = again(own, life)
    assert own.actions(begin) == []
    assert own.acts(begin) == ["die", "start"]
    assert (later.id, later.restarts) == (life.id, 1)
    assert own.usable()


def test_with_a_restart_policy_only_the_new_token_is_looked_up(bench: Bench) -> None:
    """As above with the runtime's own random token, which each start makes anew."""
    life = bench.run_container(UNLESS_STOPPED)
    bench.open_view()
    bench.start()
    assert bench.agent.end() == 0
    bench.start()  # or it would look up tokens too often within a minute
    old = bench.agent.url()
    begin = bench.mark()
    killed_from_outside(life)
    bench.wait_noticed(1)
    later = again(bench, life)
    assert bench.actions(begin) == ["refresh_token"]
    assert bench.acts(begin) == ["die", "start"]
    assert later.restarts == 1
    assert bench.agent.url() != old
    assert bench.usable()


def test_missing_at_the_start(bench: Bench) -> None:
    """Made as documented, plus name, label, restart policy and pinned token; never a second one."""
    begin = bench.start()
    assert bench.actions(begin) == ["create_container", "open_session"]
    assert bench.acts(begin) == ["create", "start"]
    assert bench.incidents(begin) == ["container_missing", "session_missing"]
    (made,) = bench.server.containers()
    form = "{{.Name}} {{.HostConfig.RestartPolicy.Name}} {{json .Config.Labels}} {{json .HostConfig.PortBindings}}"
    told = bench.server.docker.out("inspect", "-f", form, made)
    assert told == (
        '/watchdogd-a100 unless-stopped {"watchdogd.target":"a100"} '
        f'{{"8080/tcp":[{{"HostIp":"127.0.0.1","HostPort":"{bench.port}"}}]}}'
    )
    assert bench.server.sessions() == [SESSION]
    assert bench.usable()


def test_missing_with_its_image(dockerd: Dockerd, jupyter: str) -> None:
    """Nothing is made, and the command that mends it is named."""
    with Bench(dockerd, "no-such-image:1") as bench:
        begin = bench.mark()
        bench.agent.start()
        bench.wait_cause("container_missing")
        bench.agent.until(lambda: bench.refusals(begin), "a refusal", 10)
        target = bench.agent.target()
        assert "docker pull no-such-image:1" in target["mend"]
        bench.pass_time(3)
        assert bench.refusals(begin) >= {("create_container", "failed_start")}
        assert bench.actions(begin) == []
        assert bench.acts(begin) == []
        assert bench.agent.metric("target_needs_hand") == 1


def test_process_1_killed_for_memory(own: Bench) -> None:
    life = own.settle("-m", "300m", "--memory-swap", "300m", command=("sh", "-c", MORTAL))
    begin = own.mark()
    tell(life, "eat")
    later = again(own, life, 60)
    assert own.actions(begin) == ["start_container"]
    assert own.incidents(begin) == ["container_oom"]
    assert [act for act in own.acts(begin) if act != "oom"] == ["die", "start"]
    assert "oom" in own.acts(begin)
    assert later.id == life.id
    assert own.agent.metric("container_oom_kills_total") == 1
    assert own.usable()


def test_tmux_server_killed(own: Bench) -> None:
    """The view is opened again; what it shows was never its own."""
    life = own.settle()
    begin = own.mark()
    own.server.kill_tmux()
    own.agent.until(
        lambda: own.server.sessions() == [SESSION], "the session", 30, SLOW_LOOK_SECONDS
    )
    own.calm()
    assert own.actions(begin) == ["open_session"]
    assert own.incidents(begin) == ["session_missing"]
    assert own.acts(begin) == []
    assert own.server.life(life.id) == life
    states = {record.get("state") for record in own.agent.records(begin.log)} - {None}
    assert states <= {"up", "degraded"}


@pytest.fixture
def frozen(dockerd: Dockerd, jupyter: str) -> Iterator[Bench]:
    """Probes that time out after 1 s: a hang takes 20 of them to be confirmed."""
    needs.programs("sshd", "ssh-keygen", "tmux")
    settings = {**OWN_TOKEN, "probe.timeout": "1s"}
    with Bench(dockerd, jupyter, settings=settings) as scene:
        yield scene


def server_pid(bench: Bench, life: Life) -> int:
    """Of the Jupyter server in the container, on this machine."""
    running = bench.server.processes(life.id)
    (pid,) = [pid for pid, args in running.items() if "-m jupyter_server" in args]
    return pid


@pytest.mark.timeout(240)
def test_jupyter_frozen(frozen: Bench) -> None:
    """While a kernel computes it is never restarted; once nothing does, exactly once, and only after
    the server's side has confirmed for ``hung_after`` what the tunnel shows."""
    life = frozen.settle(command=("sh", "-c", PATIENT))
    token = frozen.token.read_text()
    kernel = Kernel(frozen.port, token, life.pid)
    frozen.calm()
    begin = frozen.mark()
    with stopped(server_pid(frozen, life)):
        frozen.wait_cause("runtime_hung", 40)
        target = frozen.agent.target()
        assert (target["state"], target["usable"], target["served"]) == ("down", False, False)
        # The veto is asked last but one: all else that a restart needs is there when it is named.
        frozen.agent.until(
            lambda: ("restart_container", "veto") in frozen.refusals(begin), "veto", 90
        )
        assert kernel.advances()
        assert frozen.actions(begin) == []
        assert frozen.acts(begin) == []
        assert frozen.server.life(life.id) == life
        kernel.kill()
        still = frozen.clock.wall()
        later = again(frozen, life, 110)
    acts = frozen.server.timed_acts(begin.wall, frozen.clock.wall())
    assert frozen.actions(begin) == ["restart_container"]
    assert [act for _, act in acts] == ["kill 15", "die", "stop", "start", "restart"]
    assert acts[0][0] - still >= 55, "a sign of work counts for 60 s"
    assert acts[0][0] - begin.wall >= 8, "hung_after"
    assert frozen.incidents(begin) == ["runtime_hung"]
    assert later.id == life.id
    assert frozen.usable()
    restarts = [
        one for one in frozen.agent.records(begin.log) if one["event"] == "restart_container begins"
    ]
    assert len(restarts) == 1


def test_docker_stop_by_a_person(own: Bench) -> None:
    """Respected: told, not fought, until the person starts it again."""
    life = own.settle(UNLESS_STOPPED, command=("sh", "-c", PATIENT))
    begin = own.mark()
    own.server.docker.cli("stop", life.id)
    own.wait_cause("container_exited")
    own.agent.until(lambda: own.refusals(begin), "a refusal", 10)
    target = own.agent.target()
    assert target["state"] == "down"
    assert "stopped by a person" in target["detail"]
    assert "docker start" in target["mend"]
    assert target["refusals"] == [{"remedy": "start_container", "reason": "operator"}]
    assert own.agent.metric("target_needs_hand") == 1
    own.pass_time(5)
    assert own.actions(begin) == []
    assert own.acts(begin) == ["kill 15", "die", "stop"]
    assert not own.runtime_answers()
    own.server.docker.cli("start", life.id)
    own.wait_state("up", 30)
    own.calm()
    assert own.actions(begin) == []
    assert own.acts(begin) == ["kill 15", "die", "stop", "start"]


def test_gpus_without_a_driver(dockerd: Dockerd, jupyter: str) -> None:
    """The container is made, does not start, and is given up after three tries."""
    needs.programs("sshd", "ssh-keygen", "tmux")
    with Bench(dockerd, jupyter, settings={"runtime.container.gpus": "all"}) as bench:
        begin = bench.mark()
        bench.agent.start()
        bench.agent.until(
            lambda: ("start_container", "failed_start") in bench.refusals(begin), "given up", 60
        )
        target = bench.agent.target()
        assert "could not select device driver" in target["detail"]
        assert "NVIDIA Container Toolkit" in told_mends(bench, begin)
        bench.pass_time(5)
        assert bench.actions(begin) == ["create_container", "start_container", "start_container"]
        assert bench.acts(begin).count("create") == 1
        assert "start" not in bench.acts(begin)
        assert bench.agent.metric("target_needs_hand") == 1


def told_mends(bench: Bench, since: Mark) -> str:
    """Every mending command in the log."""
    return "\n".join(str(one.get("mend", "")) for one in bench.agent.records(since.log))


def test_engine_down(dockerd: Dockerd, jupyter: str) -> None:
    """SIGKILL to the engine: named with the command that mends it; healed when it is back."""
    from tests.lab.docker import Dockerd as Engine
    from tests.lab.image import jupyter_image

    needs.programs("sshd", "ssh-keygen", "tmux")
    with Engine() as engine, Bench(engine, jupyter_image(engine), settings=OWN_TOKEN) as bench:
        life = bench.settle()
        begin = bench.mark()
        engine.kill()
        bench.wait_cause("container_engine_down", 40)
        target = bench.agent.target()
        assert target["state"] == "down"
        assert "systemctl start docker" in target["mend"]
        assert bench.agent.metric("target_needs_hand") == 1
        bench.pass_time(3)
        assert bench.actions(begin) == []
        engine.start()
        engine.cli("start", life.id)  # its restart ended the container: a person starts it again
        bench.wait_state("up", 60)
        bench.calm()
        assert set(bench.actions(begin)) <= {"start_container"}
        assert bench.usable()


@pytest.mark.parametrize("lack", ["program", "permission"])
def test_the_engine_may_not_be_used(
    dockerd: Dockerd, jupyter: str, tmp_path_factory: pytest.TempPathFactory, lack: str
) -> None:
    """No sight of the container is no reason to touch it: the lack is named, with what mends it."""
    needs.programs("sshd", "ssh-keygen", "tmux", "setpriv")
    programs = tmp_path_factory.mktemp("bin")
    _all_but_docker(programs)
    if lack == "permission":
        wrapper = programs / "docker"
        drop = "setpriv --reuid=65534 --regid=65534 --clear-groups"
        wrapper.write_text(f'#!/bin/sh\nexec {drop} /usr/bin/docker "$@"\n')
        wrapper.chmod(0o755)
    with Bench(dockerd, jupyter, environment={"PATH": str(programs)}) as bench:
        begin = bench.mark()
        bench.agent.start()
        bench.wait_state("down", 30)
        target = bench.agent.target()
        seen = {one["probe"]: one for layer in target["layers"] for one in layer["observations"]}
        mend = {"program": "apt install docker.io", "permission": "usermod -aG docker"}[lack]
        assert seen["container"]["outcome"] == "unknown"
        assert mend in seen["container"]["mend"]
        bench.pass_time(5)
        assert bench.actions(begin) == []
        assert bench.acts(begin) == []
        checked = bench.agent.cli("check")
        assert checked.returncode == 2
        assert mend in checked.stdout
        assert mend in bench.agent.cli("status").stdout + target["mend"]


def _all_but_docker(folder: object) -> None:
    from pathlib import Path

    for place in ("/usr/bin", "/usr/sbin"):
        for program in Path(place).iterdir():
            link = Path(str(folder)) / program.name
            if not program.name.startswith("docker") and not link.exists():
                link.symlink_to(program)
