"""What the documents say is what the program does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tools import metrics_page
from watchdogd import cli
from watchdogd.cli import output
from watchdogd.core.budget import LIMITS
from watchdogd.core.model import Policy
from watchdogd.core.words import HARM, Harm, Remedy
from watchdogd.demo.faults import FAULTS
from watchdogd.loading import load
from watchdogd.settings import TargetSettings

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCS]
README = (ROOT / "README.md").read_text()


def quoted(text: str) -> Iterator[str]:
    """What stands in code: lines of blocks, and words between backticks."""
    blocks = re.findall(r"^(?: {4}(.+)|`{3}\w*\n(.*?)`{3})$", text, re.MULTILINE | re.DOTALL)
    for line, block in blocks:
        yield from (line or block).splitlines()
    yield from re.findall(r"`([^`\n]+)`", text)


def commands(text: str) -> Iterator[list[str]]:
    """Each `watchdogd ...` and `make ...` that a reader may type."""
    for line in quoted(text):
        found = re.search(r"(?:^|[ /])(watchdogd|make) +([a-z][^#|]*)", line)
        if found and "=" not in found[2].split()[0]:
            yield shlex.split(f"{found[1]} {found[2]}")


def walk(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that these words name, and the words that are left for it."""
    command: click.Command = cli.group
    while words and isinstance(command, click.Group):
        following = command.get_command(click.Context(command), words[0])
        assert following is not None, f"no such verb: {words[0]}"
        command, words = following, words[1:]
    return command, words


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_a_document_shows_exists(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for words in commands((ROOT / name).read_text()):
        if words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word]
            assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
            continue
        command, rest = walk(words[1:])
        options = {option for param in command.params for option in param.opts}
        unknown = [word for word in rest if word.startswith("--") and word not in options]
        assert not unknown, f"{' '.join(words)}: no such option"


def test_the_search_for_commands_finds_them() -> None:
    found = [" ".join(words) for words in commands(README)]
    assert {"make demo", "make test", "watchdogd config check", "watchdogd url"} <= set(found)


def test_the_readme_shows_every_verb() -> None:
    shown = {words[1] for words in commands(README) if words[0] == "watchdogd"}
    assert shown == set(cli.VERBS)


@pytest.mark.parametrize("name", NAMES)
def test_every_link_to_a_file_leads_to_one(name: str) -> None:
    page = ROOT / name
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_the_readmes_configuration_is_accepted(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    targets: list[TargetSettings] = []
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        targets += load(str(file), {"HOME": str(tmp_path)}).targets.values()
    container, session = targets
    assert container.ssh.port == 8027
    assert f" --port={session.forward.remote.port} " in session.runtime.session.command
    assert "\n" not in session.runtime.session.command


def test_the_readmes_table_is_of_the_faults_that_the_demo_makes() -> None:
    (table,) = re.findall(r"```text\n(fault.*?)```", README, re.DOTALL)
    rows = [line for line in table.splitlines()[1:] if line]
    assert [row.split("  ")[0] for row in rows] == [fault.title for fault in FAULTS.values()]
    assert all(row.endswith("healed") for row in rows)


def test_the_page_of_the_metrics_is_up_to_date() -> None:
    assert metrics_page.PAGE.read_text() == metrics_page.page(), "run tools/metrics_page.py"


def test_the_exit_codes_are_those_of_the_program() -> None:
    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    used = {
        value for name, value in vars(output).items() if name.isupper() and isinstance(value, int)
    }
    assert told == used - {output.WIDTH}


def test_the_confirmation_times_are_those_of_the_core() -> None:
    page = (ROOT / "docs/adr/0005-confirmation-times-follow-the-probe-interval.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) (s|min) \|", page, re.MULTILINE)
    assert len(rows) == 5
    for name, factor, number, unit in rows:
        seconds = int(number) * (60 if unit == "min" else 1)
        assert getattr(Policy(), name) == seconds
        assert getattr(Policy(suspect_interval=1.0), name) == int(factor)


@pytest.mark.parametrize("harm", list(Harm), ids=lambda harm: harm.name.lower())
def test_the_classes_of_the_remedies_are_those_of_the_core(harm: Harm) -> None:
    page = (ROOT / "docs/adr/0003-when-a-container-may-be-restarted.md").read_text()
    row = re.search(rf"^\| {harm.name.lower()} \|([^|]+)\|", page, re.MULTILINE)
    assert row is not None
    named = {Remedy(word) for word in re.findall(r"`(\w+)`", row[1])}
    assert named
    assert all(HARM[remedy] is harm for remedy in named)


def test_the_budgets_are_those_of_the_core() -> None:
    page = (ROOT / "docs/reference/configuration.md").read_text()
    told = {}
    for names, limits in re.findall(r"^\| (`\w+`.*?) \| (\d.*?) \|", page, re.MULTILINE):
        windows = re.findall(r"(\d+) in (an|\d+) hour", limits)
        for name in re.findall(r"`(\w+)`", names):
            told[name] = [(int(most), 3600.0 * int(h.replace("an", "1"))) for most, h in windows]
    assert told == {str(remedy): list(windows) for remedy, windows in LIMITS.items()}


FAULTS_PAGE = ROOT / "docs" / "reference" / "faults.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in FAULTS_PAGE.read_text().splitlines()
    if re.match(r"\| F\d\d ", line)
]


def test_every_fault_that_is_played_is_on_the_page_and_no_other() -> None:
    from tests.worlds.test_faults import FAULTS

    played = {row[0] for row in ROWS if row[2] == "yes"}
    assert played == {*FAULTS, "F61"}  # F61 has a test of its own there
    assert len({row[0] for row in ROWS}) == len(ROWS)


def test_every_test_on_real_parts_that_the_page_names_exists_and_they_are_20_or_more() -> None:
    named = {cell for row in ROWS for cell in re.findall(r"`(tests/[^`]+)`", row[4])}
    for name in named:
        file, _, test = name.partition("::")
        assert f"def {test}(" in (ROOT / file).read_text(), name
    real = {row[0] for row in ROWS if re.search(r"tests/(e2e|integration)/", row[4])}
    assert len(real) >= 20
