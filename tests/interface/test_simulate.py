"""``watchdogd simulate`` as a user meets it: what it prints, its exit codes, its JSON."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core.recorded import Tape, outages
from watchdogd.cli import run as command_line
from watchdogd.core.commands import Apply, Fact, Wake
from watchdogd.core.model import Policy
from watchdogd.core.words import Mode
from watchdogd.eventlog import Began, Missed, Stepped, decode

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run ``watchdogd simulate`` with these arguments: exit code, stdout, stderr."""
    monkeypatch.delenv("WATCHDOGD_CONFIG", raising=False)

    def go(*args: object) -> tuple[int, str, str]:
        code = command_line(["simulate", *map(str, args)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return go


@pytest.fixture(scope="module")
def tape() -> Tape:
    return outages()


@pytest.fixture
def log(tmp_path: Path, tape: Tape) -> Path:
    file = tmp_path / "events.jsonl"
    file.write_bytes(tape.text())
    return file


@pytest.fixture
def altered(tmp_path: Path, tape: Tape) -> Path:
    """A log in which the first remedy was another decision."""
    lines = list(tape.lines)
    for number, line in enumerate(lines):
        if isinstance(line, Stepped) and any(isinstance(one, Apply) for one in line.did):
            lines[number] = replace(line, did=(Wake(at=1.0),))
            break
    file = tmp_path / "altered.jsonl"
    file.write_bytes(Tape(lines=lines).text())
    return file


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """A configuration with these targets."""

    def make(*names: str, heal: str = "hung_after = '120s'", mode: str = "auto") -> Path:
        file = tmp_path / "other.toml"
        file.write_text(
            "".join(
                f"[targets.{name}]\nmode = '{mode}'\nssh.host = 'h'\nforward.local = '127.0.0.1:{9000 + number}'\n"
                f"runtime.container.image = 'i'\n[targets.{name}.heal]\n{heal}\n"
                for number, name in enumerate(names)
            )
        )
        return file

    return make


# ---------------------------------------------------------------- a replay


def test_the_same_decisions_are_0_with_each_decision_and_its_time(say: Say, log: Path) -> None:
    code, out, err = say(log)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "2023-11-14T22:35:16.200Z a100: incident: container_exited" in lines
    assert "2023-11-14T22:35:16.200Z a100: start_container begins" in lines
    assert any("restart_container is not done yet" in line for line in lines)
    assert any("now up" in line for line in lines)
    assert any("incident over" in line for line in lines)
    assert lines[-1].startswith(f"{log.read_bytes().count(b'Stepped')} events of a100, 2023-11-14T")
    assert lines[-1].endswith(": the same decisions")


def test_a_difference_is_1_and_the_first_is_shown(say: Say, altered: Path) -> None:
    code, out, err = say(altered)
    assert (code, err) == (1, "")
    tail = out[out.index("1 decided differently") :].splitlines()
    assert tail[1].startswith("the first: line ")
    assert tail[1].endswith(", a100, Observed")
    assert tail[2] == '  recorded: {"type": "Wake", "at": 1.0}'
    assert any(line.startswith("  now:      ") and '"Apply"' in line for line in tail)


def test_as_json_all_of_it_has_a_schema(say: Say, log: Path) -> None:
    code, out, err = say(log, "--json")
    answer: dict[str, Any] = json.loads(out)
    assert (code, err) == (0, "")
    assert answer.keys() == {
        "schema", "file", "what_if", "versions", "events", "from", "to", "targets", "notes",
        "same", "different", "first_difference", "decisions",
    }  # fmt: skip
    assert answer["schema"] == "watchdogd.simulate/1"
    assert (answer["file"], answer["targets"], answer["versions"]) == (str(log), ["a100"], ["0.0"])
    assert (answer["what_if"], answer["same"], answer["different"]) == (False, True, 0)
    assert answer["first_difference"] is None
    assert answer["from"] < answer["to"]
    begins = [one for one in answer["decisions"] if one["kind"] == "remedy_intended"]
    assert begins[0].keys() == {"at", "target", "line", "kind", "text", "fact"}
    assert begins[0]["text"] == "start_container begins"
    assert decode(Fact, {"type": "RemedyIntended", **begins[0]["fact"]})


def test_a_difference_as_json(say: Say, altered: Path) -> None:
    code, out, _ = say(altered, "--json")
    answer = json.loads(out)
    assert (code, answer["same"], answer["different"]) == (1, False, 1)
    first = answer["first_difference"]
    assert first.keys() == {"line", "at", "target", "event", "recorded", "now"}
    assert (first["target"], first["event"]) == ("a100", "Observed")
    assert first["recorded"] == [{"type": "Wake", "at": 1.0}]


def test_packed_and_from_standard_input(log: Path, tmp_path: Path, say: Say) -> None:
    packed = tmp_path / "events-000001.jsonl.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    code, out, _ = say(packed)
    assert (code, out) == (0, say(log)[1])
    for text in (log.read_bytes(), packed.read_bytes()):
        done = subprocess.run(
            [sys.executable, "-m", "watchdogd", "simulate", "-"],
            input=text, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout.decode()) == (0, out)


def test_one_target_of_several(say: Say, tmp_path: Path, tape: Tape) -> None:
    others = [
        replace(line, target="h200") if isinstance(line, Began | Stepped) else line
        for line in tape.lines
    ]
    file = tmp_path / "two.jsonl"
    file.write_bytes(Tape(lines=[*tape.lines, *others]).text())
    assert " a100: " in say(file)[1]
    code, out, _ = say(file, "--target", "h200")
    assert code == 0
    assert " a100: " not in out
    assert "events of h200, " in out
    code, out, err = say(file, "--target", "h20")
    assert (code, out) == (4, "")
    assert "did you mean h200" in err


def test_what_is_missing_or_half_there_is_said(say: Say, tmp_path: Path, tape: Tape) -> None:
    file = tmp_path / "torn.jsonl"
    torn = Tape(lines=[tape.lines[0], Missed(steps=12), *tape.lines[1:]]).text()[:-9]
    file.write_bytes(torn)
    code, out, err = say(file)
    assert code == 0
    assert out.endswith(": the same decisions\n")
    assert err.splitlines() == [
        "line 2: 12 events before it were not recorded",
        f"line {len(torn.splitlines())}, the last one, is only half there and was left out",
    ]
    assert len(json.loads(say(file, "--json")[1])["notes"]) == 2


def test_a_log_in_which_nothing_happened_yet(say: Say, tmp_path: Path, tape: Tape) -> None:
    file = tmp_path / "young.jsonl"
    file.write_bytes(Tape(lines=tape.lines[:1]).text())
    assert say(file) == (0, "no event: the same decisions\n", "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", ": it is empty"),
        (b"\x00\xff garbage", ": line 1: no JSON"),
        (b'{"level": "info", "event": "a log"}\n', ": line 1: "),
        (b'{"type":"Opened","schema":"watchdogd.events/2"}\n', "'watchdogd.events/2'; this watchdogd reads"),
        (gzip.compress(b"x" * 999)[:-4], "the compressed file is damaged"),
        (b"\x1f\x8bnot really", "cannot be read: "),
    ],
    ids=["missing", "empty", "garbage", "other log", "newer", "cut", "no archive"],
)  # fmt: skip
def test_what_cannot_be_read_is_78(
    say: Say, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "log"
    if content is not None:
        file.write_bytes(content)
    code, out, err = say(file)
    assert (code, out) == (78, "")
    assert err.startswith(f"error: {file}")
    assert said in err


def test_an_event_of_a_newer_version_is_78_with_its_line(say: Say, log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"event":{"type":"', b'"event":{"type":"New')
    log.write_bytes(b"".join(lines))
    code, _, err = say(log)
    assert code == 78
    assert ": line 6: .event: type 'New" in err
    assert say(log.parent)[0] == 78  # a folder


def test_the_folder_of_the_events_names_the_file_that_is_meant(say: Say, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    code, _, err = say(tmp_path)
    assert code == 78
    assert f"try: watchdogd simulate {tmp_path}/events.jsonl\n" in err


@pytest.mark.parametrize("args", [[], ["a", "b"], ["--target"], ["a", "--nonsense"]])
def test_wrong_usage_is_64(say: Say, args: list[str]) -> None:
    assert say(*args)[0] == 64


# ---------------------------------------------------------------- what if


def test_other_settings_are_shown_beside_the_recorded_ones(
    say: Say, log: Path, config: Callable[..., Path]
) -> None:
    file = config("a100")
    code, out, err = say(log, "--config", file)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"- only as recorded; + only with {file}"
    assert lines[1] == "a100: hung_after 600.0 -> 120.0"
    marked = {line[0]: line for line in lines[2:] if "restart_container begins" in line}
    assert marked.keys() == {"-", "+"}
    assert marked["+"][2:26] < marked["-"][2:26]
    assert any(line.startswith("  ") and "start_container begins" in line for line in lines)
    assert "remedies applied: " in out
    assert "what would have been tried" in out


def test_the_same_settings_make_no_difference(
    say: Say, log: Path, config: Callable[..., Path]
) -> None:
    code, out, _ = say("--config", config("a100", heal=""), log)
    assert code == 0
    assert "a100: the same settings" in out
    assert not [line for line in out.splitlines()[1:] if line[0] in "+-"]
    assert "tried" not in out


def test_what_if_as_json(say: Say, log: Path, config: Callable[..., Path]) -> None:
    code, out, err = say(log, "--json", "--config", config("a100", "b200", heal="", mode="observe"))
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert answer.keys() == {
        "schema", "file", "what_if", "versions", "events", "from", "to", "targets", "notes",
        "config", "settings", "applied", "decisions",
    }  # fmt: skip
    assert (answer["schema"], answer["what_if"]) == ("watchdogd.simulate/1", True)
    assert answer["settings"] == {"a100": {"mode": ["auto", "observe"]}}
    assert answer["applied"]["recorded"]["start_container"] == 1
    assert "start_container" not in answer["applied"]["new"]
    assert {one["under"] for one in answer["decisions"]} == {"both", "recorded", "new"}


def test_targets_that_the_configuration_does_not_know(
    say: Say, log: Path, config: Callable[..., Path]
) -> None:
    code, out, err = say(log, "--config", config("other"))
    assert (code, out) == (4, "")
    assert "none of a100 is a target in" in err


def test_a_bad_configuration_is_78(say: Say, log: Path, tmp_path: Path) -> None:
    assert say(log, "--config", tmp_path / "none.toml")[0] == 78


def test_a_variable_that_names_a_configuration_does_not_ask_what_if(
    say: Say, log: Path, config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOGD_CONFIG", str(config("a100")))
    assert say(log)[1].endswith(": the same decisions\n")


def test_a_log_that_this_version_decides_otherwise_is_noted(
    say: Say, altered: Path, config: Callable[..., Path]
) -> None:
    code, _, err = say(altered, "--config", config("a100"))
    assert code == 0
    assert "decides otherwise than the recording" in err


def test_what_was_observed_in_a_dry_run_shows_what_auto_would_do(
    say: Say, tmp_path: Path, config: Callable[..., Path]
) -> None:
    file = tmp_path / "dry.jsonl"
    file.write_bytes(outages(Policy(mode=Mode.OBSERVE)).text())
    _, out, _ = say(file, "--config", config("a100", heal=""))
    assert "start_container 0 -> " in out
