"""Container images for tests, made here because no registry can be asked.

``busybox_image``: under 1 s. ``jupyter_image``: about a minute when its tar is not in the cache yet
(see ``_build``), about 4 s to import from there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from io import BytesIO
from pathlib import Path

from tests.lab.docker import Dockerd

BUSYBOX = "wd-lab/busybox:1"
JUPYTER = "wd-lab/jupyter:1"
CACHE = Path("~/.cache/watchdogd-lab").expanduser()

APPLETS = (
    "sh",
    "cat",
    "echo",
    "env",
    "httpd",
    "kill",
    "ls",
    "nc",
    "printf",
    "sleep",
    "tail",
    "true",
)
SUITE = "bookworm"
PACKAGES = ("jupyter-server>=2.20,<3", "ipykernel>=6.17,<8")
START = """\
#!/bin/sh
# Listens where the documented `docker run -p 127.0.0.1:9000:8080` expects the runtime.
cd /content || exit 1
export PYTHONPATH=/opt/jupyter HOME=/root JUPYTER_RUNTIME_DIR=/tmp/jupyter
exec /usr/bin/python3 -m jupyter_server --ServerApp.ip=0.0.0.0 --ServerApp.port=8080 \\
  --ServerApp.port_retries=0 --ServerApp.open_browser=False --ServerApp.allow_root=True \\
  --ServerApp.allow_remote_access=True --ServerApp.terminals_enabled=False "$@"
"""
"""Without ``JUPYTER_TOKEN_FILE`` Jupyter makes a random token and prints it in the log."""


def busybox_image(dockerd: Dockerd) -> str:
    """A 1 MB image with a shell and the commands of ``APPLETS``; returns its name."""
    if not dockerd.out("images", "-q", BUSYBOX):
        dockerd.cli("import", "-", BUSYBOX, stdin=_busybox_tar())
    return BUSYBOX


def jupyter_image(dockerd: Dockerd) -> str:
    """Debian with Python and a Jupyter server that listens on port 8080; returns its name.

    Its default command serves ``/content``, with the token from ``JUPYTER_TOKEN_FILE`` where that
    is set; arguments of the start script can be given as the container's command.
    """
    if not dockerd.out("images", "-q", JUPYTER):
        change = 'CMD ["/usr/local/bin/start-runtime"]'
        tar = str(jupyter_tar())
        dockerd.cli("import", "--change", change, tar, JUPYTER, seconds=300)
    return JUPYTER


def jupyter_tar() -> Path:
    """The image's root as a tar in the cache, built if need be; one builder at a time."""
    recipe = "\n".join((SUITE, *PACKAGES, START, _build.__name__, "1"))
    tar = CACHE / f"jupyter-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not tar.exists():
            _build(tar)
    return tar


def _build(tar: Path) -> None:
    """debootstrap, then pip for that Python, then tar. Measured times stand at each step."""
    with _folder(tar.parent) as root:
        mirror = _debian_mirror()
        include = "--include=python3-minimal,python3-venv,ca-certificates"
        _run(["debootstrap", "--variant=minbase", include, SUITE, str(root), mirror])  # 40 s
        _run(_pip(root / "opt/jupyter"))  # 12 s
        start = root / "usr/local/bin/start-runtime"
        start.write_text(START)
        start.chmod(0o755)
        (root / "content").mkdir()
        for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(root / waste, ignore_errors=True)
        part = tar.with_suffix(".part")
        _run(["tar", "-C", str(root), "--one-file-system", "-cf", str(part), "."])  # 1 s
        part.replace(tar)


def _pip(to: Path) -> list[str]:
    """Wheels for Debian's Python 3.11, whatever Python this is."""
    python = ["--python-version", "3.11", "--implementation", "cp", "--only-binary=:all:"]
    return [sys.executable, "-m", "pip", "install", "-q", "--target", str(to), *python, *PACKAGES]


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, check=False, timeout=600)
    if done.returncode != 0:
        words = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {words}")


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """A folder that debootstrap can make device files in, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="root-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for mount in ("proc", "sys"):
            if os.path.ismount(folder / mount):
                subprocess.run(["umount", "-l", str(folder / mount)], check=False, timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


def _debian_mirror() -> str:
    """The mirror that this machine's apt takes Debian from."""
    texts = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in texts:
        if path.is_file():
            for uri in mirrors(path.read_text(errors="replace")):
                return uri
    raise RuntimeError("no Debian mirror in /etc/apt/sources.list*")


def mirrors(text: str) -> Iterator[str]:
    """The URIs of Debian's own archive in an apt source file, of either format."""
    for line in text.splitlines():
        uris = re.match(r"\s*(?:URIs:|deb\s+(?:\[[^]]*\]\s*)?)\s*(\S+)", line)
        if uris and re.search(r"/debian/?$", uris[1]):
            yield uris[1]


def _busybox_tar() -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "tmp", "content"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(info)
        busybox = shutil.which("busybox") or "/bin/busybox"
        tar.add(busybox, "bin/busybox")
        for applet in APPLETS:
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    return buffer.getvalue()
