"""What is told of a resume: in the log, in the metrics, in ``status``."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from watchdogd.cli.resumed import resumed
from watchdogd.control.status import _resume
from watchdogd.core.commands import (
    Fact,
    HookBegan,
    HookEnded,
    ResumeEnded,
    ResumeHalted,
    ResumeWithheld,
)
from watchdogd.core.events import Woke
from watchdogd.core.hand import needs_hand
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.resume import Hook, Resume, Trial
from watchdogd.core.sight import Generation
from watchdogd.core.words import Refusal, Result
from watchdogd.eventlog.codec import decode, encode
from watchdogd.loading.show import as_toml
from watchdogd.probes import DECLARED_CAUSES
from watchdogd.settings import (
    AgentSettings,
    Settings,
    SshSettings,
    TargetSettings,
    TrainingSettings,
)
from watchdogd.sinks.metrics import MetricsSink
from watchdogd.sinks.recent import RecentFacts
from watchdogd.sinks.sentences import fact_line

ENV = Env(run=100.0, boot=100.0, wall=1.8e9, boot_id="b", chance=0.5)
HOOK = Hook(
    key="k",
    incident="i1",
    repair="i1:0:start_container",
    generation=Generation(container="c", started="t"),
    attempt=3,
    back=1,
    step=1050.0,
    decided=90.0,
    deadline_seconds=60.0,
)
FACTS: tuple[tuple[Fact, str, str], ...] = (
    (HookBegan(hook=HOOK), "info", "(attempt 3, one checkpoint further back)"),
    (HookBegan(hook=replace(HOOK, attempt=1, back=0)), "info", "begins (attempt 1)"),
    (HookEnded(hook=HOOK, result=Result.DONE, seconds=2.0), "info", "ended well after 2.0 s"),
    (HookEnded(hook=HOOK, result=Result.FAILED, seconds=2.0), "warning", "failed after"),
    (HookEnded(hook=HOOK, result=Result.UNKNOWN, seconds=60.0), "warning", "was ended after 60"),
    (HookEnded(hook=HOOK, result=Result.NOTHING, seconds=0.0), "warning", "was not begun"),
    (ResumeEnded(moved=True, step=1060.0), "info", "the training goes on at step 1060"),
    (
        ResumeEnded(moved=False, step=1050.0, failures=2, detail="the command failed"),
        "warning",
        "the resume failed at step 1050, 2 in a row: the command failed",
    ),
    (ResumeHalted(step=None, failures=3), "error", "3 resumes in a row failed; find out why"),
    (
        ResumeWithheld(incident="i1", reason=Refusal.PAUSED, detail="the target is paused"),
        "info",
        "the training is not resumed: the target is paused",
    ),
    (ResumeWithheld(incident="i1", reason=Refusal.HALTED), "warning", "not resumed: halted"),
)


@pytest.mark.parametrize(("fact", "level", "text"), FACTS)
def test_each_fact_is_a_sentence(fact: Fact, level: str, text: str) -> None:
    line = fact_line(fact)
    assert line.level == level
    assert text in line.text


def test_all_of_them_are_plain_values_in_status() -> None:
    recent = RecentFacts()
    recent.told("a", Woke(), [fact for fact, _, _ in FACTS], TargetState(), ENV)
    kept = json.loads(json.dumps(recent.of("a")))
    assert len(kept) == len(FACTS)
    assert kept[0] == {
        "at": kept[0]["at"],
        "kind": "hook_began",
        "incident": "i1",
        "key": "k",
        "attempt": 3,
        "back": 1,
        "step": 1050.0,
    }


def test_runs_and_failures_are_counted_where_a_command_is_configured() -> None:
    policies = {"a": Policy(resumes=True), "b": Policy()}
    sink = MetricsSink(policies, probes=DECLARED_CAUSES, started_wall=1.0, version="1")
    names = ("watchdogd_training_resumes_total", "watchdogd_training_resume_failures_total")

    def counted() -> list[str]:
        text = sink.render("")[0].decode()
        return [line for line in text.splitlines() if line.startswith(names)]

    assert counted() == [f'{name}{{target="a"}} 0.0' for name in names]
    sink.told("a", Woke(), [fact for fact, _, _ in FACTS], TargetState(), ENV)
    assert counted() == [f'{names[0]}{{target="a"}} 3.0', f'{names[1]}{{target="a"}} 1.0']


@pytest.mark.parametrize(
    ("known", "hook", "said"),
    [
        (None, None, ""),
        (Resume(), None, ""),
        (Resume(trial=Trial.MOVED, step=5.0), None, ""),
        (Resume(), HOOK, " so far"),
        (Resume(trial=Trial.OPEN), None, "no progress is seen yet"),
        (Resume(trial=Trial.FAILED, failures=2, step=5.0), None, "failed at step 5 (2 in a row)"),
        (
            Resume(trial=Trial.FAILED, failures=3, step=5.0, halted=True),
            None,
            "3 resumes in a row failed at step 5; find out why, then: watchdogd reset a",
        ),
    ],
)
def test_status_says_what_became_of_it(known: Resume | None, hook: Hook | None, said: str) -> None:
    state = TargetState(resume=known, hook=hook)
    answer: dict[str, Any] = {"name": "a", "resume": _resume(state, 100.0)}
    told = resumed(json.loads(json.dumps(answer)))
    assert told.endswith(said) if said else told == ""
    assert needs_hand(state) is bool(known and known.halted)


def test_a_recording_from_before_resumes_is_read() -> None:
    policy, state = encode(Policy, Policy()), encode(TargetState, TargetState())
    for name in ("resumes", "watches_progress"):
        del policy[name]
    for name in ("hook_until", "hook_not_before"):
        del state[name]
    assert not state.keys() & {"resume", "hook", "hook_mark", "last_step"}
    assert decode(Policy, policy) == Policy()
    assert decode(TargetState, state) == TargetState()


def test_the_configuration_shows_the_command_without_what_is_secret_in_it() -> None:
    training = TrainingSettings(resume_command=("/bin/true", "--token=abcdef"))
    target = TargetSettings(name="a", ssh=SshSettings(host="h"), training=training)
    text = as_toml(Settings(agent=AgentSettings(), targets={"a": target}))
    assert 'resume_command = ["/bin/true", "--token=***"]' in text
    assert target.policy().resumes
    assert not target.policy().watches_progress
