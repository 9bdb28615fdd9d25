"""The probes that need no server: what each makes of what it is given."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_reach import FakeLink, FakeLinks, FakeSessions, reach_with
from watchdogd.core.model import Observation
from watchdogd.core.words import Cause, Kind, Layer, Outcome, ProbeName, Vantage
from watchdogd.errors import Transient, one_line
from watchdogd.ports import (
    CanaryFacts,
    Deadline,
    EngineRefused,
    ProbeFunction,
    Reach,
    Reading,
    RouteFacts,
)
from watchdogd.probes import DECLARED_CAUSES, LAPTOP_PROBES, SERVER_PROBES, TUNNEL_PROBES
from watchdogd.probes.agent import agent
from watchdogd.probes.by_hand import by_hand, login
from watchdogd.probes.forward import forward
from watchdogd.probes.network import network
from watchdogd.probes.session import session
from watchdogd.probes.ssh import ssh
from watchdogd.settings import SshSettings, TargetSettings


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def seen(probe: ProbeFunction, reach: Reach) -> Observation:
    (observation,) = read(probe, reach).observations
    return observation


def read(probe: ProbeFunction, reach: Reach) -> Reading:
    return probe(reach, Deadline.after(reach.clock, 10), ())


class TestAgent:
    def test_well(self, clock: FakeClock) -> None:
        found = seen(agent, reach_with(clock))
        assert (found.outcome, found.layer, found.vantage) == (
            Outcome.OK,
            Layer.AGENT,
            Vantage.LAPTOP,
        )

    def test_unwell(self, clock: FakeClock) -> None:
        found = seen(agent, reach_with(clock, health="no descriptors left"))
        assert (found.cause, found.detail) == (Cause.AGENT, "no descriptors left")


class TestNetwork:
    @pytest.mark.parametrize(
        ("facts", "outcome", "cause"),
        [
            (RouteFacts(routed=True, resolved=True), Outcome.OK, None),
            (RouteFacts(routed=True, resolved=None), Outcome.OK, None),
            (RouteFacts(routed=True, resolved=False), Outcome.FAIL, Cause.DNS),
            (RouteFacts(routed=False, resolved=False), Outcome.FAIL, Cause.OFFLINE),
            (RouteFacts(routed=False, resolved=True), Outcome.FAIL, Cause.OFFLINE),
            (RouteFacts(routed=None, resolved=False), Outcome.FAIL, Cause.DNS),
            (RouteFacts(routed=None, resolved=None), Outcome.UNKNOWN, None),
        ],
    )
    def test_facts_to_cause(
        self, clock: FakeClock, facts: RouteFacts, outcome: Outcome, cause: Cause | None
    ) -> None:
        found = seen(network, reach_with(clock, route=facts))
        assert (found.outcome, found.cause) == (outcome, cause)

    def test_the_last_good_address_is_named(self, clock: FakeClock) -> None:
        facts = RouteFacts(routed=True, resolved=False, address="192.0.2.7", error="no such name")
        assert seen(network, reach_with(clock, route=facts)).detail.endswith("192.0.2.7")


class Birds:
    """Canaries that say what they are told to, and remember who asked."""

    def __init__(self, **facts: Any) -> None:
        self.facts = CanaryFacts(asked=1, **facts)
        self.asked: list[float | None] = []

    def __call__(self, deadline: Deadline, *, since: float | None = None) -> CanaryFacts:
        self.asked.append(since)
        return self.facts


PORTAL = {"foreign": "http://x.example/s.txt", "said": "another page"}
NO_LINK = FakeLinks(failure=Cause.HOST_UNREACHABLE)


class TestCanaries:
    def test_a_portal_is_told_with_what_to_do(self, clock: FakeClock) -> None:
        found = seen(network, reach_with(clock, links=NO_LINK, canaries=Birds(**PORTAL)))
        assert found.cause is Cause.CAPTIVE_PORTAL
        assert "http://x.example/s.txt was answered by another page" in found.detail
        assert "open a browser and log in" in found.detail
        assert found.mend.endswith("open http://x.example/s.txt")

    def test_a_portal_may_answer_for_the_resolver_too(self, clock: FakeClock) -> None:
        facts = RouteFacts(routed=True, resolved=False, error="no such name")
        portal = Birds(**PORTAL)
        found = seen(network, reach_with(clock, route=facts, links=NO_LINK, canaries=portal))
        assert found.cause is Cause.CAPTIVE_PORTAL

    def test_a_link_that_speaks_says_more_than_any_page(self, clock: FakeClock) -> None:
        birds = Birds(**PORTAL)
        assert seen(network, reach_with(clock, canaries=birds)).outcome is Outcome.OK
        assert birds.asked == []

    def test_without_a_route_nobody_is_asked(self, clock: FakeClock) -> None:
        birds, facts = Birds(**PORTAL), RouteFacts(routed=False, resolved=None)
        found = seen(network, reach_with(clock, route=facts, links=NO_LINK, canaries=birds))
        assert (found.cause, birds.asked) == (Cause.OFFLINE, [])

    def test_while_the_first_dial_runs_nobody_is_asked(self, clock: FakeClock) -> None:
        birds = Birds(**PORTAL)
        links = FakeLinks(number=None, dialing=True)
        assert seen(network, reach_with(clock, links=links, canaries=birds)).outcome is Outcome.OK
        assert birds.asked == []

    @pytest.mark.parametrize("living", [True, False])
    def test_a_link_that_is_silent_or_ended_is_none(self, clock: FakeClock, living: bool) -> None:
        link = FakeLink(clock)
        link.living = living
        links = FakeLinks(link=link, silent=living)
        found = seen(network, reach_with(clock, links=links, canaries=Birds(**PORTAL)))
        assert found.cause is Cause.CAPTIVE_PORTAL

    def test_a_good_page_is_a_network(self, clock: FakeClock) -> None:
        facts = RouteFacts(routed=None, resolved=None)
        good = Birds(good="http://x.example/s.txt")
        found = seen(network, reach_with(clock, route=facts, links=NO_LINK, canaries=good))
        assert found.outcome is Outcome.OK

    def test_none_that_answers_is_no_verdict(self, clock: FakeClock) -> None:
        found = seen(network, reach_with(clock, links=NO_LINK, canaries=Birds()))
        assert found.outcome is Outcome.UNKNOWN
        assert "canaries" in found.detail

    def test_a_refused_host_key_is_believed_on_a_later_word_only(self, clock: FakeClock) -> None:
        birds = Birds(good="http://x.example/s.txt")
        for failure, since in ((Cause.HOST_KEY, 990.0), (Cause.SSHD_DOWN, None)):
            links = FakeLinks(failure=failure, failed_at=990.0)
            seen(network, reach_with(clock, links=links, canaries=birds))
            assert birds.asked[-1] == since


class TestSsh:
    def test_a_link_that_speaks(self, clock: FakeClock) -> None:
        assert seen(ssh, reach_with(clock)).outcome is Outcome.OK

    def test_a_silent_link(self, clock: FakeClock) -> None:
        link = FakeLink(clock)
        link.last_received = clock.run() - 12
        found = seen(ssh, reach_with(clock, links=FakeLinks(link=link, silent=True)))
        assert found.cause is Cause.LINK_LOST
        assert "12 s" in found.detail

    def test_a_link_that_ended(self, clock: FakeClock) -> None:
        link = FakeLink(clock)
        link.living = False
        found = seen(ssh, reach_with(clock, links=FakeLinks(link=link)))
        assert found.cause is Cause.LINK_LOST

    @pytest.mark.parametrize("dialing", [True, False])
    def test_the_last_dial_names_the_cause(self, clock: FakeClock, dialing: bool) -> None:
        links = FakeLinks(failure=Cause.HOST_KEY, failure_detail="another key", dialing=dialing)
        found = seen(ssh, reach_with(clock, links=links))
        assert (found.outcome, found.cause, found.detail) == (
            Outcome.FAIL,
            Cause.HOST_KEY,
            "another key",
        )

    def test_a_loss_before_the_next_dial_ended(self, clock: FakeClock) -> None:
        found = seen(ssh, reach_with(clock, links=FakeLinks(number=3, dialing=True)))
        assert found.cause is Cause.LINK_LOST

    def test_the_first_dial_is_no_failure(self, clock: FakeClock) -> None:
        links = FakeLinks(number=None, dialing=True)
        assert seen(ssh, reach_with(clock, links=links)).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize(
        ("cause", "said"),
        [
            (Cause.SSHD_REJECTS, "ssh -v -p 8027 as@abc.com true; if that is refused too"),
            (Cause.SSHD_DOWN, "correct targets.a.ssh.port"),
            (Cause.HOST_UNREACHABLE, "correct targets.a.ssh.host"),
            (Cause.DNS, "ssh -G abc.com | grep '^hostname '; if that name is wrong"),
            (Cause.LINK_LOST, ""),
        ],
    )
    def test_where_no_link_comes_about_there_is_something_to_type(
        self, cause: Cause, said: str
    ) -> None:
        target = TargetSettings(name="a", ssh=SshSettings(host="abc.com", port=8027, user="as"))
        told = by_hand(cause, target)
        assert said in told
        assert bool(told) == bool(said)

    def test_it_has_the_key_and_the_known_hosts_of_the_configuration(self) -> None:
        key = "-i '/k/my key' -o IdentitiesOnly=yes"
        for known, told in (("/k/known", "/k/known"), ("/k/my known", '"/k/my known"')):
            ssh = SshSettings(host="abc", identity_file="/k/my key", known_hosts=known)
            option = shlex.quote(f"UserKnownHostsFile={told}")
            assert login(ssh) == f"ssh -v {key} -o {option} abc true"

    def test_it_is_told_unless_the_dial_itself_knew_better(self, clock: FakeClock) -> None:
        links = FakeLinks(failure=Cause.SSHD_REJECTS)
        assert seen(ssh, reach_with(clock, links=links)).mend.startswith("ssh -v ")
        links = FakeLinks(failure=Cause.SSHD_REJECTS, failure_mend="that")
        assert seen(ssh, reach_with(clock, links=links)).mend == "that"

    def test_a_name_that_does_not_resolve_too(self, clock: FakeClock) -> None:
        facts = RouteFacts(routed=True, resolved=False)
        assert seen(network, reach_with(clock, route=facts)).mend.startswith("ssh -G ")


class TestForward:
    def test_ours(self, clock: FakeClock) -> None:
        assert seen(forward, reach_with(clock)).outcome is Outcome.OK

    def test_somebody_elses(self, clock: FakeClock) -> None:
        links = FakeLinks(bound=False, holder="nc (pid 7)")
        found = seen(forward, reach_with(clock, links=links))
        assert found.cause is Cause.PORT_CONFLICT
        assert "nc (pid 7)" in found.detail
        assert "127.0.0.1:9000" in found.detail

    def test_not_bound_yet(self, clock: FakeClock) -> None:
        links = FakeLinks(bound=False)
        assert seen(forward, reach_with(clock, links=links)).outcome is Outcome.UNKNOWN


class TestSession:
    @pytest.mark.parametrize("kind", [Kind.CONTAINER, Kind.SESSION])
    def test_missing(self, clock: FakeClock, kind: Kind) -> None:
        reading = read(session, reach_with(clock, kind=kind, sessions=FakeSessions(clock)))
        (found,) = reading.observations
        assert (found.cause, found.layer) == (Cause.SESSION_MISSING, Layer.CONTAINER)
        assert reading.session is not None
        assert reading.session.exists is False

    @pytest.mark.parametrize(
        ("kind", "outcome"), [(Kind.CONTAINER, Outcome.OK), (Kind.SESSION, Outcome.FAIL)]
    )
    def test_a_command_that_ended_matters_where_it_is_the_runtime(
        self, clock: FakeClock, kind: Kind, outcome: Outcome
    ) -> None:
        sessions = FakeSessions(clock, running={"colab_session": False})
        found = seen(session, reach_with(clock, kind=kind, sessions=sessions))
        assert found.outcome is outcome

    def test_not_installed_is_unknown_and_says_what_mends_it(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, refuses=EngineRefused("no tmux", "apt-get install tmux"))
        found = seen(session, reach_with(clock, sessions=sessions))
        assert (found.outcome, found.mend) == (Outcome.UNKNOWN, "apt-get install tmux")

    def test_a_lost_link_is_unknown(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, refuses=Transient(Cause.LINK_LOST, "gone"))
        assert seen(session, reach_with(clock, sessions=sessions)).outcome is Outcome.UNKNOWN

    def test_no_session_is_no_observation(self, clock: FakeClock) -> None:
        assert read(session, reach_with(clock, kind=Kind.EXTERNAL)).observations == ()


class TestRegistries:
    def test_each_probe_is_known_once_and_declares_causes(self) -> None:
        names = [*LAPTOP_PROBES, *TUNNEL_PROBES, *SERVER_PROBES]
        assert len(names) == len(set(names))
        assert set(names) == set(DECLARED_CAUSES)
        assert set(ProbeName) == set(names)

    def test_the_host_is_read_after_what_it_depends_on(self) -> None:
        order = list(SERVER_PROBES)
        assert order.index(ProbeName.HOST) > order.index(ProbeName.CONTAINER)
        assert order.index(ProbeName.HOST) > order.index(ProbeName.SESSION)


def test_somebody_elses_text_is_one_printable_line() -> None:
    assert one_line("a\x1b[2Jb\r\nc" + "d" * 99, 12) == "a [2Jb  cddd"
