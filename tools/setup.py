"""Set-up for `make demo`, `make test` and `make install`: a virtual environment, and system packages
where it may.

    python3 tools/setup.py demo|test|install

Only Python 3.11 or later is expected. Everything Python goes into ``.venv`` beside this folder. Debian
packages are installed only by root and only where a program is missing; elsewhere the command is named.
The second run does nothing but look: a stamp holds the hash of ``pyproject.toml`` and of this file.
pip and apt-get use the machine's own configuration as it is. Exit codes: 0 ready, 1 not ready (said why).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

OLDEST = (3, 11)
DISTURBING = (
    "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__",
    "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON",
)  # fmt: skip
"""What an active environment or a user's habit would make pip or venv do elsewhere."""

APT_OPTIONS = (
    "-q", "-y", "--no-remove", "--no-install-recommends",
    "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=2",
)  # fmt: skip
"""``--no-remove``: a test run must not replace a Docker or a busybox that somebody chose."""


class NotReady(Exception):
    """The set-up cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class Need:
    """A program, and the Debian packages that bring it, most likely first."""

    program: str
    packages: tuple[str, ...]


DEMO_NEEDS = (Need("ssh", ("openssh-client",)), Need("tmux", ("tmux",)))
TEST_NEEDS = (
    *DEMO_NEEDS,
    Need("sshd", ("openssh-server",)),
    Need("dockerd", ("docker.io",)),
    Need("docker", ("docker.io", "docker-cli")),
    Need("iptables", ("iptables",)),
    Need("debootstrap", ("debootstrap",)),
    Need("busybox", ("busybox-static",)),
    Need("ps", ("procps",)),
    Need("ip", ("iproute2",)),
    Need("curl", ("curl",)),
    Need("fuser", ("psmisc",)),
    Need("vim.tiny", ("vim-tiny",)),
    Need("systemd-analyze", ("systemd",)),
    Need("prometheus", ("prometheus",)),
    Need("promtool", ("prometheus",)),
)
DAEMONS = {
    "openssh-server": ("ssh.service",),
    "prometheus": ("prometheus.service",),
    "docker.io": ("docker.service", "docker.socket", "containerd.service"),
}
"""What these packages would start, now and at each boot; nobody asked for that."""


@dataclass(frozen=True)
class Purpose:
    """What one of the two commands needs."""

    extras: tuple[str, ...]
    """Tried in order; each but the last may fail."""
    needs: tuple[Need, ...]
    loss: str
    """What happens without a program."""


PURPOSES = {
    "demo": Purpose(("[demo]", ""), DEMO_NEEDS, "the demo leaves out what needs them and says so"),
    "test": Purpose(("[dev]",), TEST_NEEDS, "tests that need them are skipped and named"),
}


def _run(argv: Sequence[str], env: Mapping[str, str]) -> int:
    # apt-get tells of each file that it unpacks: worth a look only if it failed
    noisy = argv[0] == "apt-get"
    done = subprocess.run(
        argv,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if noisy else None,
        stderr=subprocess.STDOUT if noisy else None,
        check=False,
    )
    if noisy and done.returncode != 0:
        sys.stderr.buffer.write(done.stdout)
    return done.returncode


def _which(program: str) -> str | None:
    # sbin is not on the PATH of every user, but sshd and dockerd live there
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin"))
    return shutil.which(program, path=path)


@dataclass(frozen=True)
class Machine:
    """What the set-up asks of the machine; tests hand in another one."""

    run: Callable[[Sequence[str], Mapping[str, str]], int] = _run
    which: Callable[[str], str | None] = _which
    root: bool = field(default_factory=lambda: os.geteuid() == 0)
    say: Callable[[str], None] = lambda text: print(f"setup: {text}", flush=True)
    policy: Path = Path("/usr/sbin/policy-rc.d")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def may_install(self) -> bool:
        """True where Debian packages can be installed without asking anybody."""
        return self.root and self.which("apt-get") is not None

    def call(self, *argv: str, **extra: str) -> bool:
        """Run a command in an environment that points nowhere else; True if it exits 0."""
        kept = {name: text for name, text in self.environ.items() if name not in DISTURBING}
        return self.run(argv, {**kept, "PIP_NO_INPUT": "1", **extra}) == 0

    def has_module(self, python: str, module: str) -> bool:
        """True if that interpreter can import the module."""
        code = "import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1]) is None)"
        return self.call(python, "-c", code, module)


# ---------------------------------------------------------------- Debian packages


@contextlib.contextmanager
def no_services(policy: Path) -> Iterator[None]:
    """While this lasts, packages start no service; afterwards the policy is as it was."""
    text = "#!/bin/sh\n# watchdogd's set-up: packages that it installs start no service\nexit 101\n"
    kept = policy.with_name(policy.name + ".before-watchdogd-setup")
    if policy.exists() and policy.read_bytes() != text.encode():
        policy.rename(kept)
    policy.write_text(text)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(policy)


def install_packages(machine: Machine, names: Sequence[str]) -> None:
    """Install what can be; the caller looks what is there then."""
    machine.say(f"installing Debian packages: {' '.join(names)}")
    apt = ("apt-get", "install", *APT_OPTIONS)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with no_services(machine.policy):
        machine.call("apt-get", "update", "-q", **quiet)
        if not machine.call(*apt, *names, **quiet):
            for name in names:  # one that conflicts must not keep the others out
                machine.call(*apt, name, **quiet)
    units = [unit for name in names for unit in DAEMONS.get(name, ())]
    if units and machine.which("systemctl"):
        machine.call("systemctl", "disable", *units)


def missing(machine: Machine, needs: Sequence[Need]) -> tuple[Need, ...]:
    """The needs whose program is not there."""
    return tuple(need for need in needs if machine.which(need.program) is None)


def ensure_programs(machine: Machine, purpose: Purpose) -> None:
    """Install what is missing where that is allowed; else name the command. Never fails."""
    left = missing(machine, purpose.needs)
    if left and machine.may_install():
        for choice in range(max(len(need.packages) for need in left)):
            names = [need.packages[choice] for need in left if choice < len(need.packages)]
            if names:
                install_packages(machine, tuple(dict.fromkeys(names)))
            left = missing(machine, left)
    if left:
        packages = " ".join(dict.fromkeys(need.packages[0] for need in left))
        machine.say(f"not here: {', '.join(need.program for need in left)}; {purpose.loss}")
        machine.say(f"on Debian: sudo apt-get install --no-install-recommends {packages}")


# ---------------------------------------------------------------- the virtual environment


def usable(machine: Machine, venv: Path) -> bool:
    """True if the environment runs, is new enough, has pip, and was made for this very place."""
    python = venv / "bin" / "python"
    made_at = venv / ".made-at"
    if not python.exists() or (made_at.exists() and made_at.read_text() != str(venv)):
        return False
    code = f"import pip, sys; sys.exit(sys.version_info < {OLDEST})"
    return machine.call(str(python), "-c", code)


def create(machine: Machine, python: str, venv: Path) -> None:
    """Make the environment, pip included, in the first way that works here."""
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if not machine.has_module(python, "ensurepip") and machine.may_install():
        install_packages(machine, (package,))
    machine.say(f"creating {venv.name} with {python}")
    shutil.rmtree(venv, ignore_errors=True)
    if not _create(machine, python, venv):
        shutil.rmtree(venv, ignore_errors=True)
        raise NotReady(
            f"{python} cannot make a virtual environment here; this brings what it lacks:"
            f" sudo apt-get install {package}"
        )
    (venv / ".made-at").write_text(str(venv))


def _create(machine: Machine, python: str, venv: Path) -> bool:
    if machine.has_module(python, "ensurepip"):
        return machine.call(python, "-m", "venv", str(venv))
    if machine.has_module(python, "pip") and machine.has_module(python, "venv"):
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = venv / "lib" / version / "site-packages"
        return machine.call(python, "-m", "venv", "--without-pip", str(venv)) and machine.call(
            python, "-m", "pip", "install", "-qq", "--target", str(packages), "pip"
        )
    if machine.has_module(python, "virtualenv"):
        return machine.call(python, "-m", "virtualenv", "-q", str(venv))
    return False


def digest(root: Path) -> str:
    """What a finished set-up is good for."""
    parts = ((root / "pyproject.toml").read_bytes(), (root / "tools" / "setup.py").read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def ensure_environment(machine: Machine, root: Path, name: str, python: str) -> None:
    """The project and what ``name`` needs, installed editable into ``.venv``; raises ``NotReady``."""
    venv = root / ".venv"
    stamp, everything = venv / f".ready-for-{name}", venv / ".ready-for-test"
    wanted = digest(root)
    if not usable(machine, venv):
        create(machine, python, venv)
    # what the tests need includes what the demo needs
    elif any(mark.exists() and mark.read_text() == wanted for mark in (stamp, everything)):
        return
    stamp.unlink(missing_ok=True)
    extras = PURPOSES[name].extras
    for extra in extras:
        machine.say(f"installing the project with its dependencies: .{extra}")
        if _install(machine, root, extra):
            if extra == extras[0]:
                stamp.write_text(wanted)
            return
    raise NotReady(
        "pip could not install what is needed (its own words stand above). It uses its configuration and"
        " environment as they are and needs a package index within reach; then run the same command again."
    )


def _install(machine: Machine, root: Path, extra: str) -> bool:
    pip = (str(root / ".venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
    return machine.call(*pip, "install", "-qq", "--editable", f"{root}{extra}")


# ---------------------------------------------------------------- for one user, to stay


def install_for_user(machine: Machine, root: Path, python: str) -> None:
    """The project in an environment of its own, away from the checkout, and a link to its program in
    ``~/.local/bin``; an update does the same again. Raises ``NotReady``."""
    home = Path(machine.environ.get("HOME") or Path.home())
    venv, link = home / ".local" / "share" / "watchdogd", home / ".local" / "bin" / "watchdogd"
    if link.exists() and not link.is_symlink():
        raise NotReady(f"{link} is there, and is no link of ours; move it away and try again")
    if not usable(machine, venv):
        create(machine, python, venv)
    machine.say(f"installing into {venv}")
    pip = (str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
    shutil.rmtree(root / "build", ignore_errors=True)  # what an older one left would be packed, too
    installed = machine.call(*pip, "install", "-qq", "--upgrade", str(root))
    shutil.rmtree(root / "build", ignore_errors=True)
    if not installed:
        raise NotReady("pip could not install it (its own words stand above)")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(venv / "bin" / "watchdogd")
    machine.say(f"installed: {link}")
    if str(link.parent) not in machine.environ.get("PATH", "").split(os.pathsep):
        machine.say(
            f"{link.parent} is not on the PATH of this shell: log in again, or call it by its path"
        )


def main(argv: Sequence[str]) -> int:
    """Set up for the purpose named on the command line."""
    if len(argv) != 1 or argv[0] not in (*PURPOSES, "install"):
        print(f"usage: setup.py {'|'.join(PURPOSES)}|install", file=sys.stderr)
        return 64
    if sys.version_info < OLDEST:
        print("setup: Python 3.11 or later is needed", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that clean-ups run
    machine = Machine()
    root = Path(__file__).resolve().parent.parent
    python = getattr(sys, "_base_executable", "") or sys.executable
    try:
        if argv[0] == "install":
            install_for_user(machine, root, python)
            return 0
        ensure_environment(machine, root, argv[0], python)
        ensure_programs(machine, PURPOSES[argv[0]])
    except NotReady as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
