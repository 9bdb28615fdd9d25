"""Each invariant has a mutant that its test kills: one edit of the package, run on a copy.

A mutant that survives means that nothing would notice if that rule were lost.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """One edit (``old`` stands exactly once in the file) and the tests of which one must fail."""

    name: str
    invariant: str
    file: str
    old: str
    new: str
    killers: str
    package: str = "core"
    """Of ``watchdogd``."""


MUTANTS = (
    Mutant(
        "no-confirmation-from-the-server",
        "I1",
        "choose.py",
        "if state.verdict.served is not False:",
        "if False:",
        "restart_needs_the_server",
    ),
    Mutant(
        "ladder-without-sight",
        "I1",
        "ladders.py",
        "if unseen and verdict.cause is not Cause.RUNTIME_AUTH:",
        "if False:",
        "no_sight_of_the_server",
    ),
    Mutant(
        "tunnel-fault-blamed-on-the-runtime",
        "I1",
        "judge.py",
        "return through, Layer.FORWARD, Cause.FORWARD_STALLED",
        "return through, Layer.RUNTIME, through.cause",
        "silent_tunnel",
    ),
    Mutant(
        "one-read-is-enough",
        "I2",
        "confirming.py",
        "apart = streak.fails >= 2 and streak.last_run - streak.first_run >= policy.read_gap",
        "apart = True",
        "two_reads",
    ),
    Mutant(
        "higher-faults-stay-failed",
        "I3",
        "judge.py",
        "layers: tuple[Layer, ...] = BELOW_RUNTIME",
        "layers: tuple[Layer, ...] = ()",
        "container_that_exited",
    ),
    Mutant(
        "unknown-clears-the-streak",
        "I3",
        "rounds.py",
        "    if verdict.outcome is Outcome.UNKNOWN:\n        return\n",
        "    if verdict.outcome is Outcome.UNKNOWN:\n        _good(turn)\n        return\n",
        "unknown_rounds",
    ),
    Mutant(
        "veto-ignored",
        "I4",
        "choose.py",
        "    if found:\n        moment",
        "    if False:\n        moment",
        "work_in_the_container",
    ),
    Mutant(
        "unread-work-is-no-work",
        "I5",
        "choose.py",
        "    if missing := life.unread(state, policy, env.run):",
        '    if missing := "":',
        "unread_processes",
    ),
    Mutant(
        "old-word-on-training-is-sight",
        "I5",
        "life.py",
        "(training is None or run - training.read_at > FRESH_SECONDS):",
        "training is None:",
        "not_read_any_more",
    ),
    Mutant(
        "any-remedy-spends-an-approval",
        "section 7: Approved",
        "remedying.py",
        "approval=None if intent.approved else state.approval,",
        "approval=None,",
        "spent_by_its_own",
    ),
    Mutant(
        "order-of-what-is-not-built-raises",
        "I15",
        "operating.py",
        "    if remedy not in remedying.ACT_SECONDS:",
        "    if False:",
        "what_is_not_built or every_event_is_legal",
    ),
    Mutant(
        "set-clock-changes-a-pause",
        "section 9",
        "machine.py",
        "            operating.clock_set(turn, by)\n",
        "",
        "changes_no_pauses_length",
    ),
    Mutant(
        "paused-is-judged",
        "I12",
        "rounds.py",
        "    if only_shown(turn.state):",
        "    if False:",
        "nothing_is_done_while_paused",
    ),
    Mutant(
        "pause-is-forgotten",
        "section 9: pauses survive",
        "operating.py",
        "        ooms=kept.ooms,\n        pause=kept.pause,",
        "        ooms=kept.ooms,",
        "a_halt_survive",
    ),
    Mutant(
        "person-is-forgotten",
        "section 6: sign of a person",
        "operating.py",
        "        ended_by_person=kept.ended_by_person,",
        "        ended_by_person=None,",
        "a_halt_survive",
    ),
    Mutant(
        "open-intent-is-repeated",
        "I17",
        "operating.py",
        "        unverified = max(1, unverified)",
        "        unverified = unverified",
        "open_intent",
    ),
    Mutant(
        "ask-acts",
        "section 10: ask",
        "choose.py",
        "        or _unless(allowed, _asks(policy))",
        "",
        "mode_ask",
    ),
    Mutant(
        "approval-of-another-generation",
        "I14",
        "choose.py",
        "        and not given.generation.differs(state.generation)",
        "",
        "another_generation_is_worth_nothing",
    ),
    Mutant(
        "approval-lifts-all",
        "section 7: Approved",
        "choose.py",
        "return None if allowed and found is not None and found[0] in APPROVABLE else found",
        "return None if allowed else found",
        "lifts_no_other_lock",
    ),
    Mutant(
        "approval-never-ends",
        "section 10: 30 min",
        "operating.py",
        "    if state.approval is not None and env.boot >= state.approval.until_boot:",
        "    if False:",
        "lifts_no_other_lock",
    ),
    Mutant(
        "order-over-a-running-remedy",
        "I7",
        "operating.py",
        "    if state.phase in ACTING:\n        return",
        "    if False:\n        return",
        "order_while_a_remedy_runs",
    ),
    Mutant(
        "reset-gives-budget-back",
        "I9",
        "operating.py",
        "        restarts_unverified=0,\n        failed_starts=0,\n        ooms=(),\n        not_before=(),",
        "        restarts_unverified=0,\n        charges=(),\n        ooms=(),\n        not_before=(),",
        "reset_lifts",
    ),
    Mutant(
        "no-breaker-over-all",
        "section 6: breaker",
        "choose.py",
        "        or _unless(allowed, _all_halted(policy, env))",
        "",
        "restarts_of_all_targets",
    ),
    Mutant(
        "flapping-restarts",
        "section 10: flapping",
        "choose.py",
        "    if not state.flaps.flapping:",
        "    if True:",
        "health_comes_and_goes",
    ),
    Mutant("disk-is-no-sign", "I4", "life.py", "(life.io_run,", "(None,", "each_sign_of_life"),
    Mutant("gpu-is-no-sign", "I4", "life.py", "(life.gpu_run,", "(None,", "each_sign_of_life"),
    Mutant("log-is-no-sign", "I4", "life.py", "(life.log_run,", "(None,", "each_sign_of_life"),
    Mutant(
        "progress-is-no-sign",
        "I4",
        "life.py",
        "    return (*progress, *activity, *presence)",
        "    return (*activity, *presence)",
        "each_sign_of_life",
    ),
    Mutant(
        "busy-kernel-is-no-sign",
        "I4",
        "life.py",
        ", *_busy_kernel(state, run))",
        ")",
        "kernel_that_was_busy",
    ),
    Mutant(
        "any-kernels-process-is-busy",
        "I14",
        "life.py",
        "    if now is not None and life.busy and not life.busy & now:",
        "    if False:",
        "process_is_another_one",
    ),
    Mutant(
        "held-gpu-is-no-sign",
        "I4",
        "life.py",
        "presence = () if progress or activity else _presence(state, run)",
        "presence = ()",
        "idle_memory_of_a_gpu",
    ),
    Mutant(
        "held-gpu-counts-from-the-first-failure",
        "section 4: until all others were silent 1 h",
        "quiet.py",
        "    return any(at is not None and at > since for at in seen)",
        "    return False",
        "hour_begins_when_the_last_other_sign_ends",
    ),
    Mutant(
        "an-unread-gpu-is-silence",
        "I5",
        "quiet.py",
        "    if policy.gpus and (sight.gpu is None or sight.gpu.tool not in (GpuTool.OK, GpuTool.NONE)):",
        "    if False:",
        "not_every_sign_could_be_read",
    ),
    Mutant(
        "a-long-gap-forgives-work",
        "I4",
        "quiet.py",
        ", at_most=most)",
        ")",
        "hours_without_a_network",
    ),
    Mutant(
        "a-pause-is-watched-silence",
        "I8",
        "quiet.py",
        " or only_shown(turn.state)",
        "",
        "pause_begins_the_hour_anew",
    ),
    Mutant(
        "a-night-is-watched-silence",
        "section 4: until all others were silent 1 h awake-observed",
        "quiet.py",
        "min(most, max(0.0, host.read_at - last.read_at))",
        "3600.0",
        "adds_nothing_and_forgets_nothing",
    ),
    Mutant(
        "what-nobody-saw-was-no-work",
        "I4",
        "quiet.py",
        "return disk or bool(work_between(last, now, at_most=most))",
        "return False",
        "no_look_was_there_to_see",
    ),
    Mutant(
        "a-lull-is-the-end",
        "I4",
        "life.py",
        "*_lull(state, policy, run), ",
        "",
        "may_wait_for_data",
    ),
    Mutant(
        "any-start-of-the-engine-explains-an-end",
        "section 6: sign of a person",
        "choose.py",
        "-ENGINE_UP_SECONDS <= after <= ENGINE_DOWN_SECONDS",
        "True",
        "engine_that_was_restarted",
    ),
    Mutant(
        "strangers-gpu-is-a-sign",
        "I14",
        "life.py",
        "if ours is None or one.pid in ours}",
        "}",
        "somebody_else_uses",
    ),
    Mutant(
        "unread-gpu-is-no-gpu",
        "I5",
        "life.py",
        "    if policy.gpus and gpu is not None and gpu.tool not in (GpuTool.OK, GpuTool.NONE):",
        "    if False:",
        "unread_gpu",
    ),
    Mutant(
        "gpu-need-not-be-asked",
        "I5",
        "life.py",
        "    if policy.gpus and (gpu is None or run - gpu.read_at > FRESH_SECONDS):",
        "    if False:",
        "never_asked_for",
    ),
    Mutant(
        "overdue-beacon-is-ignored",
        "section 4: progress outranks activity",
        "life.py",
        "    if not progress and overdue(state, policy, run):\n        return ()",
        "    if False:\n        return ()",
        "good_moment or stalled or outranks or each_sign_of_life",
    ),
    Mutant(
        "stall-is-acted-upon",
        "section 4: asked for, also in auto",
        "choose.py",
        "    if life.overdue(state, policy, env.run):",
        "    if False:",
        "outranks",
    ),
    Mutant(
        "slow-phase-is-a-stall",
        "section 4",
        "life.py",
        "slow = SLOW_FACTOR if beacon.phase in SLOW_PHASES else 1.0",
        "slow = 1.0",
        "long_checkpoint",
    ),
    Mutant(
        "usual-gap-is-a-stall",
        "section 4",
        "life.py",
        "return slow * max(policy.stall_after, usual)",
        "return slow * policy.stall_after",
        "slow_steps",
    ),
    Mutant(
        "old-file-is-a-stall",
        "section 4",
        "life.py",
        "    if not any(one.gaps for one in known) or not overdue(state, policy, run):",
        "    if not overdue(state, policy, run):",
        "former_run",
    ),
    Mutant(
        "pressure-is-no-hazard",
        "section 4: hazards",
        "veto.py",
        "    if pressure is not None and pressure > MOST_PRESSURE:",
        "    if False:",
        "waits_is_a_hazard",
    ),
    Mutant(
        "no-charge",
        "I6",
        "remedying.py",
        "charges=(*kept(state.charges, env), charge) if charged else state.charges,",
        "charges=state.charges,",
        "two_restarts_in_six_hours",
    ),
    Mutant(
        "evidence-of-the-old-link-counts-against-the-new-one",
        "I14",
        "choose.py",
        "if state.verdict_since <= known.up_since:",
        "if False:",
        "is_not_dialled_over",
    ),
    Mutant(
        "late-observation-accepted",
        "I7",
        "rounds.py",
        "or event.started < turn.state.ignore_before)",
        ")",
        "late_round",
    ),
    Mutant(
        "no-grace-after-start",
        "I8",
        "rounds.py",
        "grace_until=now + turn.policy.wake_grace,",
        "grace_until=0.0,",
        "missing_container_is_created_after_the_grace",
    ),
    Mutant(
        "no-budget",
        "I9",
        "choose.py",
        "if left is None or left > 0:",
        "if True:",
        "budget_survives",
    ),
    Mutant(
        "success-refills-the-budget",
        "I9",
        "rounds.py",
        "turn.change(intent=None, done=False, failed_starts=0, restarts_unverified=0)",
        "turn.change(intent=None, done=False, failed_starts=0, restarts_unverified=0, charges=())",
        "two_restarts_in_six_hours",
    ),
    Mutant(
        "host-key-dialled-again",
        "I10",
        "dialing.py",
        "    if event.cause is Cause.HOST_KEY:\n        return NEVER",
        "    if event.cause is Cause.HOST_KEY:\n        return 60.0",
        "host_key",
    ),
    Mutant(
        "portals-key-believed-for-ever",
        "I10: a portal shows nobody's key",
        "network.py",
        "        turn.change(dialing=dialing.portal_seen(known, since, turn.env))",
        "        pass",
        "nobody_has_to_mend_a_key or captive_portal or F14",
    ),
    Mutant(
        "portals-key-told-as-the-servers",
        "I10: a portal shows nobody's key",
        "network.py",
        "    return event.started < after + patience",
        "    return False",
        "says_nothing_of_the_key or nobody_has_to_mend_a_key",
    ),
    Mutant(
        "any-portal-frees-any-refused-key",
        "I10: a portal shows nobody's key",
        "dialing.py",
        "    if not 0.0 < dialing.host_key_after <= since:\n        return dialing\n    return replace(\n",
        "    return replace(\n",
        "refused_long_before",
    ),
    Mutant(
        "dials-through-a-portal",
        "section 5: no dials behind a portal",
        "network.py",
        "        return turn.env.run - last < PORTAL_DIAL_SECONDS",
        "        return False",
        "behind_a_portal_one_dial or captive_portal or F14",
    ),
    Mutant(
        "another-network-ends-a-link-that-may-live",
        "make before break",
        "network.py",
        "        turn.emit(AskLink(number=known.up))",
        "        turn.change(dialing=dialing.replace(known, silent=True))",
        "link_that_speaks_is_asked",
    ),
    Mutant(
        "another-network-waits-for-a-dial-on-the-former-way",
        "usable again after a wake or a network change",
        "network.py",
        "        turn.emit(StartOver())",
        "        pass",
        "begins_anew_on_another_network",
    ),
    Mutant(
        "dials-begun-anew-before-sshd-forgives",
        "I10",
        "network.py",
        " and dialing.may_start_over(known, turn.env):",
        ":",
        "no_dial_begins_anew_sooner",
    ),
    Mutant(
        "login-hammered",
        "I10",
        "dialing.py",
        "return AUTH_GAP_SECONDS if few else AUTH_REST_SECONDS",
        "return AUTH_GAP_SECONDS",
        "refused_login",
    ),
    Mutant(
        "a-login-for-each-stall",
        "make before break: a budget",
        "dialing.py",
        "    many = len(_lately(dialing.beside, env)) > CROWDED_DIALS",
        "    many = False",
        "not_answered_by_a_login",
    ),
    Mutant(
        "a-stall-cuts-the-pause-of-a-refused-key",
        "I10",
        "dialing.py",
        "    if refused and dialing.next_at > env.run:",
        "    if False:",
        "however_often_a_link_stalls",
    ),
    Mutant(
        "key-of-a-network-just-left-stops-all-dials",
        "I10: a portal shows nobody's key",
        "dialing.py",
        "    if not dialing.host_key_after or dialing.stopped_by is not Cause.HOST_KEY:",
        "    if True:",
        "stops_no_later_dial",
    ),
    Mutant(
        "told-key-freed-by-a-later-portal",
        "I10: a portal shows nobody's key",
        "rounds.py",
        "    if counts and verdict.cause is Cause.HOST_KEY:",
        "    if False:",
        "stays_refused_behind_a_portal",
    ),
    Mutant(
        "each-cut-key-exchange-tried-again-soon",
        "I10",
        "dialing.py",
        "    if event.reached and len(_lately(dialing.charged, env)) > SPARE_DIALS:",
        "    if False:",
        "cut_behind_an_open_door",
    ),
    Mutant(
        "login-counted-with-all-failures",
        "I10",
        "dialing.py",
        "few = dialing.denied < AUTH_DIALS",
        "few = dialing.attempt + 1 < AUTH_DIALS",
        "whatever_failed_before",
    ),
    Mutant(
        "observe-acts",
        "I12",
        "choose.py",
        "    if policy.mode is Mode.OBSERVE:",
        "    if False:",
        "observe_changes_nothing",
    ),
    Mutant(
        "sleep-counts-as-failure-time",
        "I13",
        "rounds.py",
        "    now = turn.env.run\n    turn.forget_streak()\n",
        "    now = turn.env.run\n",
        "sleep_brings",
    ),
    Mutant(
        "old-generation-accepted",
        "I14",
        "rounds.py",
        "    if not changed:\n        return False\n",
        "    return False\n",
        "container_swapped",
    ),
    Mutant(
        "hung-at-once",
        "section 5: long",
        "choose.py",
        "if streak.fails >= fails and streak.observed_seconds >= seconds:",
        "if True:",
        "hung_runtime_is_restarted_once",
    ),
    Mutant(
        "no-timer-while-held",
        "I16",
        "machine.py",
        "now, soonest = env.run, env.run + REPUBLISH_SECONDS",
        "now, soonest = env.run, env.run + 10.0**9",
        "refusal_is_told_again",
    ),
    Mutant(
        "rests-though-a-pause-of-a-remedy-ends",
        "section 7: at rest",
        "machine.py",
        "        and not state.not_before",
        "        and True",
        "is_not_at_rest",
    ),
    Mutant(
        "lost-result-repeated",
        "I17",
        "remedying.py",
        "    elif event.result is Result.FAILED:",
        "    elif event.result is not Result.DONE:",
        "lost_result",
    ),
    Mutant(
        "sleep-booked-as-awake",
        "I18",
        "account.py",
        "slept = min(max(0.0, asleep), elapsed)",
        "slept = 0.0",
        "eight_hours_of_sleep",
    ),
    Mutant(
        "person-fought",
        "section 6: sign of a person",
        "choose.py",
        "    if container.stopped_by_person or state.ended_by_person is not None:",
        "    if False:",
        "person_who_stopped",
    ),
    Mutant(
        "person-forgotten",
        "section 6: sign of a person",
        "choose.py",
        "if container.stopped_by_person or state.ended_by_person is not None:",
        "if container.stopped_by_person:",
        "respected_after_a_reboot",
    ),
    Mutant(
        "old-word-from-the-server",
        "I1",
        "choose.py",
        "or not seen_failing(state, env.run):",
        "or False:",
        "newest_word_from_the_server",
    ),
    Mutant(
        "one-witness-is-enough",
        "I2",
        "confirming.py",
        "later = death.told_run <= state.verdict_since",
        "later = True",
        "no_later_look",
    ),
    Mutant(
        "death-before-a-sleep-counts",
        "I2, I8",
        "confirming.py",
        " and death.told_run > state.ignore_before",
        "",
        "told_before_a_sleep",
    ),
    Mutant(
        "any-containers-death",
        "I14",
        "seeing.py",
        "if known is None or event.container != known.id or not known.started:",
        "if known is None:",
        "another_containers_end",
    ),
    Mutant(
        "death-of-a-former-run",
        "I2, I14",
        "seeing.py",
        "    if event.at < known.started_at:",
        "    if False:",
        "late_word_of_a_former_run",
    ),
    Mutant(
        "refuted-death-is-kept",
        "I2",
        "seeing.py",
        "    _forget_death(turn, event)\n    _look_for_engine",
        "    _look_for_engine",
        "word_that_a_look_refuted",
    ),
    Mutant(
        "death-takes-the-persons-word",
        "section 6: sign of a person",
        "choose.py",
        "_unless(allowed, _person(state))",
        "_unless(allowed or witnessed(state), _person(state))",
        "whoever_stopped_it",
    ),
    Mutant(
        "edit-gives-the-budget-back",
        "I9",
        "rounds.py",
        "        not_before=(),\n    )",
        "        not_before=(),\n        charges=(),\n    )",
        "no_edit_gives_a_budget_back",
    ),
    Mutant(
        "former-runtime-speaks-for-the-new-one",
        "I7",
        "rounds.py",
        "    blinded(turn)\n    turn.change(\n        observations=(),",
        "    turn.change(\n        observations=turn.state.observations,",
        "evidence_of_the_former_runtime",
    ),
    Mutant(
        "crash-loop-acts",
        "section 9: three crashes",
        "choose.py",
        "if (wait := state.observes_until - run) > 0:",
        "if (wait := 0.0) > 0:",
        "while_it_observes",
    ),
    Mutant(
        "restart-by-a-person-is-a-crash",
        "section 9: three crashes",
        "crashes.py",
        "if not known[-1].asked and sum(",
        "if sum(",
        "keeps_what_is_left",
    ),
    Mutant(
        "restart-resets-the-crash-loop",
        "section 9: three crashes",
        "crashes.py",
        "return known[-1].observes_until if known[-1].observes_until > now.boot else 0.0",
        "return 0.0",
        "keeps_what_is_left",
    ),
    Mutant(
        "dead-container-started",
        "section 4: hazards",
        "veto.py",
        "if container is not None and container.status is ContainerStatus.DEAD:",
        "if False:",
        "F38",
    ),
    Mutant(
        "health-flag-decides",
        "section 3: shown but never used",
        "veto.py",
        "if container is not None and container.status is ContainerStatus.DEAD:",
        'if container is not None and container.health == "unhealthy":',
        "health_flag",
    ),
    Mutant(
        "one-handler-unseen",
        "section 5: one handler",
        "seeing.py",
        "IMPAIRED_LOOKS = 2",
        "IMPAIRED_LOOKS = 10**9",
        "F49",
    ),
    Mutant(
        "restart-blamed-for-kernels",
        "section 6: generation",
        "seeing.py",
        "same = not turn.state.generation.differs(new.generation(turn.policy.kind))",
        "same = True",
        "restarted_runtime_lost_no_kernel",
    ),
    Mutant(
        "unarmed-restarted",
        "section 6: armed",
        "choose.py",
        "    if known is None or known.differs(state.generation):",
        "    if False:",
        "unarmed_generation",
    ),
    Mutant(
        "shadow-spends-the-real-budget",
        "section 10: shadow scoring decides nothing",
        "shadowing.py",
        "        shadow=replace(state.shadow, recent=(*kept, would)[-MOST_KEPT:]),",
        "        shadow=replace(state.shadow, recent=(*kept, would)[-MOST_KEPT:]),\n"
        "        charges=(*state.charges, _charge(would)),",
        "shadow_scoring_changes_no_decision",
    ),
    Mutant(
        "shadow-without-a-budget",
        "section 10: against a shadow budget",
        "shadowing.py",
        "charges=(*state.charges, *(charge for _, charge in spent)),",
        "charges=state.charges,",
        "budget_of_an_agent_that_is_allowed",
    ),
    Mutant(
        "one-fault-is-scored-again-and-again",
        "section 10: each would have",
        "shadowing.py",
        "    return not any(\n        (one.remedy, one.incident)",
        "    return True or not any(\n        (one.remedy, one.incident)",
        "ten_hours_of_one_fault",
    ),
    Mutant(
        "shadow-sees-one-lock",
        "section 10: but for observe, ask or veto alone",
        "shadowing.py",
        "    remedy = choose(*_free(state, turn.policy, env), env).remedy",
        "    remedy = next(iter(held))",
        "hindsight_says and (somebody_stopped_it or not_believed)",
    ),
    Mutant(
        "a-persons-hand-is-health-by-itself",
        "section 10: came back by itself",
        "shadowing.py",
        "    return would.generation != now\n",
        "    return False\n",
        "hindsight_says and person",
    ),
    Mutant(
        "the-agents-hand-is-health-by-itself",
        "section 10: came back by itself",
        "shadowing.py",
        "    if state.intent is not None or state.pause is not None:",
        "    if state.pause is not None:",
        "hindsight_says and in_vain",
    ),
    Mutant(
        "hindsight-without-sight",
        "section 9: awake-observed",
        "shadowing.py",
        "gap = 0.0 if blind else",
        "gap = 0.0 if False else",
        "only_observed_time",
    ),
    Mutant(
        "all-hindsight-is-right",
        "section 10: false alarm",
        "shadowing.py",
        "    if _healthy_again(state, would):",
        "    if False:",
        "hindsight_says and passes",
    ),
    Mutant(
        "hindsight-ends-live-work",
        "ADR 10: live work is a false alarm",
        "shadowing.py",
        "    return destructive and bool(",
        "    return False and bool(",
        "hindsight_says and behind_a_hang",
    ),
    Mutant(
        "score-is-forgotten",
        "section 9: survives a restart",
        "operating.py",
        "        shadow=kept.shadow,\n",
        "",
        "scores_and_budget_survive",
    ),
    Mutant(
        "a-generation-is-resumed-again",
        "section 10: once for each generation",
        "resuming.py",
        "    elif same_run(known.ran, now):",
        "    elif False:",
        "killed_while_it_runs",
    ),
    Mutant(
        "what-was-not-replaced-is-resumed",
        "section 10: once for each generation",
        "resuming.py",
        "    return not same_run(known.lost, now) and",
        "    return True and",
        "what_was_not_replaced",
    ),
    Mutant(
        "resume-without-proof",
        "section 10: after a verified repair",
        "resuming.py",
        "    if state.phase not in PROVED or now.container is None or not _read(state):",
        "    if now.container is None or not _read(state):",
        "health_was_proved",
    ),
    Mutant(
        "resume-in-observe",
        "I12",
        "resuming.py",
        "    elif policy.mode is Mode.OBSERVE:",
        "    elif False:",
        "in_observe_a_person",
    ),
    Mutant(
        "resume-in-spite-of-a-pause",
        "I12",
        "resuming.py",
        "    if state.pause is not None and state.intent is None:",
        "    if False:",
        "proved_in_a_pause",
    ),
    Mutant(
        "failed-resume-restarts",
        "F56: no container remedy",
        "resuming.py",
        "    return replace(known, trial=Trial.FAILED,",
        "    from watchdogd.core.remedying import Remedy, apply\n"
        "    apply(turn, Remedy.RESTART_CONTAINER)\n"
        "    return replace(known, trial=Trial.FAILED,",
        "hook_that_fails_or_hangs",
    ),
    Mutant(
        "resumed-for-days",
        "F55: then halted",
        "resuming.py",
        "    halted = failures >= MOST_FAILURES",
        "    halted = False",
        "lost_at_the_same_step",
    ),
    Mutant(
        "never-further-back",
        "F55: one checkpoint further back",
        "resuming.py",
        "back=1 if known.failures >= BACK_AFTER else 0,",
        "back=0,",
        "lost_at_the_same_step",
    ),
    Mutant(
        "unread-progress-is-none",
        "I5",
        "resuming.py",
        "    elif seen.read_at >= state.hook_until:",
        "    elif turn.env.run >= state.hook_until:",
        "could_not_be_read_is_no_failure",
    ),
    Mutant(
        "second-training-beside-the-first",
        "ADR 16: what goes on is left alone",
        "resuming.py",
        "    elif _goes_on(state):",
        "    elif False:",
        "goes_on_by_itself",
    ),
    Mutant(
        "persons-run-taken-for-a-repairs",
        "ADR 16: after a repair, never over a person's own run",
        "resuming.py",
        "            made=None,\n        )\n    turn.change(resume=known)\n\n\ndef acted",
        "        )\n    turn.change(resume=replace(known, made=None))\n\n\ndef acted",
        "takes_no_persons_run",
    ),
    Mutant(
        "owed-resume-is-forgotten",
        "section 9: survives a restart",
        "operating.py",
        "        resume=state.resume,\n",
        "",
        "killed_after_the_repair",
    ),
    Mutant(
        "resolved-without-opened",
        "section 10: resolved whenever opened was sent, and only then",
        "notices.py",
        "        if not told.incident or (incident is not None and incident.id == told.incident):\n            return\n",
        "        if incident is not None or not any(isinstance(fact, IncidentClosed) for fact in facts):\n            return\n",
        "over_before_is_never_told",
    ),
    Mutant(
        "told-without-waiting",
        "section 10: first after 120 s down",
        "notices.py",
        "if since is not None and env.run - since >= policy.told_after:",
        "if since is not None:",
        "comes_after_two_minutes",
    ),
    Mutant(
        "opened-twice",
        "section 10: dedupe key = incident",
        "notices.py",
        "        if self.told.incident == incident.id:\n            return False\n",
        "",
        "opens_nothing_twice",
    ),
    Mutant(
        "destructive-remedy-waits-for-company",
        "section 10: before a destructive remedy at once",
        "notices.py",
        "            key=intent.key,\n",
        "            key=intent.key,\n            wait=self.policy.told_together,\n",
        "told_before_and_after_at_once",
    ),
    Mutant(
        "reminded-all-the-time",
        "I19: reminders",
        "notices.py",
        "REMINDER_SECONDS = 4 * 3600.0",
        "REMINDER_SECONDS = 0.0",
        "every_four_hours",
    ),
    Mutant(
        "token-that-was-read-is-news-later",
        "no secret in a line",
        "held.py",
        "last.news != self._news or ",
        "",
        "known_to_the_next_line_of_any_target",
        package="app",
    ),
    Mutant(
        "own-token-is-not-looked-at",
        "no secret in a line",
        "held.py",
        "return tokens is None or _token(tokens) == last.tokens[target]",
        "return True",
        "knows_that_ones_token_as_it_is_now",
        package="app",
    ),
    Mutant(
        "each-target-counts-its-own-refused-logins",
        "a server is never asked so often that it locks the laptop out",
        "shared_servers.py",
        "if len(refused := self._refused_as_now(files)) >= self._may_be_refused():",
        "if len(refused := self._refused_as_now(files)) > 99:",
        "out_of_step_try_a_refused_key",
        package="adapters",
    ),
    Mutant(
        "each-user-counts-its-own-refused-logins",
        "a server is never asked so often that it locks the laptop out",
        "shared_servers.py",
        "return max(1, REFUSED_LOGINS - self._door.others(self, since))",
        "return REFUSED_LOGINS",
        "users_of_one_server",
        package="adapters",
    ),
    Mutant(
        "number-of-a-socket-is-given-back-under-its-reader",
        "no connection reads or writes another's bytes",
        "link_socket.py",
        "if self._closed and not self._users:",
        "if self._closed:",
        "given_back_under_a_reader",
        package="adapters",
    ),
)


WHOLE = ("tests/core", "tests/worlds", "tests/lab")
ALSO = (
    *("tests/fakes_clock.py", "tests/fakes_ssh.py"),
    *("tests/unit/test_held.py", "tests/unit/test_link_socket.py"),
    *("tests/unit/test_refused_logins.py", "tests/unit/test_shared_servers.py"),
)
"""Folders that are copied, and single files."""
JUDGES = (*WHOLE, "tests/unit")
"""Where the killers are looked for, by their names."""


def copied(folder: Path) -> Path:
    """The package, the core's tests and what these import, to be edited."""
    for name in ("watchdogd", "bench", *WHOLE):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ALSO:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['.']\n")
    return folder


def holding(folder: Path, killers: str) -> list[str]:
    """The files of the judges in which a word of the killers stands: the others need no import."""
    words = {*re.findall(r"\w+", killers)} - {"and", "or", "not"}
    files = (path for judge in JUDGES for path in sorted((folder / judge).glob("test_*.py")))
    return [str(path) for path in files if any(word in path.read_text() for word in words)]


def killed(folder: Path, killers: str) -> subprocess.CompletedProcess[str]:
    """Run the killers on the copy, with the copy's package before the installed one."""
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider"]
    argv += ["--import-mode=importlib", "-k", killers, *holding(folder, killers)]
    return subprocess.run(
        argv,
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def tried(mutant: Mutant, folder: Path) -> subprocess.CompletedProcess[str] | str:
    """What the killers say of that mutant, on a copy of its own; or why it is none."""
    path = copied(folder) / "watchdogd" / mutant.package / mutant.file
    sound = path.read_text()
    if sound.count(mutant.old) != 1:
        return f"{mutant.name} fits {sound.count(mutant.old)} times"
    path.write_text(sound.replace(mutant.old, mutant.new))
    return killed(folder, mutant.killers)


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, subprocess.CompletedProcess[str] | str]:
    """Of all mutants that were asked for; as many at once as there are processors."""
    names = {item.name for item in request.session.items}
    asked = [one for one in MUTANTS if f"test_mutant_is_killed[{one.name}]" in names]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        runs = {
            mutant.name: pool.submit(tried, mutant, tmp_path_factory.mktemp("mutant"))
            for mutant in asked
        }
        return {name: run.result() for name, run in runs.items()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}")
def test_mutant_is_killed(
    mutant: Mutant, results: dict[str, subprocess.CompletedProcess[str] | str]
) -> None:
    done = results[mutant.name]
    assert not isinstance(done, str), done
    assert done.returncode == 1, f"survived {mutant.invariant}: {done.stdout[-2000:]}"
    assert " failed" in done.stdout


def test_the_copy_itself_is_sound(tmp_path: Path) -> None:
    killers = "starts_up or silent_tunnel or two_restarts or late_round or refusal"
    done = killed(copied(tmp_path), killers)
    assert done.returncode == 0, done.stdout[-2000:]
