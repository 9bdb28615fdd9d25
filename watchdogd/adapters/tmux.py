"""tmux on the server, over the link's exec: argv in, formats out, never attached.

Implements ``ports.Sessions``. Names are matched exactly (``=NAME:``), since tmux would otherwise take
``colab`` for ``colab_session``. A tmux server whose socket file was deleted still runs its sessions:
it is asked to make the socket anew (SIGUSR1) before anything is called missing, because a second
tmux server would be started beside it otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from watchdogd.core.sight import SessionSight
from watchdogd.core.words import Cause
from watchdogd.errors import Transient, one_line
from watchdogd.ports import Clock, Completed, Deadline, EngineRefused, Link

INSTALL = "sudo apt-get install tmux"

_FORMAT = "#{pane_pid} #{session_created} #{pane_dead}"
_LINE = re.compile(r"(\d{1,10}) (\d{1,12}) ([01])")
_GONE = ("can't find session", "no server running", "server exited unexpectedly")
_PLACEHOLDER = ("sleep", "60")
_NAME = re.compile(r"[^\s.:=$@%{}\x00-\x1f\x7f-][^\s.:\x00-\x1f\x7f]{0,99}")

# $1 = name of the socket (or a path). Where a tmux server of this user holds a socket that has no file
# any more, tells it to make it anew and waits for that: prints "revived", or "stuck" after 3 s.
_REVIVE = """
case $1 in /*) path=$1 ;; *) path=${TMUX_TMPDIR:-/tmp}/tmux-$(id -u)/$1 ;; esac
[ -S "$path" ] && exit 0
inodes=' ' told=
while read -r _ _ _ _ _ _ inode bound; do
  [ "$bound" = "$path" ] && inodes="$inodes$inode "
done </proc/net/unix
[ "$inodes" = ' ' ] && exit 0
mkdir -p -m 700 "${path%/*}" 2>/dev/null
for process in /proc/[0-9]*; do
  read -r comm <"$process/comm" || continue
  case $comm in tmux*) ;; *) continue ;; esac
  for fd in "$process"/fd/*; do
    inode=$(readlink "$fd") || continue
    inode=${inode#socket:[}
    case $inodes in
      *" ${inode%]} "*) kill -USR1 "${process#/proc/}" && told=yes; break ;;
    esac
  done
done 2>/dev/null
[ -n "$told" ] || exit 0
tries=30
while [ "$tries" -gt 0 ] && ! [ -S "$path" ]; do
  sleep 0.1 2>/dev/null || sleep 1; tries=$((tries - 1))
done
if [ -S "$path" ]; then echo revived; else echo stuck; fi
"""

# $1 = "=NAME", $2 = seconds; the rest = tmux and its socket. Ends the session, waits for what ran in
# its panes, and ends by SIGKILL what ignored the hang-up. A pane's process leads a process group, and
# the runtime is often the child of a shell in it; a zombie is gone, whoever fails to reap it.
_KILL = """
target=$1 seconds=$2; shift 2
alive() {
  for stat in /proc/[0-9]*/stat; do
    read -r line <"$stat" || continue
    set -- ${line##*) }
    case $1 in Z | X) continue ;; esac
    case $groups in *" $3 "*) return 0 ;; esac
  done 2>/dev/null
  return 1
}
groups=' '
for pid in $("$@" list-panes -s -t "$target:" -F '#{pane_pid}' 2>/dev/null); do
  [ "$pid" -gt 1 ] && groups="$groups$pid "
done
"$@" kill-session -t "$target" || exit 1
tries=$((seconds * 10))
while [ "$tries" -gt 0 ] && alive; do sleep 0.1 2>/dev/null || sleep 1; tries=$((tries - 1)); done
alive || exit 0
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
tries=20
while [ "$tries" -gt 0 ] && alive; do sleep 0.1 2>/dev/null || sleep 1; tries=$((tries - 1)); done
! alive
"""


class Tmux:
    """The tmux sessions of the account that the link is logged in as.

    Every method may raise ``Transient`` as ``Link.run``, and ``EngineRefused`` if tmux is missing or
    answers what cannot be understood. ``socket``: another tmux server's name (``-L``) or path (``-S``).
    """

    def __init__(
        self, current: Callable[[], Link], clock: Clock, socket: str | None = None
    ) -> None:
        self._current = current
        self._clock = clock
        self._socket = socket

    def look(self, name: str, deadline: Deadline) -> SessionSight:
        """What runs in the session's panes. ``generation`` is that of its first pane."""
        done = self._run(look_argv(name), deadline)
        if done.status != 0 and _no_socket(done) and self._revive(deadline):
            done = self._run(look_argv(name), deadline)
        read_at = self._clock.run()
        if done.status != 0:
            if _missing(done):
                return SessionSight(read_at=read_at, exists=False, command_running=False)
            raise _refused(done)
        return parse_panes(done.stdout, read_at)

    def open(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        deadline: Deadline,
        *,
        keep: bool = False,
    ) -> None:
        """Make the session. Raises ``Transient(SESSION_MISSING)`` with tmux's words if it cannot."""
        self._revive(deadline)
        # A command may end before its window can be told to stay. So where it must stay, a
        # placeholder goes first, in a call of its own: only a session that this call made is changed.
        self._do(open_argv(name, _PLACEHOLDER if keep else argv, env), name, deadline)
        if keep:
            self._do(keep_argv(name, argv), name, deadline)

    def kill(self, name: str, deadline: Deadline) -> None:
        """End the session and what runs in its panes; what ignores the hang-up is killed.

        Raises ``Transient(SESSION_MISSING)`` if there is none or if its processes outlive SIGKILL.
        """
        seconds = max(1, min(5, int(deadline.remaining() / 3)))
        done = self._current().run(self.kill_argv(name, seconds), deadline=deadline)
        if done.status != 0:
            raise Transient(
                Cause.SESSION_MISSING, f"tmux did not end session {name}: {_words(done)}"
            )

    def kill_argv(self, name: str, seconds: int) -> list[str]:
        """The command that ends a session and all that runs in it; ``seconds`` for going quietly."""
        return ["sh", "-c", _KILL, "sh", _exact(name), str(seconds), *self._tmux()]

    def options(self) -> list[str]:
        """tmux's own options for its socket."""
        return self._tmux()[1:]

    def _tmux(self) -> list[str]:
        if self._socket is None:
            return ["tmux"]
        return ["tmux", "-S" if self._socket.startswith("/") else "-L", self._socket]

    def _do(self, argv: Sequence[str], name: str, deadline: Deadline) -> None:
        done = self._run(argv, deadline)
        if done.status == 127:
            raise _refused(done)
        if done.status != 0:
            raise Transient(
                Cause.SESSION_MISSING, f"tmux did not open session {name}: {_words(done)}"
            )

    def _run(self, argv: Sequence[str], deadline: Deadline) -> Completed:
        return self._current().run([*self._tmux(), *argv], deadline=deadline, limit=65_536)

    def _revive(self, deadline: Deadline) -> bool:
        """True if a server's lost socket is there again. Raises ``EngineRefused`` if it does not come:
        its sessions live on unseen, and a second server must not be started beside it."""
        argv = ["sh", "-c", _REVIVE, "sh", self._socket or "default"]
        done = self._current().run(argv, deadline=deadline, limit=4096)
        if b"stuck" in done.stdout:
            raise EngineRefused(
                "a tmux server runs whose socket was deleted and does not come back"
            )
        return b"revived" in done.stdout


def look_argv(name: str) -> list[str]:
    """tmux's arguments that list the panes of exactly this session."""
    return ["list-panes", "-s", "-t", _pane_of(name), "-F", _FORMAT]


def open_argv(name: str, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """tmux's arguments for a detached session.

    One word in ``argv`` is run by the server's shell, several are executed as they stand.
    """
    _exact(name)
    made = ["new-session", "-d", "-s", name]
    for key, value in env.items():
        made += ["-e", _literal(f"{key}={value}")]
    return [*made, "--", *(_literal(word) for word in argv)]


def keep_argv(name: str, argv: Sequence[str]) -> list[str]:
    """tmux's arguments that put the command in the place of what runs in a session, dead pane kept."""
    pane = _pane_of(name)
    kept = ["set-option", "-w", "-t", pane, "remain-on-exit", "on", ";"]
    return [*kept, "respawn-pane", "-k", "-t", pane, "--", *(_literal(word) for word in argv)]


def parse_panes(printed: bytes, read_at: float) -> SessionSight:
    """The sight from one line a pane. Raises ``EngineRefused`` if a line is something else."""
    lines = printed.decode("ascii", "replace").splitlines()
    panes = [_LINE.fullmatch(line) for line in lines]
    first = panes[0] if panes else None
    if first is None or None in panes:
        raise EngineRefused("tmux answered something else than was asked of it")
    return SessionSight(
        read_at=read_at,
        exists=True,
        generation=f"{first.group(1)}:{first.group(2)}",
        panes=tuple(
            int(pane.group(1)) for pane in panes if pane is not None and pane.group(3) == "0"
        ),
        command_running=any(pane is not None and pane.group(3) == "0" for pane in panes),
    )


def _exact(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise EngineRefused(f"tmux cannot keep a session under the name {name[:40]!r}")
    return f"={name}"


def _pane_of(name: str) -> str:
    """Exact too where tmux looks for a pane or a window: without the colon it tries others as well."""
    return f"{_exact(name)}:"


def _literal(word: str) -> str:
    """tmux takes a ``;`` at the end of an argument for the end of its command."""
    return f"{word[:-1]}\\;" if word.endswith(";") else word


def _missing(done: Completed) -> bool:
    words = _words(done)
    return _no_socket(done) or any(text in words for text in _GONE)


def _no_socket(done: Completed) -> bool:
    words = _words(done)
    return "error connecting to" in words and "No such file or directory" in words


def _refused(done: Completed) -> EngineRefused:
    if done.status == 127:
        return EngineRefused("tmux is not installed on the server", mend=INSTALL)
    return EngineRefused(f"tmux ended with status {done.status}: {_words(done)}")


def _words(done: Completed) -> str:
    return one_line(done.stderr[:400].decode("utf-8", "replace"), 200)
