"""Acting, not being able to ask, and what is never asked, on a real engine."""

from __future__ import annotations

import re
import socket
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab import needs
from tests.lab.container_lab import TERM, Lab, laboratory
from tests.lab.docker import Dockerd
from tests.lab.local_link import until
from watchdogd.core.words import Cause, ContainerStatus
from watchdogd.errors import Transient
from watchdogd.ports import EngineRefused

pytestmark = pytest.mark.real


@pytest.fixture
def lab(dockerd: Dockerd, tmp_path: Path) -> Iterator[Lab]:
    """The adapter on the session's engine, with no container in it."""
    with laboratory(dockerd, tmp_path) as it:
        yield it
    dockerd.clear()


# ---------------------------------------------------------------- acting


def test_start_keeps_the_container(lab: Lab) -> None:
    ident = lab.run(command=("sh", "-c", TERM))
    first = lab.look().started
    lab.dockerd.cli("stop", ident)
    lab.engine.start(ident, lab.within())
    second = lab.look()
    assert (second.id, second.status) == (ident, ContainerStatus.RUNNING)
    assert second.started != first


def test_create_makes_what_is_documented(lab: Lab, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a" * 48)
    lab.wanted = replace(
        lab.wanted,
        gpus="all",
        volumes=("wd-made:/content", f"{tmp_path}:/host:ro"),
        env={"MODE": "a b"},
        command=("sleep", "100"),
        shm_size=2**30,
    )
    ident = lab.engine.create("a100", lab.wanted, str(token), lab.within())
    made = lab.inspect(ident)
    host = made["HostConfig"]
    port = str(lab.wanted.publish.address.port)
    assert made["Name"] == "/watchdogd-a100"
    assert made["State"]["Status"] == "created"
    assert made["Config"]["Labels"]["watchdogd.target"] == "a100"
    assert {"MODE=a b", "JUPYTER_TOKEN_FILE=/etc/watchdogd-token"} <= set(made["Config"]["Env"])
    assert made["Config"]["Cmd"] == ["sleep", "100"]
    assert not made["Config"]["Tty"]
    assert not made["Config"]["OpenStdin"]
    assert host["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"] == {"max-size": "50m", "max-file": "3"}
    assert host["ShmSize"] == 2**30
    assert host["Binds"] == ["wd-made:/content", f"{tmp_path}:/host:ro"]
    assert (host["AutoRemove"], host["Privileged"], host.get("Init")) == (False, False, None)
    request = host["DeviceRequests"][0]
    assert (request["Count"], request["Capabilities"]) == (-1, [["gpu"]])
    mount = host["Mounts"][0]
    assert (mount["Type"], mount["ReadOnly"], mount["Source"]) == ("bind", True, str(token))
    seen = lab.look()
    assert (seen.id, seen.adopted, seen.stopped_by_person) == (ident, False, False)


def test_what_was_created_runs_with_its_token_inside(lab: Lab, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("b" * 48)
    lab.wanted = replace(
        lab.wanted, command=("sh", "-c", "cat $JUPYTER_TOKEN_FILE; echo; sleep 100")
    )
    ident = lab.engine.create("a100", lab.wanted, str(token), lab.within())
    lab.engine.start(ident, lab.within())
    until(lambda: lab.engine.log_tail(ident, 10, lab.within()) == b"b" * 48 + b"\n")


def test_a_missing_token_file_is_refused_and_no_folder_made(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(Transient) as failed:
        lab.engine.create("a100", lab.wanted, str(tmp_path / "none"), lab.within())
    assert failed.value.cause is Cause.CONTAINER_MISSING
    assert not (tmp_path / "none").exists()
    assert lab.look().id is None


def test_a_missing_image_is_named_and_never_pulled(lab: Lab, tmp_path: Path) -> None:
    lab.wanted = replace(lab.wanted, image="nobody/has-it:1")
    with pytest.raises(Transient) as failed:
        lab.engine.create("a100", lab.wanted, str(tmp_path), lab.within())
    assert failed.value.cause is Cause.CONTAINER_MISSING
    assert failed.value.mend == "on the server: docker pull nobody/has-it:1"
    assert "nobody/has-it:1" in failed.value.detail


def test_no_driver_for_the_gpu_says_what_to_install(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("c" * 48)
    wanted = replace(lab.wanted, gpus="all", command=("sleep", "100"))
    ident = lab.engine.create("a100", wanted, str(tmp_path / "token"), lab.within())
    with pytest.raises(Transient) as failed:
        lab.engine.start(ident, lab.within())
    assert failed.value.cause is Cause.CONTAINER_EXITED
    assert "could not select device driver" in failed.value.detail
    assert "NVIDIA Container Toolkit" in failed.value.mend
    assert "could not select device driver" in lab.look().error


def test_a_taken_port_is_said(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("c" * 48)
    wanted = replace(lab.wanted, command=("sleep", "100"))
    ident = lab.engine.create("a100", wanted, str(tmp_path / "token"), lab.within())
    holder = socket.create_server(("127.0.0.1", wanted.publish.address.port))
    with holder, pytest.raises(Transient) as failed:
        lab.engine.start(ident, lab.within())
    assert failed.value.cause is Cause.CONTAINER_EXITED
    assert "ss -ltnp" in failed.value.mend


def test_the_log_is_cut_from_the_front(lab: Lab) -> None:
    line = "x" * 1000
    script = f"i=0; while [ $i -lt 400 ]; do echo {line}; i=$((i+1)); done; echo end"
    ident = lab.run(command=("sh", "-c", script))
    until(lambda: lab.engine.log_tail(ident, 1, lab.within()) == b"end\n")
    tail = lab.engine.log_tail(ident, 1000, lab.within())
    assert (len(tail), tail[-8:]) == (262_144, b"xxx\nend\n")


# ---------------------------------------------------------------- not being able to ask


def test_the_engine_down_is_told_from_everything_else(tmp_path: Path) -> None:
    needs.programs("dockerd", "docker", "ip")
    needs.root("a container engine of one's own")
    with Dockerd() as own, laboratory(own, tmp_path) as lab:
        assert lab.look().id is None
        own.kill()
        with pytest.raises(Transient) as down:
            lab.look()
        assert down.value.cause is Cause.CONTAINER_ENGINE_DOWN
        assert down.value.mend
        own.start()
        assert lab.look().id is None


def test_no_permission_is_not_missing(lab: Lab, tmp_path: Path) -> None:
    _pretend(tmp_path, 'echo "permission denied while trying to connect" >&2; exit 1')
    lab.link.env["PATH"] = f"{tmp_path}/bin:{lab.link.env['PATH']}"
    with pytest.raises(EngineRefused) as refused:
        lab.look()
    assert "usermod" in refused.value.mend


def test_no_docker_program_is_not_missing(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    lab.link.env["PATH"] = f"{tmp_path}/bin"
    with pytest.raises(EngineRefused) as refused:
        lab.look()
    assert refused.value.detail == "there is no docker program on the server"


def test_garbage_is_not_missing(lab: Lab, tmp_path: Path) -> None:
    _pretend(tmp_path, 'printf "HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\n<htm>"')
    lab.link.env["PATH"] = f"{tmp_path}/bin:{lab.link.env['PATH']}"
    with pytest.raises((Transient, EngineRefused)) as refused:
        lab.look()
    assert getattr(refused.value, "cause", None) is not Cause.CONTAINER_ENGINE_DOWN


def test_no_link_is_said(lab: Lab) -> None:
    lab.link.cut()
    with pytest.raises(Transient) as lost:
        lab.look()
    assert lost.value.cause is Cause.LINK_LOST


def test_a_stalled_bridge_ends_by_the_deadline_and_the_next_call_is_good(lab: Lab) -> None:
    ident = lab.run()
    assert lab.look().id == ident
    frozen = threading.Event()
    usual = lab.link.stdio

    def freezing(*args: Any, **more: Any) -> Any:
        stream = usual(*args, **more)
        if not frozen.is_set():
            frozen.set()
            stream.freeze()  # type: ignore[attr-defined]
        return stream

    lab.link.stdio = freezing  # type: ignore[method-assign]
    began = lab.clock.run()
    with pytest.raises(Transient) as stalled:
        lab.look(seconds=3.0)
    assert 1.5 < lab.clock.run() - began < 3.5
    assert stalled.value.cause is Cause.REMOTE_WEDGED
    assert lab.look().id == ident


def test_a_login_shell_that_talks_is_no_harm(lab: Lab) -> None:
    ident = lab.run()
    usual = lab.link._shell
    lab.link._shell = lambda argv: [*usual(argv)[:2], f"echo Welcome; {usual(argv)[2]}"]  # type: ignore[method-assign]
    assert lab.look().id == ident


def test_the_socket_is_the_agents_own_and_is_gone_afterwards(lab: Lab) -> None:
    path = Path(lab.engine._url.removeprefix("unix://"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    lab.look()
    lab.engine.close()
    assert not path.exists()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("container-")]


# ---------------------------------------------------------------- what is never asked


def test_no_request_deletes_anything(lab: Lab, tmp_path: Path) -> None:
    """Every request line of every call, as it went to the engine."""
    (tmp_path / "token").write_text("d" * 48)
    lab.wanted = replace(lab.wanted, volumes=("wd-keep:/content",), command=("sh", "-c", TERM))
    lab.look()
    ident = lab.engine.create("a100", lab.wanted, str(tmp_path / "token"), lab.within())
    lab.engine.start(ident, lab.within())
    lab.look()
    lab.engine.log_tail(ident, 5, lab.within())
    lab.dockerd.cli("stop", ident)
    lab.look()
    lab.dockerd.cli("rm", ident)
    lab.look()
    sent = b"".join(bytes(stream.sent) + b"\r\n" for stream in lab.link.streams)
    lines = re.findall(rb"^([A-Z]+) (\S+) HTTP/1\.1\r$", sent, re.M)
    assert {method for method, _ in lines} == {b"GET", b"POST"}
    paths = {
        path.partition(b"?")[0].rpartition(b"/")[2] for method, path in lines if method == b"POST"
    }
    assert paths == {b"create", b"start"}
    dial = re.compile(r"echo [0-9a-f]{32}; exec docker system dial-stdio")
    assert all(argv[:2] == ("sh", "-c") and dial.fullmatch(argv[2]) for argv in lab.link.ran)


def _pretend(folder: Path, script: str) -> None:
    """A ``docker`` program that does this instead."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
