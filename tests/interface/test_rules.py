"""Prometheus' rules: valid, told by stories, and each part of them needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.needs import programs
from tests.lab.queries import ROOT, rules

CONFIG = ROOT / "config" / "prometheus"
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def promtool(*words: object, cwd: Path = CONFIG) -> subprocess.CompletedProcess[str]:
    programs("promtool")
    return subprocess.run(
        ["promtool", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_configuration_and_the_rules_are_valid_without_a_warning() -> None:
    files = sorted((CONFIG / "rules").glob("*.yaml"))
    for done in (
        promtool("check", "config", "prometheus.yml"),
        promtool("check", "rules", "--lint=all", "--lint-fatal", *files),
    ):
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["stories", "days", "budget"])
def test_the_stories_come_out(name: str) -> None:
    done = promtool("test", "rules", f"tests/{name}.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_story_in_which_it_fires() -> None:
    told = "".join(file.read_text() for file in (CONFIG / "tests").glob("*.yaml"))
    fired = set(re.findall(r"alertname: (\w+)\n        exp_alerts:\n", told))
    assert fired == {name for kind, name, _ in rules() if kind == "alert"}


def test_every_window_has_the_same_definition() -> None:
    found = {
        name.removeprefix("target:watchdogd_unusable:ratio_rate"): expr
        for kind, name, expr in rules()
        if kind == "record" and "unusable" in name
    }
    assert tuple(found) == WINDOWS
    assert len({expr.replace(f"[{window}]", "[w]") for window, expr in found.items()}) == 1


def test_each_alert_names_the_target_and_a_verb_that_tells_more() -> None:
    text = (CONFIG / "rules" / "alerts.yaml").read_text()
    for block in text.split("- alert: ")[1:]:
        assert re.search(r"summary: .+", block)
        assert "watchdogd" in block.partition("description:")[2] or "vector(1)" in block


MUTANTS = {
    "paused-is-an-outage": ("alerts", 'state=~"paused|offline|unknown"', 'state=~"offline|unknown"', "stories"),
    "offline-is-an-outage": ("alerts", 'state=~"paused|offline|unknown"', 'state=~"paused|unknown"', "stories"),
    "unknown-is-an-outage": ("alerts", 'state=~"paused|offline|unknown"', 'state=~"paused|offline"', "stories"),
    "down-at-once": ("alerts", "        for: 5m\n        keep_firing_for: 5m\n", "", "stories"),
    "over-at-once": ("alerts", "        keep_firing_for: 5m\n", "", "stories"),
    "fast-without-5m": ("alerts", " and target:watchdogd_unusable:ratio_rate5m > 0.144", "", "budget"),
    "fast-without-1h": ("alerts", "target:watchdogd_unusable:ratio_rate1h > 0.144 and ", "", "budget"),
    "fast-without-30m": ("alerts", " and target:watchdogd_unusable:ratio_rate30m > 0.06", "", "budget"),
    "fast-without-6h": ("alerts", "target:watchdogd_unusable:ratio_rate6h > 0.06 and ", "", "budget"),
    "slow-without-1d": ("alerts", "target:watchdogd_unusable:ratio_rate1d > 0.03 and ", "", "budget"),
    "slow-without-2h": ("alerts", " and target:watchdogd_unusable:ratio_rate2h > 0.03", "", "budget"),
    "slow-without-3d": ("alerts", "target:watchdogd_unusable:ratio_rate3d > 0.01 and ", "", "budget"),
    "slow-without-6h": ("alerts", " and target:watchdogd_unusable:ratio_rate6h > 0.01", "", "budget"),
    "only-hours": ("alerts", "\n          or\n            target:watchdogd_unusable:ratio_rate6h > 0.06 and target:watchdogd_unusable:ratio_rate30m > 0.06", "", "budget"),
    "only-days": ("alerts", "\n          or\n            target:watchdogd_unusable:ratio_rate3d > 0.01 and target:watchdogd_unusable:ratio_rate6h > 0.01", "", "budget"),
    "healing-is-no-outage": ("sli", '=~"down|healing"', '=~"down"', "stories"),
    "down-counts-only-above": ("sli", '"up|degraded|down|healing"', '"up|degraded|healing"', "stories"),
    "nothing-counted-is-a-figure": ("sli", ") > 0)", "))", "stories"),
    "sleep-counts": ("sli", '"up|degraded|down|healing"', '"up|degraded|down|healing|asleep"', "stories"),
    "sleep-is-unobserved": ("sli", 'state!~"asleep|paused|offline"', 'state!~"paused|offline"', "stories"),
    "offline-is-unobserved": ("sli", 'state!~"asleep|paused|offline"', 'state!~"asleep|paused"', "stories"),
    "a-late-round-is-a-stall": ("alerts", "        for: 2m # after a wake it is true for a moment\n", "", "stories"),
    "silence-is-fine": ("alerts", ' or absent(up{job="watchdogd"})', "", "stories"),
    "any-job-is-the-agent": ("alerts", 'up{job="watchdogd"} == 0', "up == 0", "stories"),
    "ten-reconnects-are-a-storm": ("alerts", "[30m])) > 10", "[30m])) > 9", "stories"),
    "eleven-reconnects-are-none": ("alerts", "[30m])) > 10", "[30m])) > 11", "stories"),
    "a-message-that-fails-is-an-alarm": ("alerts", "failures_total[30m])) > 3", "failures_total[30m])) > 0", "stories"),
    "each-channel-for-itself": ("alerts", "sum without (channel) (increase(watchdogd_notification_failures_total[30m]))", "increase(watchdogd_notification_failures_total[30m])", "stories"),
    "blind-at-once": ("alerts", "        for: 15m\n", "", "stories"),
    "always-blind": ("alerts", '{state="unknown"} == 1', '{state="unknown"}', "stories"),
}  # fmt: skip
"""What is taken away, and the stories that must notice: file, old, new, stories."""


def tried(name: str, folder: Path) -> subprocess.CompletedProcess[str] | str:
    """What the stories say of that mutant; or why it is none."""
    file, old, new, stories = MUTANTS[name]
    shutil.copytree(CONFIG, folder / "prometheus")
    path = folder / "prometheus" / "rules" / f"{file}.yaml"
    sound = path.read_text()
    if old not in sound:
        return f"{name} fits nowhere"
    path.write_text(sound.replace(old, new))
    return promtool("test", "rules", f"tests/{stories}.yaml", cwd=folder / "prometheus")


@pytest.fixture(scope="module")
def results(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, subprocess.CompletedProcess[str] | str]:
    """Of all mutants; as many at once as there are processors."""
    programs("promtool")
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        runs = {
            name: pool.submit(tried, name, tmp_path_factory.mktemp("rules")) for name in MUTANTS
        }
        return {name: run.result() for name, run in runs.items()}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_of_the_rules_is_killed(
    name: str, results: dict[str, subprocess.CompletedProcess[str] | str]
) -> None:
    done = results[name]
    assert not isinstance(done, str), done
    assert done.returncode == 1, f"survived: {name}"
    # a story that failed, no syntax error
    assert re.search(r"exp: ?(?:\[|\{|nil)", done.stdout + done.stderr), done.stdout + done.stderr
