"""What the demo prints: a line for each fault, and the table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watchdogd.core.words import Cause, Remedy
from watchdogd.demo.faults import Fault, FaultName

HEADS = ("fault", "times", "cause found", "remedy", "to detect", "to heal", "")
NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How one fault went. Seconds; ``None`` = it did not come to that."""

    fault: Fault
    cause: Cause | None = None
    remedies: tuple[Remedy, ...] = ()
    detected: float | None = None
    healed: float | None = None
    note: str = ""
    """What else is worth telling; empty if nothing."""
    problems: tuple[str, ...] = ()
    """Why it does not count as healed; empty if it does."""

    @property
    def remedy(self) -> str:
        """The remedies in words; what the world mends by itself is only waited for."""
        if not self.remedies:
            return "wait" if self.fault.passes else NONE
        return " ".join(dict.fromkeys(str(one) for one in self.remedies))


def seconds(value: float | None) -> str:
    """Two digits of use: ``0.04 s``, ``0.31 s``, ``2.3 s``, ``41 s``."""
    if value is None:
        return NONE
    digits = 2 if value < 1 else 1 if value < 10 else 0
    return f"{value:.{digits}f} s"


def outcome(row: Row) -> str:
    """What became of one fault; with its title before it, the line that is told."""
    healed = f"healed in {seconds(row.healed)}" if row.healed is not None else "NOT healed"
    after = " after it was over" if row.fault.passes and row.healed is not None else ""
    note = f"; {row.note}" if row.note else ""
    found = f"found {row.cause or 'nothing'} ({seconds(row.detected)})"
    problems = "".join(f"\n    {problem}" for problem in row.problems)
    return f"{found}, {row.remedy}, {healed}{after}{note}{problems}"


def table(rows: Sequence[Row]) -> str:
    """All faults, aligned; one that was made several times shows its worst times."""
    lines = [HEADS, *(_cells(same) for same in _by_name(rows))]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(HEADS))]
    once = all(cells[1] == "1" for cells in lines[1:])
    shown = [column for column in range(len(HEADS)) if not (once and column == 1)]
    return "\n".join(
        "  ".join(_padded(cells[column], widths[column], column) for column in shown).rstrip()
        for cells in lines
    )


def _by_name(rows: Sequence[Row]) -> list[list[Row]]:
    names: dict[FaultName, list[Row]] = {}
    for row in rows:
        names.setdefault(row.fault.name, []).append(row)
    return list(names.values())


def _cells(rows: Sequence[Row]) -> tuple[str, ...]:
    causes = dict.fromkeys(str(row.cause or NONE) for row in rows)
    remedies = dict.fromkeys(row.remedy for row in rows)
    healed = [row.healed for row in rows if row.healed is not None]
    detected = [row.detected for row in rows if row.detected is not None]
    good = sum(1 for row in rows if not row.problems)
    verdict = (
        "healed" if good == len(rows) else f"{len(rows) - good} of {len(rows)} NOT as it should"
    )
    return (
        rows[0].fault.title,
        str(len(rows)),
        " ".join(causes),
        " ".join(remedies),
        seconds(max(detected, default=None)),
        seconds(max(healed, default=None)),
        verdict,
    )


def _padded(cell: str, width: int, column: int) -> str:
    return (
        cell.rjust(width)
        if HEADS[column] in ("times", "to detect", "to heal")
        else cell.ljust(width)
    )
