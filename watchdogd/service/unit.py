"""The systemd user unit as text. Pure: what ``service print`` shows and ``service install`` writes."""

from __future__ import annotations

NAME = "watchdogd.service"
DEFAULT_PROGRAM = "%h/.local/bin/watchdogd"
"""Where pipx and the README's own way put it; ``%h`` is the user's home."""

_UNIT = """\
# watchdogd as a user service: `watchdogd service install` writes it to ~/.config/systemd/user and
# starts it. Change it by a drop-in, which survives an update: systemctl --user edit watchdogd

[Unit]
Description=watchdogd, keeper of SSH forwards and the runtimes behind them
# No limit: after five starts in ten seconds systemd would leave it dead until somebody comes. The
# budgets of the remedies are on disk, so even a crash loop repeats none of them.
StartLimitIntervalSec=0

[Service]
# Started once it has its settings, its journal and its ports; not once a tunnel is up, or a laptop
# that is offline at login would have a failed service.
Type=notify
NotifyAccess=main
ExecStart={command} run
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=5
# A bad configuration does not mend itself.
RestartPreventExitStatus=78
# Fed by completed rounds of the decision loop alone. Long enough for a resume on a slow disk.
WatchdogSec=180
TimeoutStartSec=60
TimeoutStopSec=20
# SIGTERM reaches the agent only, which ends its children in order; what is left is killed.
KillMode=mixed
# For what a login shell would know, such as SSH_AUTH_SOCK. The file need not be there.
EnvironmentFile=-%E/watchdogd/env
UMask=0077
MemoryMax=512M
# A client costs two to three threads, a target up to seven and more while it is repaired: enough for
# 200 targets with some clients each.
TasksMax=8192

# What an agent like this never does. Nothing that hides the home folder, /tmp or the SSH agent's
# socket, and nothing that would stop a ProxyCommand or a key helper.
NoNewPrivileges=true
LockPersonality=true
RestrictRealtime=true
RestrictSUIDSGID=true
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""


def unit_text(program: str | None = None, config: str | None = None) -> str:
    """The unit for the program at this absolute path, with ``--config`` if one is named. ``None``:
    the place where an installation for one user puts it."""
    words = [DEFAULT_PROGRAM if program is None else quoted(program)]
    if config is not None:
        words += ["--config", quoted(config).replace("$", "$$")]
    return _UNIT.format(command=" ".join(words))


def quoted(word: str) -> str:
    """One word of ``ExecStart=``: specifiers are meant as they are, and spaces belong to it
    (``systemd.service(5)``, "Command lines"). A ``$`` is left alone in the first word only."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if any(sign.isspace() or sign in "\"'\\;" for sign in word) else text
