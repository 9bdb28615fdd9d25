"""The configuration changes under a running agent, while a download runs through one of its forwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.asking import fetch
from tests.lab.needs import free_port, programs
from tests.lab.sshd import Sshd, stop_process
from tests.lab.stand_in import TOKEN, StandIn
from tests.lab.waiting import until
from watchdogd.settings import Address

pytestmark = pytest.mark.real


class Lab:
    """One SSH server, one runtime, one agent, and its configuration on disk."""

    def __init__(self, folder: Path, sshd: Sshd, runtime: StandIn) -> None:
        self.folder = folder
        self.sshd = sshd
        self.runtime = runtime
        self.config = folder / "etc" / "config.toml"
        self.ports = {name: free_port() for name in ("steady", "b", "c", "d", "e")}
        self.listen = Address("127.0.0.1", free_port())
        self.token = folder / "token"
        self.token.write_text(TOKEN)
        self.token.chmod(0o600)
        self.log = folder / "log"
        self.config.parent.mkdir()
        self.environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}

    def text(self, *targets: str, extra: str = "") -> str:
        agent = f"""
[agent]
listen = "{self.listen}"
state_dir = "{self.folder}/state"
[defaults.ssh]
host = "127.0.0.1"
port = {self.sshd.port}
identity_file = "{self.sshd.identity_file}"
known_hosts = "{self.sshd.known_hosts}"
[defaults.probe]
interval = "1s"
suspect_interval = "500ms"
timeout = "5s"
"""
        return agent + "".join(self.target(name) for name in targets) + extra

    def target(self, name: str) -> str:
        return f"""
[targets.{name}.forward]
local = "127.0.0.1:{self.ports[name]}"
remote = "{self.runtime.address}"
[targets.{name}.runtime]
kind = "external"
token_file = "{self.token}"
"""

    def status(self) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "watchdogd", "--config", str(self.config), "status", "--json"],
            env=self.environ,
            capture_output=True,
            timeout=20,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def states(self) -> dict[str, str]:
        return {each["name"]: each["state"] for each in self.status()["targets"]}

    def up(self, *names: str) -> None:
        """Exactly these targets are known, and all are up."""
        until(lambda: self.states() == dict.fromkeys(names, "up"), f"up, and no other: {names}")

    def metric(self, series: str) -> float | None:
        _, text = fetch(self.listen, "/metrics")
        lines = (one for one in text.splitlines() if one.startswith(f"watchdogd_{series} "))
        return next((float(line.rpartition(" ")[2]) for line in lines), None)

    def refused(self) -> list[str]:
        problems: list[str] = self.status()["config"]["problems"]
        return problems


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with StandIn() as runtime, Sshd() as sshd:
        yield Lab(tmp_path, sshd, runtime)


@contextmanager
def running(lab: Lab, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """The agent on ``lab``'s configuration, started through ``before``."""
    lab.config.write_text(lab.text("steady", "b"))
    argv = [*before, sys.executable, "-m", "watchdogd", "--config", str(lab.config), "run"]
    with lab.log.open("wb") as log:
        process = subprocess.Popen(argv, env=lab.environ, stdout=log, stderr=log)
    try:
        until(lambda: _asked(lab), "an answer")
        yield process
    finally:
        stop_process(process)
    assert process.returncode == 0
    assert "Traceback" not in lab.log.read_text()


@pytest.fixture
def agent(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    with running(lab) as process:
        yield process


def _asked(lab: Lab) -> bool:
    try:
        return fetch(lab.listen, "/livez")[0] == 200
    except OSError:
        return False


def written(lab: Lab) -> None:
    """In place: another local port for ``b``."""
    old = lab.ports["b"]
    lab.ports["b"] = free_port()
    lab.config.write_text(lab.text("steady", "b"))
    until(lambda: _serves(lab.ports["b"]), "b's new port")
    assert not _serves(old)
    lab.up("steady", "b")


def renamed(lab: Lab) -> None:
    """As most programs save: a new target."""
    new = lab.config.with_suffix(".new")
    new.write_text(lab.text("steady", "b", "c"))
    os.replace(new, lab.config)
    lab.up("steady", "b", "c")
    assert lab.metric('tunnel_dials_total{target="c"}') == 1


def with_vim(lab: Lab) -> None:
    """A swap file, a backup and a rename: the target goes again."""
    programs("vim.tiny")
    vim = ["vim.tiny", "-N", "-u", "NONE", "-i", "NONE", "-es"]
    edit = ["+set backup writebackup", r"+/^\[targets.c.forward\]/,$d", "+wq"]
    subprocess.run([*vim, *edit, str(lab.config)], check=True, timeout=20)
    lab.up("steady", "b")
    assert lab.metric('tunnel_dials_total{target="c"}') is None
    assert not _serves(lab.ports["c"])


def link_swapped(lab: Lab) -> None:
    """As stow, nix and others do: the file is a link that is turned to another version."""
    for number, names in enumerate((("steady", "b"), ("steady", "b", "d"))):
        version = lab.folder / f"version-{number}.toml"
        version.write_text(lab.text(*names))
        link = lab.config.with_suffix(".link")
        link.symlink_to(version)
        os.replace(link, lab.config)
        lab.up(*names)


def part_added(lab: Lab) -> None:
    """A file appears in conf.d, which was not there either, and goes."""
    folder = lab.config.parent / "conf.d"
    folder.mkdir()
    part = folder / "50-e.toml"
    part.write_text(lab.target("e"))
    lab.up("steady", "b", "d", "e")
    part.unlink()
    lab.up("steady", "b", "d")


def ports_swapped(lab: Lab) -> None:
    """Each of two targets takes the local port that the other leaves."""
    lab.ports["b"], lab.ports["d"] = lab.ports["d"], lab.ports["b"]
    lab.config.write_text(lab.text("steady", "b", "d"))
    until(lambda: lab.metric('tunnel_dials_total{target="d"}') == 2, "d is made anew")
    lab.up("steady", "b", "d")
    forwards = {each["name"]: each["forward"]["local"] for each in lab.status()["targets"]}
    assert forwards == {name: f"127.0.0.1:{lab.ports[name]}" for name in forwards}


def broken(lab: Lab) -> None:
    """What is not whole is refused, with every problem, and changes nothing."""
    good = lab.config.read_text()
    lab.config.write_text(lab.text("steady", extra="[targets.b]\nmod = 1\n[agnet]\nx = 1\n"))
    until(lambda: len(lab.refused()) >= 2, "all problems in the status")
    assert any("targets.b.mod" in problem for problem in lab.refused())
    assert lab.metric("config_last_reload_successful") == 0
    assert set(lab.states()) == {"steady", "b", "d"}
    lab.config.write_text(good)
    until(lambda: not lab.refused(), "the problems are gone")
    assert lab.metric("config_last_reload_successful") == 1


def folder_gone_and_back(lab: Lab) -> None:
    text = lab.config.read_text()
    shutil.rmtree(lab.config.parent)
    until(lambda: lab.metric("config_last_reload_successful") == 0, "a refusal")
    lab.config.parent.mkdir()
    lab.config.write_text(text)
    until(lambda: lab.metric("config_last_reload_successful") == 1, "all is well again")
    lab.config.write_text(lab.text("steady", "b"))
    lab.up("steady", "b")


EDITS: tuple[Callable[[Lab], None], ...] = (
    written,
    renamed,
    with_vim,
    link_swapped,
    part_added,
    ports_swapped,
    broken,
    folder_gone_and_back,
)


def _serves(port: int) -> bool:
    try:
        return fetch(Address("127.0.0.1", port), "/api")[0] == 200
    except OSError:
        return False


def test_edits_of_every_kind_while_a_download_runs(
    lab: Lab, agent: subprocess.Popen[bytes]
) -> None:
    lab.up("steady", "b")
    received: list[int] = []
    url = f"http://127.0.0.1:{lab.ports['steady']}/download"

    def download() -> None:
        with urllib.request.urlopen(url, timeout=20) as answer:
            while block := answer.read(4096):
                received.append(len(block))
                end[:] = block[-3:]

    end = bytearray()
    thread = threading.Thread(target=download)
    thread.start()
    try:
        for edit in EDITS:
            before = sum(received)
            edit(lab)
            until(lambda before=before: sum(received) > before, f"bytes after {edit.__name__}")  # type: ignore[misc]
    finally:
        lab.runtime.finished.set()
        thread.join(20)
    assert bytes(end) == b"end"
    assert lab.metric('tunnel_dials_total{target="steady"}') == 1
    log = lab.log.read_text()
    assert "the former one stays in force" in log
    assert TOKEN not in log


def test_sighup_reads_again_and_says_so(lab: Lab, agent: subprocess.Popen[bytes]) -> None:
    lab.up("steady", "b")
    agent.send_signal(signal.SIGHUP)
    log = lab.log
    until(lambda: "nothing that matters here" in log.read_text(), "a word on SIGHUP")
    before = lab.listen
    lab.listen = Address("127.0.0.1", free_port())
    state = lab.folder / "state"
    lab.config.write_text(lab.text("steady", "b"))
    until(lambda: _asked(lab), "the metrics at the new address")
    with pytest.raises(OSError, match="refused"):
        fetch(before, "/livez")
    moved = lab.text("steady", "b").replace(str(state), str(lab.folder / "elsewhere"))
    lab.config.write_text(moved)
    until(lambda: lab.metric("config_last_reload_successful") == 0, "a refusal")
    assert "agent.state_dir" in log.read_text()
    lab.config.write_text(lab.text("steady", "b"))
    until(lambda: lab.metric("config_last_reload_successful") == 1, "all is well again")
    assert lab.metric('tunnel_dials_total{target="b"}') == 1


def test_without_inotify_it_says_so_once_and_sighup_still_works(lab: Lab) -> None:
    programs("unshare")
    none_left = 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"'
    with running(lab, "unshare", "-Ur", "sh", "-c", none_left, "sh") as process:
        lab.up("steady", "b")
        lab.config.write_text(lab.text("steady"))
        process.send_signal(signal.SIGHUP)
        lab.up("steady")
    assert lab.log.read_text().count("no file events") == 1
