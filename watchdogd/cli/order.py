"""The operator's hand: ``pause``, ``resume``, ``approve``, ``heal``, ``reset``, carried out by the agent."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from watchdogd.adapters.clock import SystemClock
from watchdogd.cli import output
from watchdogd.cli.agent import ask_agent
from watchdogd.core.words import Result
from watchdogd.loading.values import DURATION, Refused, duration
from watchdogd.ports import Deadline

SCHEMA = "watchdogd.order/1"
TAKEN_SECONDS = 10.0
"""For the decision loop to take an order."""
DONE_SECONDS = 400.0
"""For a remedy to end; the longest has 180 s, and its deadline is the agent's."""
_POLL_SECONDS = 0.3
_RESULTS: Mapping[str, str] = {
    Result.NOTHING: "nothing was done",
    Result.UNKNOWN: "whether it worked is not known",
}
"""Where the word alone says too little."""

_json = click.option("--json", "as_json", is_flag=True, help=f"The result as JSON ({SCHEMA}).")


def _duration(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return duration(value)
    except Refused as error:
        raise click.BadParameter(f"{value!r} is not {DURATION}") from error


@click.command()
@click.argument("target")
@click.option("--for", "seconds", metavar="DURATION", callback=_duration,
              help='"2h", "30m": until then. Without it: until `watchdogd resume`.')  # fmt: skip
@click.option("--reason", default="", help="Told to whoever asks why.")
@_json
@output.common
def pause(target: str, seconds: float | None, reason: str, as_json: bool) -> int:
    """Look at TARGET and touch nothing but its own tunnel. It survives a restart of the agent.

    A remedy that runs now is ended and proved. At the pause's end all is judged afresh.
    """
    return _simple("pause", target, as_json, seconds=seconds, reason=reason)


@click.command()
@click.argument("target")
@_json
@output.common
def resume(target: str, as_json: bool) -> int:
    """End the pause of TARGET. All is judged afresh from now on."""
    return _simple("resume", target, as_json)


@click.command()
@click.argument("target")
@_json
@output.common
def approve(target: str, as_json: bool) -> int:
    """Allow the remedy of TARGET that waits for a person, once, for this incident, within 30 min.

    Every other lock stays: it runs if the fault is still seen, and nothing works in the runtime.
    """
    return _simple("approve", target, as_json)


@click.command()
@click.argument("target")
@_json
@output.common
def reset(target: str, as_json: bool) -> int:
    """Lift what halted TARGET: failed starts, restarts that did not help. Budgets stay as they are."""
    return _simple("reset", target, as_json)


@click.command()
@click.argument("target")
@click.option("--remedy", required=True, help="Which one; `status --why` names those that help.")
@click.option("--dry-run", is_flag=True, help="Say what it would be done to, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before something that runs is ended.")
@_json
@output.common
def heal(target: str, remedy: str, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Have REMEDY done to TARGET now, whatever veto, budget, pause between two, or grace holds it back.

    What stays: the right container or session, the lock and PAUSE on the server, and the charge.
    Exit 0 if it proved itself, 1 if not, 75 if its end is not known.
    """
    plan = ask_agent("heal", target, remedy=remedy, dry_run=True)
    if dry_run:
        return _plan(plan, as_json)
    if plan["harm"] == "destructive" and not yes:
        _confirm(plan)
    answer = _order("heal", target, remedy=remedy)
    spoke = _await(target, answer, TAKEN_SECONDS, _spoke("heal"))
    if not spoke.get("accepted"):
        raise output.ExitWith(str(spoke.get("detail") or "it was not accepted"), output.FAILED)
    if not as_json:
        output.message(f"{remedy} begins")
    ended = _await(target, answer, DONE_SECONDS, _ended(remedy))
    done = ended.get("result") == "done"
    if as_json:
        output.emit({**answer, "result": ended.get("result"), "detail": ended.get("detail", "")})
    else:
        result = str(ended.get("result"))
        output.say(f"{remedy}: {_RESULTS.get(result, result)}")
        output.wrapped(str(ended.get("detail") or ""), 2)
        output.mend(str(ended.get("mend") or ""))
    if ended.get("result") == Result.UNKNOWN:
        return output.TEMPORARY
    return output.FINE if done else output.FAILED


def _plan(plan: Mapping[str, Any], as_json: bool) -> int:
    if as_json:
        output.emit(plan)
        return output.FINE
    if plan.get("impossible"):
        output.wrapped(f"{plan['remedy']} cannot be done now: {plan['impossible']}", 0)
        return output.FINE
    what = plan.get("container") or "the target's own connection"
    since = f", running since {plan['started']}" if plan.get("started") else ""
    output.say(f"{plan['remedy']} ({plan['harm']}) would be done to {what}{since}")
    for sign in plan.get("signs", []):
        output.wrapped(f"at work: {sign}", 2)
    return output.FINE


def _confirm(plan: Mapping[str, Any]) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{plan['remedy']} ends what runs: say so with --yes")
    for sign in plan.get("signs", []):
        output.message(f"at work: {sign}")
    click.confirm(
        f"{plan['remedy']} ends what runs in {plan['target']}. Go on?", abort=True, err=True
    )


def _simple(verb: str, target: str, as_json: bool, **more: object) -> int:
    answer = _order(verb, target, **more)
    kinds = {"pause": "pause_began", "resume": "pause_ended"}
    test = _spoke(verb) if verb not in kinds else lambda fact: fact.get("kind") == kinds[verb]
    fact = _await(target, answer, TAKEN_SECONDS, test)
    if fact.get("accepted") is False:
        raise output.ExitWith(str(fact.get("detail")), output.FAILED)
    if as_json:
        output.emit(answer)
    else:
        output.say(_told(verb, target, answer))
    return output.FINE


def _told(verb: str, target: str, answer: Mapping[str, Any]) -> str:
    match verb:
        case "pause":
            ends = "it ends by itself, or with" if answer["until"] else "end it:"
            return f"{target} is paused; {ends} {output.program()} resume {target}"
        case "resume":
            return f"{target} is no longer paused"
        case "approve":
            return f"{answer['remedy']} of {target} is allowed, within 30 minutes"
        case _:
            return f"{target} is judged afresh; its budgets stay"


def _order(verb: str, target: str, **more: object) -> dict[str, Any]:
    return ask_agent(verb, target, actor=_actor(), **more)


def _actor() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _spoke(verb: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda fact: fact.get("kind") == "operator_spoke" and fact.get("verb") == verb


def _ended(remedy: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda fact: fact.get("kind") == "remedy_ended" and fact.get("remedy") == remedy


def _await(
    target: str,
    answer: Mapping[str, Any],
    seconds: float,
    test: Callable[[Mapping[str, Any]], bool],
) -> Mapping[str, Any]:
    """The first fact of the target, since the order, that ``test`` is true of. Ends the verb with 75 if
    none comes in time."""
    clock = SystemClock()
    deadline, since = Deadline.after(clock, seconds), str(answer["at"]).replace("+00:00", "Z")
    while True:
        status: Any = ask_agent("status", target)
        for fact in status["targets"][0]["recent"]:
            if str(fact["at"]) >= since and test(fact):
                return dict(fact)
        if deadline.passed():
            raise output.ExitWith(
                f"the order was taken, and its end is not known yet: watchdogd status {target}",
                output.TEMPORARY,
            )
        clock.wait(_POLL_SECONDS)
