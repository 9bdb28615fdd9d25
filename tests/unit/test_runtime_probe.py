"""``runtime_tunnel`` and ``runtime_server``: recorded answers replayed, and what else may happen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_reach import (
    FakeLink,
    FakeLinks,
    FakeTokens,
    Jupyter,
    answered,
    reach_with,
)
from tests.lab.loopback_server import LoopbackServer, answers, head_of
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.http import get
from watchdogd.core.model import Observation
from watchdogd.core.words import Cause, Kind, Outcome, ProbeName, Vantage
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import (
    OWN_ANSWER_HEADER,
    Deadline,
    EngineRefused,
    HttpAnswer,
    HttpEnd,
    ProbeFunction,
    Reach,
)
from watchdogd.probes.runtime import (
    REFUSED_THERE,
    Finding,
    classify,
    runtime_server,
    runtime_tunnel,
)
from watchdogd.settings import Address, Secret

FIXTURES = Path(__file__).parents[1] / "fixtures" / "jupyter"
BOTH = pytest.mark.parametrize("probe", [runtime_tunnel, runtime_server])
GOOD = Secret("MASKED")
WRONG = Secret("WRONG")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def seen(probe: ProbeFunction, reach: Reach) -> Observation:
    (observation,) = probe(reach, Deadline.after(reach.clock, 10), ()).observations
    return observation


# ---------------------------------------------------------------- recorded answers


def recorded(case: str) -> list[dict[str, Any]]:
    """The exchanges of one recording that are whole answers to a GET."""
    exchanges = json.loads((FIXTURES / f"{case}.json").read_text())["exchanges"]
    return [one for one in exchanges if one["kind"] == "http" and one["request"]["method"] == "GET"]


def wire(response: Mapping[str, Any]) -> bytes:
    lines = [f"HTTP/1.1 {response['status']} {response['reason']}"]
    lines += [f"{name}: {value}" for name, value in response["headers"].items()]
    raw: str | None = response.get("raw_after_headers")
    if raw is not None:
        return ("\r\n".join([*lines, "Transfer-Encoding: chunked"]) + "\r\n\r\n" + raw).encode()
    body: bytes = (response["body"] or "").encode()
    if not any(line.lower().startswith("content-length") for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def replayed(cases: list[str], token: Secret | None, *, must_know_token: bool = True) -> Finding:
    """``classify`` against a real socket that answers as these recordings did."""
    known: dict[tuple[str, str], bytes] = {}
    for case in cases:
        for exchange in recorded(case):
            asked, response = exchange["request"], exchange["response"]
            sent = asked["headers"].get("Authorization", "")
            if response is not None and "Host" not in asked["headers"]:
                known.setdefault((asked["path"], sent), wire(response))

    def behave(peer: Any, server: LoopbackServer) -> None:
        lines = head_of(peer).decode().split("\r\n")
        sent = next((line.partition(": ")[2] for line in lines if line.startswith("Auth")), "")
        peer.sendall(known[(lines[0].split()[1], sent)])

    clock = SystemClock()
    with LoopbackServer(behave) as server:
        return classify(
            lambda path, used: get(
                server.address, path, token=used, deadline=Deadline.after(clock, 5)
            ),
            token,
            refused=REFUSED_THERE,
            must_know_token=must_know_token,
        )


class TestRecordedAnswers:
    def test_the_normal_round(self) -> None:
        assert replayed(["status-good-token"], GOOD).outcome is Outcome.OK

    def test_a_wrong_token(self) -> None:
        found = replayed(["status-wrong-token", "no-token"], WRONG)
        assert found.cause is Cause.RUNTIME_AUTH

    def test_a_wrong_token_behind_the_images_proxy(self) -> None:
        assert replayed(["proxy-auth", "no-token"], WRONG).cause is Cause.RUNTIME_AUTH

    def test_no_token_known_where_it_can_be_found(self) -> None:
        assert replayed(["no-token"], None).cause is Cause.RUNTIME_AUTH

    def test_no_token_known_where_nobody_could_find_it(self) -> None:
        assert replayed(["no-token"], None, must_know_token=False).outcome is Outcome.OK

    def test_an_old_notebook_is_a_jupyter_too(self) -> None:
        found = replayed(["notebook6-root-redirect"], None, must_know_token=False)
        assert found.outcome is Outcome.OK

    def test_the_proxy_lives_and_jupyter_does_not(self) -> None:
        assert replayed(["proxy-jupyter-down"], GOOD).cause is Cause.RUNTIME_ERROR

    def test_a_host_header_that_is_not_taken_is_our_bug(self) -> None:
        (refused, _) = recorded("host-header-guard")
        body = refused["response"]["body"].encode()
        found = classify(
            lambda path, token: answered(refused["response"]["status"], body),
            GOOD,
            refused=REFUSED_THERE,
            must_know_token=True,
        )
        assert found.cause is Cause.BUG

    def test_a_page_that_holds_the_token_shows_it_nowhere(self) -> None:
        (page,) = recorded("html-error-leaks-token")
        secret = Secret("c0ffee" * 8)
        leak = wire(page["response"]).replace(b"MASKED", secret.reveal().encode())
        with LoopbackServer(answers(leak)) as server:
            found = classify(
                lambda path, token: get(
                    server.address,
                    path,
                    token=token,
                    deadline=Deadline.after(SystemClock(), 5),
                ),
                secret,
                refused=REFUSED_THERE,
                must_know_token=True,
            )
        assert found.cause is Cause.WRONG_SERVER
        assert secret.reveal() not in repr(found)


# ---------------------------------------------------------------- answers nobody recorded


VERSION_OK = answered(200, b'{"version": "2"}')


def two(status: HttpAnswer, version: HttpAnswer) -> Finding:
    return classify(
        lambda path, token: version if path == "/api" else status,
        GOOD,
        refused=REFUSED_THERE,
        must_know_token=True,
    )


class TestClassify:
    @pytest.mark.parametrize("status", [500, 502, 503])
    def test_one_bad_handler_is_no_dead_runtime(self, status: int) -> None:
        found = two(answered(status), VERSION_OK)
        assert found.outcome is Outcome.OK
        assert str(status) in found.detail

    @pytest.mark.parametrize("status", [500, 502, 503])
    def test_all_paths_bad(self, status: int) -> None:
        assert two(answered(status), answered(status)).cause is Cause.RUNTIME_ERROR

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"null",
            b'"version"',
            b"{}",
            b'{"status": "fine"}',
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"version": ' + b"9" * 5000,
        ],
    )
    def test_a_200_that_is_no_jupyters(self, body: bytes) -> None:
        assert two(answered(200, body), answered(200, body)).cause is Cause.WRONG_SERVER

    def test_what_answers_is_named_safely(self) -> None:
        other = answered(404, b"", server="nginx\x1b]0;owned\x07" + "x" * 500)
        found = two(other, other)
        assert found.cause is Cause.WRONG_SERVER
        assert "nginx" in found.detail
        assert found.detail.isprintable()
        assert len(found.detail) < 100

    @pytest.mark.parametrize("status", [0, 204, 301, 302, 404, 418])
    def test_other_answers_on_both_paths(self, status: int) -> None:
        assert two(answered(status), answered(status)).cause is Cause.WRONG_SERVER

    def test_it_hangs_between_the_two(self) -> None:
        silent = HttpAnswer(end=HttpEnd.SILENT)
        assert two(answered(403), silent).cause is Cause.RUNTIME_HUNG

    def test_authentication_off_is_not_this_probes_alarm(self) -> None:
        found = classify(
            lambda path, token: answered(200, b'{"started": "2026"}'),
            None,
            refused=REFUSED_THERE,
            must_know_token=True,
        )
        assert found.outcome is Outcome.OK


# ---------------------------------------------------------------- the two places


@BOTH
class TestBothPlaces:
    def test_all_well(self, clock: FakeClock, probe: ProbeFunction) -> None:
        assert seen(probe, reach_with(clock)).outcome is Outcome.OK

    @pytest.mark.parametrize(
        ("end", "cause"),
        [(HttpEnd.CLOSED, Cause.RUNTIME_REFUSED), (HttpEnd.SILENT, Cause.RUNTIME_HUNG)],
    )
    def test_no_answer(
        self, clock: FakeClock, probe: ProbeFunction, end: HttpEnd, cause: Cause
    ) -> None:
        jupyter = Jupyter("a" * 48)
        jupyter.override = HttpAnswer(end=end)
        assert seen(probe, reach_with(clock, http=jupyter, server=jupyter)).cause is cause

    def test_without_a_link_nothing_is_asked(self, clock: FakeClock, probe: ProbeFunction) -> None:
        jupyter = Jupyter("a" * 48)
        found = seen(probe, reach_with(clock, links=FakeLinks(), http=jupyter, server=jupyter))
        assert found.outcome is Outcome.UNKNOWN
        assert jupyter.asked == []

    def test_a_token_file_that_cannot_be_read_is_said(
        self, clock: FakeClock, probe: ProbeFunction
    ) -> None:
        class Loose(FakeTokens):
            def current(self) -> Secret | None:
                raise Permanent(Cause.RUNTIME_AUTH, "mode 0644", mend="chmod 600 it")

        found = seen(probe, reach_with(clock, tokens=Loose()))
        assert (found.cause, found.mend) == (Cause.RUNTIME_AUTH, "chmod 600 it")

    def test_the_token_is_in_no_observation(self, clock: FakeClock, probe: ProbeFunction) -> None:
        jupyter = Jupyter("other")
        found = seen(probe, reach_with(clock, http=jupyter, server=jupyter))
        assert found.cause is Cause.RUNTIME_AUTH
        assert "a" * 48 not in repr(found)

    def test_a_session_whose_token_is_unknown_is_asked_without(
        self, clock: FakeClock, probe: ProbeFunction
    ) -> None:
        jupyter = Jupyter("a" * 48)
        reach = reach_with(
            clock, kind=Kind.SESSION, tokens=FakeTokens(), http=jupyter, server=jupyter
        )
        assert seen(probe, reach).outcome is Outcome.OK
        assert [(path, sent) for _, path, sent in jupyter.asked] == [("/api", False)]


class TestThroughTheTunnel:
    def test_who_and_where(self, clock: FakeClock) -> None:
        jupyter = Jupyter("a" * 48)
        found = seen(runtime_tunnel, reach_with(clock, http=jupyter))
        assert (found.probe, found.vantage) == (ProbeName.RUNTIME_TUNNEL, Vantage.TUNNEL)
        assert jupyter.asked == [(Address("127.0.0.1", 9000), "/api/status", True)]

    def test_a_refused_connect_blames_nobody_beyond_our_port(self, clock: FakeClock) -> None:
        jupyter = Jupyter("a" * 48)
        jupyter.override = HttpAnswer(end=HttpEnd.REFUSED)
        assert seen(runtime_tunnel, reach_with(clock, http=jupyter)).outcome is Outcome.UNKNOWN

    def test_a_foreign_listener_is_never_sent_the_token(self, clock: FakeClock) -> None:
        jupyter = Jupyter("a" * 48)
        links = FakeLinks(link=FakeLink(clock), bound=False, holder="nc")
        found = seen(runtime_tunnel, reach_with(clock, links=links, http=jupyter))
        assert found.outcome is Outcome.UNKNOWN
        assert jupyter.asked == []

    @pytest.mark.parametrize(
        ("words", "outcome", "cause", "mend"),
        [
            ("8f", Outcome.UNKNOWN, None, ""),
            ("8f sshd_down", Outcome.UNKNOWN, None, ""),
            ("8f runtime_refused", Outcome.FAIL, Cause.RUNTIME_REFUSED, ""),
            ("8f forward_denied", Outcome.FAIL, Cause.FORWARD_DENIED, "AllowTcpForwarding yes"),
            ("8f forward_stalled", Outcome.FAIL, Cause.FORWARD_STALLED, ""),
        ],
    )
    def test_our_own_forwards_answer_is_not_the_runtimes(
        self, clock: FakeClock, words: str, outcome: Outcome, cause: Cause | None, mend: str
    ) -> None:
        jupyter = Jupyter("a" * 48)
        jupyter.override = HttpAnswer(
            end=HttpEnd.ANSWERED, status=503, headers={OWN_ANSWER_HEADER: words}, ours=True
        )
        found = seen(runtime_tunnel, reach_with(clock, http=jupyter))
        assert (found.outcome, found.cause) == (outcome, cause)
        assert mend in found.mend
        assert bool(mend) == bool(found.mend)

    @pytest.mark.parametrize("what", ["lost", "replaced", "silent", "mute"])
    def test_a_link_that_fails_meanwhile_takes_the_blame_off_the_runtime(
        self, clock: FakeClock, what: str
    ) -> None:
        link = FakeLink(clock)
        links = FakeLinks(link=link)

        def fails(
            address: Address, path: str, *, token: Secret | None, deadline: Deadline
        ) -> HttpAnswer:
            if what == "lost":
                links.link = None
            elif what == "replaced":
                links.number = 2
            elif what == "silent":
                links.silent = True
            else:
                link.last_received = clock.run() - 1
            return HttpAnswer(end=HttpEnd.SILENT)

        found = seen(runtime_tunnel, reach_with(clock, links=links, http=fails))
        assert found.outcome is Outcome.UNKNOWN

    def test_an_answer_counts_whatever_becomes_of_the_link(self, clock: FakeClock) -> None:
        links = FakeLinks(link=FakeLink(clock))
        jupyter = Jupyter("a" * 48)

        def then_lost(
            address: Address, path: str, *, token: Secret | None, deadline: Deadline
        ) -> HttpAnswer:
            links.link = None
            return jupyter(address, path, token=token, deadline=deadline)

        reach = reach_with(clock, links=links, http=then_lost)
        assert seen(runtime_tunnel, reach).outcome is Outcome.OK


class TestOnTheServer:
    def test_who_and_where(self, clock: FakeClock) -> None:
        jupyter = Jupyter("a" * 48)
        found = seen(runtime_server, reach_with(clock, server=jupyter))
        assert (found.probe, found.vantage) == (ProbeName.RUNTIME_SERVER, Vantage.SERVER)
        assert jupyter.asked == [(Address("127.0.0.1", 9000), "/api/status", True)]

    def test_a_closed_port(self, clock: FakeClock) -> None:
        jupyter = Jupyter("a" * 48)
        jupyter.override = HttpAnswer(end=HttpEnd.REFUSED)
        found = seen(runtime_server, reach_with(clock, server=jupyter))
        assert found.cause is Cause.RUNTIME_REFUSED
        assert found.mend == ""  # the agent's own part
        only_shown = reach_with(clock, server=jupyter, kind=Kind.EXTERNAL)
        assert "forward.remote" in seen(runtime_server, only_shown).mend

    @pytest.mark.parametrize(
        "trouble",
        [
            EngineRefused("neither curl nor python3", "apt-get install curl"),
            Transient(Cause.LINK_LOST, "gone"),
            Transient(Cause.REMOTE_WEDGED, "late"),
        ],
    )
    def test_what_cannot_be_asked_is_unknown(self, clock: FakeClock, trouble: Exception) -> None:
        jupyter = Jupyter("a" * 48)
        jupyter.override = trouble
        found = seen(runtime_server, reach_with(clock, server=jupyter))
        assert (found.outcome, found.cause) == (Outcome.UNKNOWN, None)
        assert found.mend == getattr(trouble, "mend", "")
