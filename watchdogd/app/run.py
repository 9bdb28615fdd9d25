"""``watchdogd run``: the agent until a signal ends it, or for one round."""

from __future__ import annotations

import errno
import logging
import os
import queue
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from importlib.metadata import version
from types import FrameType

from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.instance import AlreadyRunning
from watchdogd.adapters.service_notify import ServiceNotify
from watchdogd.app import folders
from watchdogd.app.agent import Agent
from watchdogd.app.descriptors import raise_limit, warn_if_few
from watchdogd.app.hooks import Hooks
from watchdogd.app.once import FirstRound
from watchdogd.app.reload import Reloaded
from watchdogd.app.results import CheckResult, exit_code
from watchdogd.errors import Transient
from watchdogd.loading import Source, cautions, config_secrets
from watchdogd.loop import INBOX_WAIT
from watchdogd.settings import Secret, Settings
from watchdogd.sinks.log import configure
from watchdogd.sinks.redact import Redactor, Secrets
from watchdogd.sinks.service_status import ServiceStatus

log = logging.getLogger(__name__)

ONCE_SECONDS = 120.0
FINE, BROKEN, TEMPORARY = 0, 70, 75


class End(Enum):
    """Why the wait is over."""

    SIGNAL = "signal"
    DONE = "done"
    LOOP = "loop"
    RELOAD = "reload"


SIGNALS = {
    int(signal.SIGTERM): End.SIGNAL,
    int(signal.SIGINT): End.SIGNAL,
    int(signal.SIGHUP): End.RELOAD,
}
News = queue.SimpleQueue[End]


def run_agent(
    settings: Settings,
    *,
    source: Source | None = None,
    once: bool = False,
    dry_run: bool = False,
    tell: Callable[[Mapping[str, CheckResult]], None] = lambda results: None,
) -> int:
    """Run the agent in the foreground; returns the exit code. ``source``: where ``settings`` were read,
    so that a change there, or SIGHUP, has them taken up anew; not with ``once``. ``tell``: with
    ``once`` it is given what the round found of each target, once the agent has ended; not after a
    signal.

    0 after SIGTERM or SIGINT; with ``once`` the codes of ``check``; 70 if the decision loop broke;
    75 if another agent holds the state folder, or it cannot be used. Raises ``ConfigError`` (78) if
    a host needs what is not built. Call it from the main thread, or no signal will end it.
    """
    news: News = queue.SimpleQueue()
    manager = ServiceNotify(os.environ, SystemClock())
    kinds = {name: target.runtime.kind for name, target in settings.targets.items()}
    first = FirstRound(kinds, lambda: news.put(End.DONE))
    made: list[Agent] = []

    def secrets() -> Iterable[Secret]:
        """A server's text in a detail may carry a token; before the agent is there none is held."""
        return made[0].secrets() if made else config_secrets(settings)

    _log_as(settings, secrets)  # now: what the agent finds while it is made is told as all else is
    redactor = Redactor(secrets)
    voice = ServiceStatus(lambda line: manager.status(redactor.text(line)), settings.targets)
    with _signals(news):  # from the first moment: a signal while it is being made ends it as well
        try:
            agent = Agent(
                settings,
                source=None if once else source,
                dry_run=dry_run,
                harmless_only=once,
                sinks=(voice, first) if once else (voice,),
                hooks=_hooks(news, manager, voice, lambda now: _log_as(now, secrets)),
                idle_seconds=min(INBOX_WAIT, manager.wanted_within() or INBOX_WAIT),
            )
        except (AlreadyRunning, Transient) as error:
            return _refused(str(error))
        except OSError as error:
            return _refused(_unusable(error, str(folders.state_path(settings))))
        made.append(agent)
        log.info(_beginning(settings, once=once, dry_run=dry_run))
        _warn(settings)
        warn_if_few(raise_limit(), len(settings.targets))
        agent.start()
        manager.ready()
        end = _await_end(news, ONCE_SECONDS if once else None, agent.reload)
        manager.stopping()
        hanging = agent.stop()
    if hanging:
        log.warning("ended with jobs that hang: %s", ", ".join(hanging))
    log.info("stopped")
    if end is End.LOOP:
        return BROKEN
    if not once or end is End.SIGNAL:
        return FINE
    tell(first.results())
    return exit_code(first.results())


def _hooks(
    news: News,
    manager: ServiceNotify,
    voice: ServiceStatus,
    log_as: Callable[[Settings], None],
) -> Hooks:
    """The ties between the agent and what manages its process."""

    def taken_up(settings: Settings) -> None:
        log_as(settings)
        _warn(settings)
        warn_if_few(raise_limit(), len(settings.targets))
        voice.keep(settings.targets)

    def reloaded(how: Reloaded) -> None:
        voice.refused(bool(how.problems))
        manager.ready()

    return Hooks(
        ended=lambda: news.put(End.LOOP),
        completed=manager.beat,
        reloading=manager.reloading,
        reloaded=reloaded,
        taken_up=taken_up,
    )


def _beginning(settings: Settings, *, once: bool, dry_run: bool) -> str:
    how = " (one round)" if once else " (observe only)" if dry_run else ""
    return (
        f"watchdogd {version('watchdogd')} starts{how}: targets {', '.join(settings.targets)}; "
        f"configuration {', '.join(settings.files) or 'built in'}; "
        f"metrics on http://{settings.agent.listen}/metrics"
    )


def _warn(settings: Settings) -> None:
    """What `config check` warns of: a service's owner may never have called that."""
    for line in cautions(settings):
        log.warning("%s", line)


def _log_as(settings: Settings, secrets: Secrets) -> None:
    configure(settings.agent.log_format, settings.agent.log_level, secrets)


def _unusable(error: OSError, folder: str) -> str:
    """Why the state folder cannot be used, and what to do about it."""
    why = f"the state folder {folder} cannot be used: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{why}\ntry: free some space, df -h {shlex.quote(folder)}"
    if error.errno in (errno.EROFS, errno.EACCES):
        return f"{why}\ntry: set agent.state_dir to a folder that you may write to"
    return why


def _refused(why: str) -> int:
    sys.stderr.write(f"error: {why}\n")
    return TEMPORARY


def _await_end(news: News, seconds: float | None, reload: Callable[[], None]) -> End:
    while True:
        try:
            end = news.get(timeout=seconds)
        except queue.Empty:
            return End.DONE
        if end is not End.RELOAD:
            return end
        reload()


@contextmanager
def _signals(news: News) -> Iterator[None]:
    """SIGTERM and SIGINT end the wait, SIGHUP is answered; as before afterwards.

    The system may hand a signal to any thread, and then nothing wakes the main one: so the numbers
    go through a socket, and a thread of its own turns each into one event.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receive, send = socket.socketpair()
    send.setblocking(False)
    thread = threading.Thread(target=_translate, args=(receive, news), name="signals", daemon=True)
    thread.start()
    wakeup = signal.set_wakeup_fd(send.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, _nothing) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        send.close()
        thread.join()
        receive.close()


def _nothing(number: int, frame: FrameType | None) -> None:
    """Keeps the signal's default from happening."""


def _translate(numbers: socket.socket, news: News) -> None:
    while received := numbers.recv(1):
        if received[0] in SIGNALS:
            news.put(SIGNALS[received[0]])
