"""The loader: what it takes, and every class of what it refuses, all at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from watchdogd.core.words import Kind, Mode
from watchdogd.errors import ConfigError, Problem
from watchdogd.loading import as_toml, cautions, config_path, config_secrets, load, state_dir
from watchdogd.settings import (
    Address,
    AgentSettings,
    ContainerSettings,
    RuntimeSettings,
    Secret,
    Settings,
    SshSettings,
    TargetSettings,
)

SHIPPED = Path(__file__).parents[2] / "config" / "watchdogd.toml"
MINIMAL = '[targets.a]\nssh.host = "h"\nruntime.container.image = "i"\n'
Load = Callable[..., Settings]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with a home of its own."""
    return {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def loaded(tmp_path: Path, home: dict[str, str]) -> Load:
    """Load a configuration given as text."""

    def go(text: str) -> Settings:
        file = tmp_path / "config.toml"
        file.write_text(text)
        return load(str(file), home)

    return go


@pytest.fixture
def refused(loaded: Load) -> Callable[[str], tuple[Problem, ...]]:
    """The problems of a configuration that must be refused."""

    def go(text: str) -> tuple[Problem, ...]:
        with pytest.raises(ConfigError) as caught:
            loaded(text)
        return caught.value.problems

    return go


Refuse = Callable[[str], tuple[Problem, ...]]


def with_target(lines: str) -> str:
    """A whole configuration with more lines in its one target's table."""
    return MINIMAL + lines + "\n"


# ---------------------------------------------------------------- what is taken


def test_the_shipped_example_is_the_defaults(home: dict[str, str]) -> None:
    settings = load(str(SHIPPED), home)
    target = TargetSettings(
        name="a100",
        ssh=SshSettings(host="gpu.example.org"),
        runtime=RuntimeSettings(container=ContainerSettings(image="my-colab-runtime-with-jax-gpu")),
    )
    agent = AgentSettings(state_dir=f"{home['XDG_STATE_HOME']}/watchdogd")
    assert settings == Settings(agent=agent, targets={"a100": target}, files=(str(SHIPPED),))
    assert cautions(settings) == ()


def test_the_shipped_example_has_every_key_that_is_built_and_no_other() -> None:
    from watchdogd.loading.keys import AGENT, NOTIFY, TARGET

    text = SHIPPED.read_text()
    for name in {key.rpartition(".")[2] for key in (*AGENT, *NOTIFY, *TARGET)}:
        assert f"\n{name} = " in text or f"\n# {name} = " in text, name


def test_the_least_that_is_needed(loaded: Load) -> None:
    settings = loaded(MINIMAL)
    assert settings.targets["a"].ssh.host == "h"
    assert settings.targets["a"].runtime.kind is Kind.CONTAINER


def test_documented_defaults_of_what_is_not_built_are_taken(loaded: Load) -> None:
    loaded(
        '[agent]\ncanaries = []\n[notify]\nurls_file = ""\nheartbeat_url = ""\n'
        + with_target('runtime.compatibility = "jupyter"\n[targets.a.training]\nprogress_file = ""\n'
                      'checkpoints = ""\nlog_file = ""\nstall_after = "30m"\nresume_command = []')
    )  # fmt: skip


def test_every_key_arrives(loaded: Load, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k")
    token = tmp_path / "token"
    token.touch(mode=0o600)
    settings = loaded(
        f"""
[agent]
listen = "[::1]:0"
allowed_hosts = ["box.local"]
canaries = ["http://192.0.2.1:80/who#it%20is%20I%20", "http://captive.apple.com/hotspot-detect.html"]
state_dir = "~/here"
log_format = "json"
log_level = "debug"
[targets.t]
mode = "observe"
[targets.t.ssh]
host = "abc.com"
port = 8027
user = "as"
identity_file = "{key}"
known_hosts = "~/none/known_hosts"
engine = "sshtunnel"
keepalive = "2s"
[targets.t.forward]
local = "127.0.0.1:9001"
remote = "127.0.0.1:9002"
hold = "20s"
objective = "9s"
[targets.t.runtime]
token_file = "{token}"
[targets.t.runtime.container]
name = "colab"
image = "registry.example.org:5000/me/img:1"
gpus = [0, 1]
volumes = ["colab-content:/content", "/data:/data:ro"]
command = ["--x", "a b"]
shm_size = "1g"
[targets.t.runtime.container.env]
A = "b"
[targets.t.runtime.session]
name = ""
[targets.t.probe]
interval = "3s"
[targets.t.heal]
destructive_per_6h = 0
[targets.t.training]
progress_file = "/content/progress.json"
checkpoints = "/content/my run/*.ckpt"
stall_after = "2h"
"""
    )
    agent, target = settings.agent, settings.targets["t"]
    assert agent.listen == Address("::1", 0)
    assert [str(page) for page in agent.canaries] == [
        "http://192.0.2.1:80/who#it%20is%20I",
        "http://captive.apple.com/hotspot-detect.html#%3CHTML%3E%3CHEAD%3E%3CTITLE%3ESuccess%3C/TITLE%3E"
        "%3C/HEAD%3E%3CBODY%3ESuccess%3C/BODY%3E%3C/HTML%3E",
    ]
    assert agent.canaries[0].body == "it is I"
    assert (agent.state_dir, agent.log_format) == (f"{tmp_path}/here", "json")
    assert target.mode is Mode.OBSERVE
    assert (target.ssh.port, target.ssh.user, target.ssh.keepalive) == (8027, "as", 2.0)
    assert target.ssh.known_hosts == f"{tmp_path}/none/known_hosts"
    container = target.runtime.container
    assert container is not None
    # Not written: the published port follows the forward.
    assert str(container.publish) == "127.0.0.1:9002:8080"
    assert container.gpus == ("0", "1")
    assert container.env == {"A": "b"}
    assert (target.probe.interval, target.probe.timeout) == (3.0, 10.0)
    assert target.heal.destructive_per_6h == 0
    assert target.runtime.session.name == ""
    assert target.training.checkpoints == "/content/my run/*.ckpt"
    assert target.training.log_file == ""
    policy = target.policy()
    assert (policy.watches_training, policy.stall_after, policy.gpus) == (True, 7200.0, True)


def test_defaults_lie_below_every_target_and_merge_deeply(loaded: Load) -> None:
    settings = loaded(
        '[defaults.ssh]\nuser = "me"\nkeepalive = "2s"\n'
        '[defaults.runtime.container]\nimage = "i"\nenv.A = "1"\nenv.B = "1"\n'
        '[targets.a]\nssh.host = "h"\nssh.keepalive = "3s"\nruntime.container.env.B = "2"\n'
        '[targets.b]\nssh.host = "h"\nforward.local = "127.0.0.1:9001"\nruntime.kind = "session"\n'
        'runtime.session.command = "jupyter lab"\n'
    )
    a, b = settings.targets["a"], settings.targets["b"]
    assert (a.ssh.user, a.ssh.keepalive, b.ssh.keepalive) == ("me", 3.0, 2.0)
    assert a.runtime.container is not None
    assert a.runtime.container.env == {"A": "1", "B": "2"}
    assert b.runtime.container is None


def test_conf_d_is_merged_in_name_order(loaded: Load, tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "20.toml").write_text('[agent]\nlog_level = "error"\n')
    (folder / "10.toml").write_text('[agent]\nlog_level = "debug"\n[targets.b]\nssh.host = "h"\n'
                                    'forward.local = "127.0.0.1:9001"\nruntime.kind = "external"\n')  # fmt: skip
    (folder / ".30.toml.swp").write_text("garbage")
    (folder / ".40.toml").write_text("garbage")
    settings = loaded(MINIMAL)
    assert settings.agent.log_level == "error"
    assert list(settings.targets) == ["a", "b"]
    assert [Path(file).name for file in settings.files] == ["config.toml", "10.toml", "20.toml"]


def test_the_file_is_looked_for_in_order(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    usual = tmp_path / ".config" / "watchdogd" / "config.toml"
    assert config_path(None, environ) == usual
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert config_path(None, environ) == tmp_path / "xdg" / "watchdogd" / "config.toml"
    environ["WATCHDOGD_CONFIG"] = str(tmp_path / "env.toml")
    assert config_path(None, environ) == tmp_path / "env.toml"
    assert config_path("~/flag.toml", environ) == tmp_path / "flag.toml"


def test_what_is_shown_loads_as_the_same(loaded: Load, tmp_path: Path) -> None:
    first = loaded(
        '[agent]\ncanaries = ["http://[::1]:81/#50%25%20\\"on\\""]\n'
        + with_target('runtime.container.env.A = "quote \\" and ü"\nruntime.container.volumes = ["v:/v"]\n'
                    'ssh.keepalive = "1500ms"\nruntime.container.shm_size = "3000b"')
    )  # fmt: skip
    again = loaded(as_toml(first))
    assert again == first


def test_what_is_shown_has_no_secret(loaded: Load) -> None:
    settings = loaded(with_target('runtime.container.env.WANDB_API_KEY = "s3cr3t-canary"'))
    assert "s3cr3t-canary" not in as_toml(settings)
    assert "s3cr3t-canary" in [secret.reveal() for secret in config_secrets(settings)]
    assert config_secrets(loaded(MINIMAL)) == ()
    assert "s3cr3t-canary" not in repr(Secret("s3cr3t-canary"))


def test_promises_that_cannot_be_kept_are_named(loaded: Load) -> None:
    assert cautions(loaded(MINIMAL)) == ()
    late = cautions(loaded(with_target('ssh.keepalive = "11s"')))
    assert len(late) == 1
    assert "15.25s" in late[0]
    assert "targets.a" in late[0]
    assert (
        len(cautions(loaded(with_target('ssh.keepalive = "30s"\nforward.objective = "2m"')))) == 1
    )


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("as@abc.com:8027", 'own: host = "abc.com", user = "as", port = 8027'),
        ("ssh://abc.com:8027", 'own: host = "abc.com", port = 8027'),
        ("as@abc.com", 'own: host = "abc.com", user = "as"'),
        ("a b", "allowed: a host name, an address"),
    ],
)
def test_a_host_with_more_in_it_is_taken_apart(refused: Refuse, host: str, said: str) -> None:
    (problem,) = refused(MINIMAL.replace('"h"', f'"{host}"', 1))
    assert problem.key == "targets.a.ssh.host"
    assert said in str(problem)


@pytest.mark.parametrize("host", ["::1", "[::1]", "fe80::1%eth0", "gpu", "192.0.2.1"])
def test_an_address_is_a_host_as_it_is(loaded: Load, host: str) -> None:
    assert loaded(MINIMAL.replace('"h"', f'"{host}"', 1)).targets["a"].ssh.host == host


def test_a_forward_that_would_reach_itself_is_named(loaded: Load) -> None:
    here = MINIMAL.replace('"h"', '"127.0.0.1"', 1)
    (told,) = cautions(loaded(here))
    assert "the forward would reach itself" in told
    assert cautions(loaded(here + 'forward.local = "127.0.0.1:9001"\n')) == ()


SESSION = (
    '[targets.a]\nssh.host = "h"\nruntime.kind = "session"\nruntime.session.command = "{command}"\n'
)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("jupyter server --port=9000", ""),
        ("jupyter lab --ServerApp.port 9000", ""),
        ("run-my-runtime", ""),
        ("jupyter lab --port=8888", "says port 8888, and the forward leads to 9000"),
        ("exec my-server --port 70", "says port 70"),
        ("jupyter-lab --no-browser", "Jupyter takes 8888"),
        ("jupyter server --port=9000 --ServerApp.token=x", "sets a token"),
    ],
)
def test_a_session_whose_command_does_not_fit_is_warned_of(
    loaded: Load, command: str, said: str
) -> None:
    told = cautions(loaded(SESSION.format(command=command)))
    assert [said in line for line in told] == [True] * bool(said)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('probe.interval = "2s"', "probe.suspect_interval is longer"),
        ("heal.destructive_per_6h = 9", "the lower one counts"),
    ],
)
def test_numbers_that_do_not_fit_each_other_are_warned_of(
    loaded: Load, lines: str, said: str
) -> None:
    (told,) = cautions(loaded(with_target(lines)))
    assert told.startswith("targets.a: ")
    assert said in told


def test_two_targets_that_mean_the_same_are_warned_of(loaded: Load) -> None:
    second = '[targets.b]\nssh.host = "h"\nruntime.container.image = "i"\nforward.local = "127.0.0.1:9001"\n'
    told = cautions(loaded(MINIMAL + second))
    assert told == (
        "targets.b: forward.remote 127.0.0.1:9000 is that of targets.a, on the same server",
        'targets.b: runtime.session.name "colab_session" is that of targets.a, on the same server',
    )
    assert cautions(loaded(MINIMAL + second.replace('"h"', '"other"'))) == ()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("lines", "key", "said"),
    [
        ('ssh.port = "22"', "ssh.port", "1 to 65535"),
        ("ssh.port = 0", "ssh.port", "1 to 65535"),
        ("ssh.port = true", "ssh.port", "1 to 65535"),
        ("ssh.keepalive = 5", "ssh.keepalive", "no unit"),
        ('ssh.keepalive = "0s"', "ssh.keepalive", "more than 0"),
        ('probe.interval = "-1s"', "probe.interval", "duration"),
        ("heal.destructive_per_6h = -1", "heal.destructive_per_6h", "0 to 100"),
        ('ssh.user = "-oX"', "ssh.user", "login name"),
        ('ssh.user = "a b"', "ssh.user", "login name"),
        ('ssh.identity_file = "~/no-such"', "ssh.identity_file", "/no-such; allowed"),
        ('runtime.token_file = "~/no-such"', "runtime.token_file", "not there; allowed"),
        ('probe.interval = "1ms"', "probe.interval", "100ms or more"),
        ('probe.suspect_interval = "99ms"', "probe.suspect_interval", "100ms or more"),
        ('probe.timeout = "50ms"', "probe.timeout", "100ms or more"),
        ('ssh.identity_file = "relative"', "ssh.identity_file", "absolute"),
        ('ssh.identity_file = "/"', "ssh.identity_file", "no regular file"),
        ('ssh.known_hosts = "/"', "ssh.known_hosts", "no regular file"),
        ('ssh.identity_file = "/a\\u0000b"', "ssh.identity_file", "control character"),
        ('ssh.engine = "putty"', "ssh.engine", "sshtunnel"),
        ('mode = "asks"', "mode", "auto"),
        ('mode = "yolo"', "mode", '"observe"'),
        ('runtime.compatibility = "colab"', "runtime.compatibility", "not built yet"),
        ("heal.restart_kernel = true", "heal.restart_kernel", "not built yet"),
        ("heal.replace_container = true", "heal.replace_container", "not built yet"),
        ('training.progress_file = "x"', "training.progress_file", "absolute path"),
        ('training.checkpoints = "c/*"', "training.checkpoints", "absolute path"),
        ('training.stall_after = 5', "training.stall_after", "unit"),
        ('training.resume_command = "x"', "training.resume_command", "a program of this machine"),
        ('training.resume_command = ["no-such-program"]', "training.resume_command", "not there"),
        ('training.resume_command = ["/"]', "training.resume_command", "may not run"),
        ('training.resume_command = ["./x"]', "training.resume_command", "not absolute"),
        ('forward.local = "0.0.0.0:9000"', "forward.local", "loopback"),
        ('forward.local = "9000"', "forward.local", "loopback"),
        ('forward.local = "127.0.0.1:9788"', "forward.local", "agent.listen"),
        ('forward.remote = "abc:9000"', "forward.remote", "as seen on the server"),
        ('runtime.container.publish = "9000:8080"', "runtime.container.publish", "every interface"),
        ('runtime.container.publish = "0.0.0.0:9000:8080"', "runtime.container.publish", "other machines"),
        ('runtime.container.publish = "127.0.0.1:9001:8080"', "runtime.container.publish", "port 9000"),
        ('forward.remote = "127.0.0.1:9001"\nruntime.container.publish = "127.0.0.1:9000:8080"',
         "runtime.container.publish", "port 9001"),
        ('runtime.container.name = "x"', "runtime.container.name", "two or more"),
        ('runtime.container.name = "-rm"', "runtime.container.name", "two or more"),
        ('runtime.container.shm_size = 8', "runtime.container.shm_size", "no unit"),
        ('runtime.container.volumes = ["a"]', "runtime.container.volumes", "source:/destination"),
        ('runtime.container.volumes = "a:/b"', "runtime.container.volumes", "list"),
        ('runtime.container.command = ["a\\nb"]', "runtime.container.command", "control"),
        ('runtime.container.gpus = "some"', "runtime.container.gpus", "device ids"),
        ('runtime.container.env.A = 5', "runtime.container.env.A", "text"),
        ('runtime.container.env."A B" = "5"', 'runtime.container.env."A B"', "name of a variable"),
        ('runtime.container.env.JUPYTER_TOKEN = "x"', "runtime.container.env.JUPYTER_TOKEN", "token_file"),
        ('runtime.session.name = "a.b"', "runtime.session.name", "tmux"),
        ('runtime.session.name = "a:b"', "runtime.session.name", "tmux"),
        ('runtime.session.command = "x"', "runtime.session.command", "session"),
        ('runtime.kind = "pod"', "runtime.kind", '"external"'),
        ('ssh.prot = 22', "ssh.prot", "port (the nearest known name)"),
        ('keepalive = "5s"', "keepalive", "ssh.keepalive (that is where"),
        ('trainng.a = 1\ntrainng.b = 2', "trainng", "training"),
        ('ssh.port.x = 5', "ssh.port", "1 to 65535"),
        ('probe = 5', "probe", "a table"),
        ('"ssh.port" = 5', '"ssh.port"', "unknown"),
    ],
)  # fmt: skip
def test_one_wrong_key_is_one_problem(
    refused: Refuse, tmp_path: Path, lines: str, key: str, said: str
) -> None:
    problems = refused(with_target(lines))
    assert [problem.key for problem in problems] == [f"targets.a.{key}"]
    assert problems[0].file == str(tmp_path / "config.toml")
    assert said in str(problems[0])


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ('[agent]\nlisten = "0.0.0.0:9788"\n', "agent.listen", "allow_remote"),
        ('[agent]\nlisten = "host:9788"\n', "agent.listen", "literal"),
        ('[agent]\ncanaries = ["http://x/"]\n', "agent.canaries", "behind a #"),
        ('[agent]\ncanaries = ["https://x/#ok"]\n', "agent.canaries", "certificate error"),
        ('[agent]\ncanaries = ["ftp://x/#ok"]\n', "agent.canaries", "http://HOST/PATH#BODY"),
        ('[agent]\ncanaries = ["http://x:99999/#ok"]\n', "agent.canaries", "HOST/PATH"),
        ('[agent]\ncanaries = ["http://u@x/#ok"]\n', "agent.canaries", "HOST/PATH"),
        ('[agent]\ncanaries = "http://x/#ok"\n', "agent.canaries", "a list"),
        (f'[agent]\ncanaries = {["http://x/#ok"] * 10}\n', "agent.canaries", "at most 9"),
        (f'[agent]\ncanaries = ["http://x/#{"o" * 1001}"]\n', "agent.canaries", "at most 1000"),
        ('[agent]\nstate_dir = "here"\n', "agent.state_dir", "absolute"),
        ('[agent]\nlog_level = "loud"\n', "agent.log_level", '"info"'),
        ('[agent]\nallow_remote = 1\n', "agent.allow_remote", "true or false"),
        ('[agnt]\nx = 1\n', "agnt", "agent (the nearest"),
        ('[notify]\nurls_file = "/x/y"\n', "notify.urls_file", "mode 0600"),
        ('[notify]\nurls_command = ["/no/such"]\n', "notify.urls_command", "a program of this machine"),
        ('[notify]\nurls_command = "pass"\n', "notify.urls_command", "a list"),
        ('[notify]\nheartbeat_url = "file:///etc/passwd"\n', "notify.heartbeat_url", "https://HOST"),
        ('[notify]\nheartbeat_url = "https://me:pw@x/y"\n', "notify.heartbeat_url", "without a fragment and a login"),
        ('[notify]\nheartbeat_url = "https://x:99999/"\n', "notify.heartbeat_url", "https://HOST"),
        ('[notify]\nheartbeat_url = "https://a..b/"\n', "notify.heartbeat_url", "https://HOST"),
        ('[notify]\nheartbeat_url = 5\n', "notify.heartbeat_url", "no text"),
        ('[notify]\nmail = "me"\n', "notify.mail", "heartbeat_url, urls_command, urls_file"),
        ('[nonsense]\nx = 1\n', "nonsense", "allowed: agent, defaults, notify, targets"),
        ('[targets."Bad Name"]\nssh.host = "h"\n', 'targets."Bad Name"', "a-z"),
        ('[targets.-a]\nssh.host = "h"\n', "targets.-a", "a-z"),
        (f'[targets.{"a" * 33}]\nssh.host = "h"\n', f"targets.{'a' * 33}", "1 to 32"),
        ('[targets.b]\nruntime.kind = "external"\nforward.local = "127.0.0.1:1"', "targets.b.ssh.host", "required"),
        ('[targets.b]\nssh.host = "-oProxyCommand=x"\nruntime.kind = "external"\nforward.local = "127.0.0.1:1"',
         "targets.b.ssh.host", "alias"),
        ('[targets.b]\nssh.host = "h"\nforward.local = "127.0.0.1:1"', "targets.b.runtime.container.image", "required"),
        ('[targets.b]\nssh.host = "h"\nforward.local = "127.0.0.1:1"\nruntime.kind = "session"',
         "targets.b.runtime.session.command", "required"),
        ('[targets.b]\nssh.host = "h"\nforward.local = "127.0.0.1:1"\nruntime.kind = "external"\n'
         'runtime.container.image = "i"', "targets.b.runtime.container.image", "reads no such key"),
        ('[targets.b]\nssh.host = "h"\nruntime.kind = "external"\n', "targets.b.forward.local", "targets.a.forward.local"),
        ('[defaults.ssh]\nkeepalive = 5\n', "defaults.ssh.keepalive", "no unit"),
    ],
)  # fmt: skip
def test_one_wrong_table_is_one_problem(refused: Refuse, text: str, key: str, said: str) -> None:
    problems = refused(MINIMAL + text)
    assert [problem.key for problem in problems] == [key]
    assert said in str(problems[0])


def test_a_badly_named_target_hides_no_other_problem(refused: Refuse) -> None:
    problems = refused(MINIMAL + '[targets."Bad Name"]\nssh.host = "h"\nssh.prot = 22\n')
    assert [problem.key for problem in problems] == [
        'targets."Bad Name"',
        'targets."Bad Name".ssh.prot',
    ]


def test_a_listener_for_others_needs_a_decision(loaded: Load) -> None:
    settings = loaded('[agent]\nlisten = "0.0.0.0:9788"\nallow_remote = true\n' + MINIMAL)
    assert settings.agent.allow_remote


def test_all_problems_come_at_once(refused: Refuse, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "1.toml").write_text("no toml at all")
    (tmp_path / "conf.d" / "2.toml").write_text(
        '[targets.a]\nssh.host = "h"\n[targets.c]\nmode = "asks"\n'
    )
    problems = refused(
        '[agent]\nlog_level = "loud"\n' + with_target('ssh.port = 0\nssh.prot = 1\nmode = "x"')
    )
    where = {(Path(problem.file).name, problem.key) for problem in problems}
    assert where == {
        ("1.toml", ""),
        ("2.toml", "targets.a"),
        ("2.toml", "targets.c.mode"),
        ("2.toml", "targets.c.ssh.host"),
        ("2.toml", "targets.c.runtime.container.image"),
        ("2.toml", "targets.c.forward.local"),
        ("config.toml", "agent.log_level"),
        ("config.toml", "targets.a.ssh.port"),
        ("config.toml", "targets.a.ssh.prot"),
        ("config.toml", "targets.a.mode"),
    }
    assert all(problem.found and problem.allowed for problem in problems)


def test_a_target_defined_twice_names_both_files(refused: Refuse, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "1.toml").write_text(MINIMAL)
    problems = refused(MINIMAL)
    assert len(problems) == 1
    assert "config.toml" in problems[0].found
    assert problems[0].file.endswith("1.toml")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_file_is_private(refused: Refuse, tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text("x")
    file.chmod(mode)
    problems = refused(with_target(f'runtime.token_file = "{file}"'))
    assert [problem.key for problem in problems] == ["targets.a.runtime.token_file"]
    assert "chmod 600" in problems[0].allowed


def test_no_secret_is_echoed(refused: Refuse) -> None:
    token = "c4n4ry" * 8
    problems = refused(
        with_target(
            f'runtime.token = "{token}"\nruntime.token_file = "{token}"\nssh.identity_file = "/{token}"\n'
            f'ssh.user = "{token} x"\nruntime.container.env."A B" = "{token}"\nruntime.kind = "{token}"\n'
            f'runtime.container.env.JUPYTER_TOKEN = "{token}"\nruntime.container.env.A = ["{token}"]\n'
        )
        + f'[notify]\nheartbeat_url = "ftp://hc-ping.com/{token}"\nurls_command = ["{token}"]\n'
    )
    assert len(problems) == 10
    assert token not in str(ConfigError(problems))


# ---------------------------------------------------------------- hostile files


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"\xff\xfe\x00",
        b"a = " + b"[" * 100_000,
        b"a = " + b"9" * 10_000,
        b"a." * 3_000 + b"b = 1",
        b"#" * 2_000_000,
        b"[targets.a]\n[targets.a]\n",
        b"a = 1\na = 2",
        b'a = "\\ud800"',
        b"",
        b"targets = 5",
        b"targets.a = 5",
        b"[targets]",
    ],
)  # fmt: skip
def test_hostile_files_are_refused_in_words(
    tmp_path: Path, home: dict[str, str], data: bytes
) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(str(file), home)
    assert len(caught.value.problems) == 1
    assert len(str(caught.value)) < 1000


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, home: dict[str, str]) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, tmp_path / "missing.toml", Path("/dev/zero")):
        with pytest.raises(ConfigError) as caught:
            load(str(path), home)
        assert caught.value.problems[0].file == str(path)


def test_no_file_anywhere_says_where_it_was_looked_for(home: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, home)
    assert f"{home['HOME']}/.config/watchdogd/config.toml" in str(caught.value)
    assert len(caught.value.problems) == 1


def test_the_state_folder_is_found_in_a_broken_configuration(
    tmp_path: Path, home: dict[str, str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[agent]\nstate_dir = "{tmp_path}/s"\nlog_level = "loud"\n')
    assert state_dir(str(file), home) == f"{tmp_path}/s"
    file.write_text("garbage")
    assert state_dir(str(file), home) == f"{home['XDG_STATE_HOME']}/watchdogd"
