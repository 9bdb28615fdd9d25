"""Probe ``host``: what it makes of the script's output."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_reach import RUNNING, FakeLink, FakeLinks, reach_with
from watchdogd.core.model import Observation
from watchdogd.core.sight import (
    ContainerSight,
    HostSight,
    SessionSight,
)
from watchdogd.core.words import Cause, ContainerStatus, Kind, Outcome
from watchdogd.errors import Transient
from watchdogd.ports import Completed, Deadline, Reach, Reading
from watchdogd.probes.host import SCRIPTS, host, is_runtime_server, parse_facts
from watchdogd.scripts import framed, text_of

KERNEL = (
    "/usr/bin/python3 -m ipykernel_launcher -f /root/.local/share/jupyter/runtime/kernel-1.json"
)

FACTS = [
    "boot_id=7ad7927a-27a8-4eb9-a478-0c66da8e36d7",
    "uptime=1847.63",
    "load=3.00",
    "processors=2",
    "disk_free_kb=82587716",
    "inodes=16333043 16777216",
    "disk_free_kb=5000000",
    "ticks=100",
    "engine=2000",
    "btime=1700000000",
    "process=10 1000 250 tini\t--\tjupyter\tlab",
    "process=11 1001 900 /usr/bin/python3\t/usr/local/bin/jupyter-lab\t--allow-root\t",
    "process=12 1002 4200 " + KERNEL.replace(" ", "\t"),
    "processes=3",
]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class TestParse:
    def test_all_of_it(self) -> None:
        found = parse_facts(FACTS, 5.0)
        assert found.read_at == 5.0
        assert found.boot_id == "7ad7927a-27a8-4eb9-a478-0c66da8e36d7"
        assert found.uptime_seconds == 1847.63
        assert found.load_per_core == 1.5
        assert found.engine_started_at == 1700000020.0
        assert found.disk_free_bytes == 5_000_000 * 1024
        assert found.inodes_free_ratio == pytest.approx(0.9735, abs=0.001)
        assert found.processes is not None
        assert [(one.pid, one.started, one.cpu_seconds) for one in found.processes] == [
            (10, 1000, 2.5),
            (12, 1002, 42.0),
        ]

    @pytest.mark.parametrize(
        ("key", "field"),
        [
            ("boot_id", "boot_id"),
            ("uptime", "uptime_seconds"),
            ("load", "load_per_core"),
            ("processors", "load_per_core"),
            ("disk_free_kb", "disk_free_bytes"),
            ("inodes", "inodes_free_ratio"),
            ("ticks", "processes"),
            ("processes", "processes"),
        ],
    )
    def test_a_line_that_is_missing_or_garbled_is_only_that_fact_unknown(
        self, key: str, field: str
    ) -> None:
        whole = parse_facts(FACTS, 5.0)
        others = [line for line in FACTS if not line.startswith(f"{key}=")]
        garbled = [] if key == "processes" else [[*others, f"{key}=$(reboot)\x1b[2J"]]
        untouched = {"boot_id", "uptime_seconds", "disk_free_bytes", "processes"} - {field}
        for lines in (others, *garbled):
            found = parse_facts(lines, 5.0)
            assert getattr(found, field) is None
            assert all(getattr(found, name) == getattr(whole, name) for name in untouched)

    @pytest.mark.parametrize(
        "line",
        [
            "process=",
            "process=x y z python",
            "process=-1 2 3 a",
            "process=1 2 a",
            "process=99999999999999999999 1 1 a",
        ],
    )
    def test_one_process_that_is_not_understood_makes_the_list_unknown(self, line: str) -> None:
        assert parse_facts([*FACTS, line], 5.0).processes is None

    def test_two_boot_ids_are_none(self) -> None:
        assert parse_facts([*FACTS, "boot_id=0000-1111-2222"], 5.0).boot_id is None

    def test_a_file_system_without_inodes_is_not_full(self) -> None:
        assert parse_facts(["inodes=0 0"], 5.0).inodes_free_ratio is None

    def test_nothing_at_all(self) -> None:
        assert parse_facts([], 5.0) == HostSight(read_at=5.0)

    def test_only_what_stands_between_the_marks_counts(self) -> None:
        assert framed("motd\nboot_id=x\n\nM\na=1\n\nM\nlogout", "M") == ["a=1", ""]
        assert framed("M\na=1\n", "M") is None
        assert framed("motd", "M") is None
        assert framed("", "M") is None


@pytest.mark.parametrize(
    ("arguments", "server"),
    [
        ("/usr/bin/python3 /usr/local/bin/jupyter-lab --allow-root", True),
        ("/usr/bin/python3 -m jupyter_server", True),
        ("python -X dev -u -mjupyterlab --ip=127.0.0.1", True),
        ("/opt/conda/bin/jupyter-notebook", True),
        ("python3 /opt/bin/jupyter lab", True),
        ("python3 /opt/bin/jupyter", True),
        ("jupyter notebook --no-browser", True),
        ("python -m notebook", True),
        (KERNEL, False),
        ("/usr/bin/python3 train.py --log /srv/jupyter/log", False),
        ("python3 /opt/bin/jupyter nbconvert --execute a.ipynb", False),
        ("python3 /opt/bin/jupyter-nbconvert --execute a.ipynb", False),
        ("python -c import_jupyter_server jupyter-lab", False),
        ("python - jupyter-lab", False),
        ("python", False),
        ("bash -c jupyter lab", False),
        ("/srv/jupyter-lab/train", False),
        ("jupyter-lab-helper", False),
        ("", False),
    ],
)
def test_only_what_is_surely_the_server_is_not_work(arguments: str, server: bool) -> None:
    assert is_runtime_server(arguments.split(" ")) is server


# ---------------------------------------------------------------- the probe


def seen(reach: Reach, so_far: Sequence[Reading] = ()) -> tuple[Observation, HostSight | None]:
    reading = host(reach, Deadline.after(reach.clock, 10), so_far)
    (observation,) = reading.observations
    return observation, reading.host


def link_that(clock: FakeClock, prints: Callable[[str], list[str]]) -> FakeLinks:
    """Its server prints these lines; the argument is the mark."""

    def answer(argv: Sequence[str], stdin: bytes) -> Completed:
        assert stdin == text_of(*SCRIPTS)
        return Completed(0, "\n".join(["Welcome!", *prints(argv[3])]).encode(), b"")

    return FakeLinks(link=FakeLink(clock, answer))


class TestProbe:
    def test_well(self, clock: FakeClock) -> None:
        links = link_that(clock, lambda mark: ["", mark, *FACTS, "", mark, ""])
        found, sight = seen(reach_with(clock, links=links))
        assert found.outcome is Outcome.OK
        assert sight == parse_facts(FACTS, clock.run())

    @pytest.mark.parametrize(
        ("line", "full"),
        [
            ("disk_free_kb=102399", True),
            ("disk_free_kb=102400", False),
            ("inodes=0 1000", True),
            ("inodes=1 1000", False),
        ],
    )
    def test_a_full_disk(self, clock: FakeClock, line: str, full: bool) -> None:
        links = link_that(clock, lambda mark: [mark, line, mark])
        found, sight = seen(reach_with(clock, links=links))
        assert found.cause is (Cause.DISK_FULL if full else None)
        assert sight is not None

    def test_garbage_is_a_wedged_server(self, clock: FakeClock) -> None:
        links = link_that(clock, lambda mark: ["This account is not available."])
        found, sight = seen(reach_with(clock, links=links))
        assert (found.cause, sight) == (Cause.REMOTE_WEDGED, None)

    @pytest.mark.parametrize(
        ("spoke", "cause", "outcome"),
        [
            (True, Cause.REMOTE_WEDGED, Outcome.FAIL),
            (False, Cause.REMOTE_WEDGED, Outcome.UNKNOWN),
            (True, Cause.LINK_LOST, Outcome.UNKNOWN),
        ],
    )
    def test_an_exec_that_hangs_blames_the_server_only_if_the_link_spoke(
        self, clock: FakeClock, spoke: bool, cause: Cause, outcome: Outcome
    ) -> None:
        def hang(argv: Sequence[str], stdin: bytes) -> Completed:
            clock.pass_by(10)
            raise Transient(cause, "late")

        link = FakeLink(clock, hang)
        link.last_received = None if spoke else clock.run() - 1
        found, _ = seen(reach_with(clock, links=FakeLinks(link=link)))
        assert found.outcome is outcome

    def test_without_a_link(self, clock: FakeClock) -> None:
        found, _ = seen(reach_with(clock, links=FakeLinks()))
        assert found.outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize(
        ("kind", "reading", "wanted"),
        [
            (Kind.CONTAINER, Reading(observations=(), container=RUNNING), ("c" * 64, "-")),
            (
                Kind.CONTAINER,
                Reading(
                    observations=(),
                    container=ContainerSight(read_at=0, id="c" * 64, status=ContainerStatus.EXITED),
                ),
                ("-", "-"),
            ),
            (
                Kind.CONTAINER,
                Reading(
                    observations=(),
                    container=ContainerSight(
                        read_at=0, id="$(reboot)", status=ContainerStatus.RUNNING
                    ),
                ),
                ("-", "-"),
            ),
            (
                Kind.SESSION,
                Reading(
                    observations=(),
                    session=SessionSight(read_at=0, generation="42:17", panes=(42, 43)),
                ),
                ("-", "42 43"),
            ),
            (
                Kind.CONTAINER,
                Reading(
                    observations=(),
                    session=SessionSight(read_at=0, generation="42:17", panes=(42,)),
                ),
                ("-", "-"),
            ),
        ],
        ids=["container", "not-running", "hostile-id", "session", "a-view"],
    )
    def test_it_asks_for_the_runtimes_own_processes(
        self, clock: FakeClock, kind: Kind, reading: Reading, wanted: tuple[str, str]
    ) -> None:
        asked: list[Sequence[str]] = []

        def answer(argv: Sequence[str], stdin: bytes) -> Completed:
            asked.append(argv)
            return Completed(0, b"", b"")

        reach = reach_with(clock, kind=kind, links=FakeLinks(link=FakeLink(clock, answer)))
        seen(reach, [reading])
        assert tuple(asked[0][4:]) == wanted
