"""What the set-up tool decides, on machines that are not this one: no package is really installed here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools import setup

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/opt/python/bin/python3"
VENV_PACKAGE = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"


@dataclass
class World:
    """A machine that remembers what it was told to run."""

    root: Path
    modules: set[str] = field(default_factory=lambda: {"ensurepip", "venv", "pip"})
    programs: set[str] = field(default_factory=lambda: {"apt-get"})
    available: dict[str, str] = field(default_factory=dict)
    """Debian package -> program that it brings."""
    pip_fails_for: str = "nothing"
    """pip fails when its command line ends so."""
    lists_known: bool = True
    ran: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    policies: list[bytes] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)

    def run(self, argv: Sequence[str], env: Mapping[str, str]) -> int:
        line = " ".join(argv).replace(str(self.root), "ROOT")
        self.environments.append(env)
        if "find_spec" in line:
            return int(argv[-1] not in self.modules)
        if "import pip, sys" in line:
            return 0
        self.ran.append(line)
        if argv[0] == "apt-get":
            return self.apt(argv)
        if "venv" in argv or "virtualenv" in argv:
            return self.make_venv(argv)
        return int("pip" in argv and line.endswith(self.pip_fails_for))

    def apt(self, argv: Sequence[str]) -> int:
        self.policies.append(self.policy.read_bytes() if self.policy.exists() else b"")
        if argv[1] == "update":
            self.lists_known = True
            return 0
        names = [
            name for name in argv if name[0].isalpha() and "::" not in name and "=" not in name
        ]
        names = [name for name in names if name not in ("apt-get", "install")]
        if not self.lists_known or any(name not in self.available for name in names):
            return 100
        for name in names:
            self.programs.add(self.available[name])
            self.modules.update({"ensurepip", "venv"} if name.endswith("-venv") else ())
        return 0

    def make_venv(self, argv: Sequence[str]) -> int:
        bin_folder = Path(argv[-1]) / "bin"
        bin_folder.mkdir(parents=True)
        (bin_folder / "python").touch()
        return 0

    @property
    def policy(self) -> Path:
        return self.root / "policy-rc.d"

    def machine(
        self, *, root: bool = True, environ: Mapping[str, str] | None = None
    ) -> setup.Machine:
        return setup.Machine(
            run=self.run,
            which=lambda program: program if program in self.programs else None,
            root=root,
            say=self.said.append,
            policy=self.policy,
            environ=environ or {},
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A checkout whose path has a space, on a machine where all goes well."""
    root = tmp_path / "my checkout"
    (root / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copy(ROOT / "tools" / "setup.py", root / "tools")
    return World(root)


def ready(world: World, name: str = "test", *, root: bool = True) -> None:
    setup.ensure_environment(world.machine(root=root), world.root, name, PYTHON)


# ---------------------------------------------------------------- the environment


def test_the_first_run_makes_and_fills_it_and_the_second_does_nothing(world: World) -> None:
    ready(world)
    pip = (
        "ROOT/.venv/bin/python -m pip --disable-pip-version-check install -qq --editable ROOT[dev]"
    )
    assert world.ran == [f"{PYTHON} -m venv ROOT/.venv", pip]
    world.ran.clear()
    ready(world)
    assert world.ran == []


@pytest.mark.parametrize("changed", ["pyproject.toml", "tools/setup.py"])
def test_a_changed_project_is_installed_again_into_the_same_environment(
    world: World, changed: str
) -> None:
    ready(world)
    world.ran.clear()
    with (world.root / changed).open("a") as file:
        file.write("# changed\n")
    ready(world)
    assert len(world.ran) == 1
    assert "--editable" in world.ran[0]


def test_a_moved_checkout_gets_a_new_environment(world: World) -> None:
    ready(world)
    moved = world.root.rename(world.root.with_name("moved"))
    world.root = moved
    world.ran.clear()
    ready(world)
    assert world.ran[0] == f"{PYTHON} -m venv ROOT/.venv"


def test_what_the_tests_need_is_enough_for_the_demo_but_not_the_other_way_round(
    world: World,
) -> None:
    ready(world, "demo")
    world.ran.clear()
    ready(world, "test")
    assert world.ran[-1].endswith("ROOT[dev]")
    (world.root / ".venv" / ".ready-for-demo").unlink()
    world.ran.clear()
    ready(world, "demo")
    assert world.ran == []


def test_a_failed_pip_leaves_no_stamp_and_says_what_to_do(world: World) -> None:
    world.pip_fails_for = ""
    with pytest.raises(setup.NotReady, match="package index within reach"):
        ready(world)
    world.pip_fails_for = "nothing"
    world.ran.clear()
    ready(world)
    assert len(world.ran) == 1


def test_the_demo_does_without_jupyter_but_asks_for_it_again_next_time(world: World) -> None:
    world.pip_fails_for = "[demo]"
    ready(world, "demo")
    assert [line.rpartition("ROOT")[2] for line in world.ran[1:]] == ["[demo]", ""]
    assert not (world.root / ".venv" / ".ready-for-demo").exists()


def test_an_active_environment_is_left_alone(world: World) -> None:
    environ = {
        "VIRTUAL_ENV": "/elsewhere",
        "PIP_TARGET": "/elsewhere",
        "PYTHONPATH": "/x",
        "A": "b",
    }
    setup.ensure_environment(world.machine(environ=environ), world.root, "test", PYTHON)
    for env in world.environments:
        assert env["A"] == "b"
        assert not {"VIRTUAL_ENV", "PIP_TARGET", "PYTHONPATH"} & env.keys()


# ---------------------------------------------------------------- without python3-venv


def test_the_debian_package_is_installed_where_it_may_be(world: World) -> None:
    world.modules = {"venv"}
    world.available = {VENV_PACKAGE: "-"}
    ready(world)
    assert installs(world) == [VENV_PACKAGE]
    assert world.ran[2] == f"{PYTHON} -m venv ROOT/.venv"


def test_pip_of_the_system_is_used_where_nothing_may_be_installed(world: World) -> None:
    world.modules = {"venv", "pip"}
    ready(world, root=False)
    assert world.ran[0] == f"{PYTHON} -m venv --without-pip ROOT/.venv"
    assert "install -qq --target ROOT/.venv/lib/" in world.ran[1]
    assert world.ran[1].endswith("site-packages pip")


def test_virtualenv_is_the_last_way(world: World) -> None:
    world.modules = {"virtualenv"}
    ready(world, root=False)
    assert world.ran[0] == f"{PYTHON} -m virtualenv -q ROOT/.venv"


def test_else_the_exact_command_is_named_and_nothing_is_left(world: World) -> None:
    world.modules = set()
    with pytest.raises(setup.NotReady, match=f"sudo apt-get install {VENV_PACKAGE}$"):
        ready(world, root=False)
    assert world.ran == []
    assert not (world.root / ".venv").exists()


# ---------------------------------------------------------------- Debian packages

NEEDS = (
    setup.Need("tmux", ("tmux",)),
    setup.Need("docker", ("docker.io", "docker-cli")),
    setup.Need("sshd", ("openssh-server",)),
)
PURPOSE = setup.Purpose(("",), NEEDS, "left out")
ALL = {"tmux": "tmux", "docker.io": "docker", "openssh-server": "sshd"}


def installs(world: World) -> list[str]:
    """The packages of each installation, in order."""
    return [line.rpartition("Retries=2 ")[2] for line in world.ran if "apt-get install" in line]


def test_what_is_there_is_not_installed(world: World) -> None:
    world.programs |= {"tmux", "docker", "sshd"}
    setup.ensure_programs(world.machine(), PURPOSE)
    assert (world.ran, world.said) == ([], [])


def test_what_is_missing_is_installed_in_one_go_and_nothing_is_removed_for_it(world: World) -> None:
    world.available = ALL
    world.lists_known = False
    setup.ensure_programs(world.machine(), PURPOSE)
    assert installs(world) == ["tmux docker.io openssh-server"]
    assert "--no-remove" in world.ran[1]
    assert {"tmux", "docker", "sshd"} <= world.programs


def test_one_package_that_cannot_be_had_does_not_keep_the_others_out(world: World) -> None:
    world.available = {name: program for name, program in ALL.items() if name != "docker.io"}
    world.available["docker-cli"] = "docker"  # newer Debian: the client has its own package
    setup.ensure_programs(world.machine(), PURPOSE)
    assert {"tmux", "sshd", "docker"} <= world.programs
    assert installs(world)[-1] == "docker-cli"


def test_without_the_right_the_command_is_named(world: World) -> None:
    setup.ensure_programs(world.machine(root=False), PURPOSE)
    assert world.ran == []
    assert world.said[0] == "not here: tmux, docker, sshd; left out"
    assert world.said[1].endswith(
        "apt-get install --no-install-recommends tmux docker.io openssh-server"
    )


@pytest.mark.parametrize("policy", [None, b"#!/bin/sh\nexit 0\n"], ids=["no policy", "own policy"])
def test_packages_start_no_service_now_or_at_boot(world: World, policy: bytes | None) -> None:
    world.available = ALL
    world.programs.add("systemctl")
    if policy is not None:
        world.policy.write_bytes(policy)
    setup.ensure_programs(world.machine(), PURPOSE)
    assert all(b"exit 101" in seen for seen in world.policies)
    disabled = "docker.service docker.socket containerd.service ssh.service"
    assert world.ran[-1] == f"systemctl disable {disabled}"
    after = world.policy.read_bytes() if world.policy.exists() else None
    assert after == policy


def test_an_interrupted_installation_gives_the_policy_back(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("mine")
    with pytest.raises(KeyboardInterrupt), setup.no_services(policy):
        raise KeyboardInterrupt
    assert policy.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [policy]


# ---------------------------------------------------------------- the Makefile's choice of Python


def choose(folder: Path, scripts: Mapping[str, str]) -> str:
    """Which Python `make` takes when these stand first on PATH."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "-f",
            str(ROOT / "Makefile"),
            "--eval=x:;@echo $(PYTHON)",
            "x",
        ],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


BROKEN = "echo 'shim: command not found' >&2; exit 127"
REAL = f'exec "{sys.executable}" "$@"'


@pytest.mark.parametrize(
    ("scripts", "chosen"),
    [
        ({"python3": REAL}, "python3"),
        ({"python3": BROKEN, "python3.14": BROKEN, "python3.13": REAL}, "python3.13"),
        ({"python3": "exit 1", "python3.14": "exit 1", "python3.13": "exit 1", "python3.12": REAL}, "python3.12"),
    ],
    ids=["the usual one", "shims that do not work are passed over", "too old ones are passed over"],
)  # fmt: skip
def test_the_first_python_that_runs_and_is_new_enough_is_taken(
    tmp_path: Path, scripts: Mapping[str, str], chosen: str
) -> None:
    assert choose(tmp_path / "bin", scripts) == chosen


def test_make_says_so_when_there_is_no_python() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "ready-for-demo", "PYTHON="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "no Python 3.11 or later found" in done.stderr


def test_an_installation_for_one_user_is_linked_and_can_be_repeated(world: World) -> None:
    home = world.root / "home"
    machine = world.machine(environ={"HOME": str(home), "PATH": "/usr/bin"})
    for _ in range(2):
        setup.install_for_user(machine, world.root, PYTHON)
        link = home / ".local" / "bin" / "watchdogd"
        assert link.readlink() == home / ".local" / "share" / "watchdogd" / "bin" / "watchdogd"
    installs = [line for line in world.ran if "pip" in line]
    assert all(line.endswith("install -qq --upgrade ROOT") for line in installs)
    assert len(installs) == 2
    assert len([line for line in world.ran if "-m venv" in line]) == 1
    assert any("is not on the PATH" in line for line in world.said)


def test_a_program_that_is_not_ours_is_not_replaced(world: World) -> None:
    other = world.root / "home" / ".local" / "bin" / "watchdogd"
    other.parent.mkdir(parents=True)
    other.write_text("somebody else's")
    machine = world.machine(environ={"HOME": str(world.root / "home")})
    with pytest.raises(setup.NotReady, match="no link of ours"):
        setup.install_for_user(machine, world.root, PYTHON)
    assert (other.read_text(), world.ran) == ("somebody else's", [])


def test_a_wrong_word_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert setup.main(["tset"]) == 64
    assert "usage:" in capsys.readouterr().err
