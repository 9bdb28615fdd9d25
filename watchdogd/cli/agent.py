"""Asking the running agent: finds its socket, and says what to do if there is none."""

from __future__ import annotations

import os

from watchdogd.cli import output
from watchdogd.control import NoAgent, NoAnswer, ask, control_paths
from watchdogd.loading import load, state_dir

_SECONDS = 5.0
_CODES = {
    "no_such_target": output.NO_TARGET,
    "which_target": output.USAGE,
    "bad_request": output.USAGE,
    "refused": output.FAILED,
}


def ask_agent(verb: str, target: str | None, **more: object) -> dict[str, object]:
    """The agent's answer. Ends the verb with 3 if no agent runs, 4 for an unknown target, 75 if the
    answer does not come, 78 if there is no agent and the configuration would start none."""
    config = output.config_option()
    for path in control_paths(state_dir(config, os.environ), os.environ):
        try:
            answer = ask(path, {"verb": verb, "target": target, **more}, _SECONDS)
        except NoAgent:
            continue
        except NoAnswer as error:
            raise output.ExitWith(str(error), output.TEMPORARY) from error
        return _accepted(answer, target)
    output.pick(target, list(load(config, os.environ).targets))
    start = f"{output.program()} run"
    raise output.ExitWith(f"no agent is running; start it: {start}", output.NO_AGENT)


def _accepted(answer: dict[str, object], target: str | None) -> dict[str, object]:
    error = answer.get("error")
    if not isinstance(error, dict):
        return answer
    code = str(error.get("code", ""))
    near = answer.get("near")
    text = str(error.get("message", "refused"))
    if code == "no_such_target" and target is not None and isinstance(near, list):
        text = output.unknown("target", target, [str(name) for name in near])
    raise output.ExitWith(text, _CODES.get(code, output.TEMPORARY))
