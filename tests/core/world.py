"""A small world around the unchanged core: it plays the loop, answers probes and obeys remedies.

The world knows the truth (``World`` fields); the core sees only what probes would report. Time is
virtual, so hours pass in milliseconds. Each applied remedy is checked against the invariants that can
be seen from outside (``World.broken`` lists violations).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace

from watchdogd.core.commands import (
    Apply,
    AskLink,
    Command,
    Dial,
    Fact,
    Probe,
    Publish,
    RunHook,
    StartOver,
    Wake,
)
from watchdogd.core.events import (
    ClockStepped,
    ContainerDied,
    DialFailed,
    Event,
    HookFinished,
    LinkLost,
    LinkSilent,
    LinkUp,
    Observed,
    PortBound,
    RemedyFinished,
    Resumed,
    Started,
    Woke,
)
from watchdogd.core.machine import first, step
from watchdogd.core.model import (
    Env,
    Memory,
    Observation,
    Policy,
    TargetState,
)
from watchdogd.core.operating import memory
from watchdogd.core.resume import Hook
from watchdogd.core.sight import (
    ContainerSight,
    GpuDevice,
    GpuProcess,
    GpuSight,
    GpuTool,
    HostSight,
    KernelSight,
    ProcessCpu,
    SessionSight,
    Sight,
    TrainingSight,
)
from watchdogd.core.words import (
    HARM,
    Cause,
    ContainerStatus,
    Harm,
    Kind,
    Layer,
    Outcome,
    ProbeName,
    Refusal,
    Remedy,
    Result,
    State,
    Vantage,
)
from watchdogd.ports import Recorder

SERVER_PROBES = (
    ProbeName.CONTAINER,
    ProbeName.SESSION,
    ProbeName.HOST,
    ProbeName.RUNTIME_SERVER,
)
CONTAINER = "c" * 64
SIGNS = ("working", "reads_disk", "gpu_busy", "log_grows", "steps")
"""What of the truth shows that work goes on now."""
READABLE = ("processes_readable", "server_readable", "gpu_readable")
READ_TOOLS = (GpuTool.OK, GpuTool.NONE)
TRUTH = (
    "container",
    "gpu_tool",
    "link",
    "runtime",
    "runtime_seen_on_server",
    *READABLE,
    *SIGNS,
)
LAYERS = {
    ProbeName.AGENT: Layer.AGENT,
    ProbeName.NETWORK: Layer.NETWORK,
    ProbeName.SSH: Layer.SSH,
    ProbeName.HOST: Layer.HOST,
    ProbeName.CONTAINER: Layer.CONTAINER,
    ProbeName.SESSION: Layer.CONTAINER,
    ProbeName.FORWARD: Layer.FORWARD,
    ProbeName.RUNTIME_TUNNEL: Layer.RUNTIME,
    ProbeName.RUNTIME_SERVER: Layer.RUNTIME,
    ProbeName.KERNEL: Layer.KERNEL,
}


@dataclass
class World:
    """The truth, the clocks, and the loop."""

    policy: Policy = field(default_factory=Policy)
    agent: Cause | None = None
    """What is wrong with the agent itself."""
    host: Cause | None = None
    """What is wrong with the server as a machine."""
    load: float = 0.5
    """Of each of its processors."""
    uptime: float = 1e6
    boot: str = "server-boot"
    """The server's boot id."""
    network: bool = True
    portal: bool = False
    """A captive portal answers for everybody, the SSH server included, and canaries are configured."""
    network_untold: bool = False
    """No canary answers."""
    portal_key: bool = False
    """The last dial met the portal's host key."""
    dial: Cause | None = None
    """Why a dial fails now; None = it succeeds."""
    dial_permanent: bool = False
    dial_seconds: float = 0.05
    """How long a dial takes to its end."""
    container: Cause | None = None
    """What is wrong with the container; None = running."""
    runtime: Cause | None = None
    """What a request gets: None = the right answer."""
    runtime_seen_on_server: bool = True
    """False: only the tunnel shows the runtime's fault (a lying or broken way)."""
    view: bool = True
    working: bool = False
    """A process other than the runtime server computes."""
    reads_disk: bool = False
    """The container reads or writes."""
    gpu_tool: GpuTool = GpuTool.OK
    gpu_readable: bool = True
    gpu_held: bool = False
    gpu_busy: bool = False
    kernel_busy: bool = False
    """As the runtime told when it could last be asked."""
    log_grows: bool = False
    steps: float = 0.0
    """Steps a second of a training run with a progress file; 0: none, or it stands still."""
    tells_step: bool = True
    """The progress file has a ``step``."""
    training_phase: str = ""
    training_total: float | None = None
    checkpoints: bool = False
    """One is written every 10 minutes while ``steps``."""
    hook_result: Result | None = Result.DONE
    """How the resume command ends; None = no answer ever comes."""
    resumes_at: float = 0.0
    """Steps a second of the training that the resume command starts."""
    resumes_from: float = 100.0
    """Steps from one checkpoint to the next."""
    pressure: float = 0.0
    processes_readable: bool = True
    server_readable: bool = True
    stopped_by_person: bool | None = False
    engine_started_at: float | None = None
    ended_at: float = 0.0
    """By the server's clock, as the one before."""
    own_policy: bool = False
    container_status: ContainerStatus | None = None
    """What the engine calls it instead, ``dead`` say."""
    health: str = ""
    """What its own health command says."""
    handler_fails: bool = False
    """One path of the runtime answers 500."""
    kernel_gone: bool = False
    answer_seconds: float = 0.2
    """How long a round takes where everything answers."""
    image_present: bool = True
    remedies_work: bool = True
    remedy_result: Result = Result.DONE
    forbids: tuple[Refusal, str] | None = None
    """What the last look before an act finds against it."""
    life: int = 1
    """Counts starts of the container: its generation."""
    death_told: int = 0
    """The life of which the engine told the end."""
    # --- clocks and the loop
    now: float = 1000.0
    slept: float = 0.0
    chance: float = 0.5
    wall_ahead: float = 0.0
    boot_id: str = "laptop-boot"
    fleet: int = 0
    """Destructive remedies of all targets lately."""
    state: TargetState = field(init=False)
    began: float = field(init=False)
    link: int | None = None
    silent: bool = False
    queue: list[tuple[float, int, Event]] = field(default_factory=list)
    serial: int = 0
    cpu: float = 0.0
    io: int = 0
    log_bytes: int = 0
    step: float = 0.0
    stepped_at: float = 0.0
    told_at: float = 0.0
    wake_at: float | None = None
    applied: list[Remedy] = field(default_factory=list)
    applied_at: list[float] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    dials: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    """When a dial began that fails; a remedy's too."""
    asked: list[int] = field(default_factory=list)
    """Links that were to be asked at once."""
    started_over: list[float] = field(default_factory=list)
    """When a dial on its way was to begin anew."""
    broken: list[str] = field(default_factory=list)
    recorder: Recorder | None = None
    """Told each step, as by the real loop; the target is called a100."""
    told: dict[str, object] = field(default_factory=dict)
    """The truth when the last round looked: what a decision may rest on. What changes after that
    is for the remedy's own last look on the server."""

    def __post_init__(self) -> None:
        self.began = self.now + self.slept
        self.state = self.fresh()

    def fresh(self) -> TargetState:
        """The state before the first event, as of now."""
        return first(self.env())

    def env(self) -> Env:
        return Env(
            run=self.now,
            boot=self.now + self.slept,
            wall=1.7e9 + self.now + self.slept + self.wall_ahead,
            boot_id=self.boot_id,
            chance=self.chance,
            fleet=self.fleet,
        )

    # ------------------------------------------------------------ the loop

    def post(self, event: Event, after: float = 0.0) -> None:
        self.serial += 1
        heapq.heappush(self.queue, (self.now + after, self.serial, event))

    def start(self, **started: object) -> World:
        self.post(Started(**started))  # type: ignore[arg-type]
        return self

    def killed(self) -> Memory:
        """The agent is gone, its link and what was on its way to it too; what it kept is returned."""
        kept = memory(self.state)
        self.began = self.now + self.slept
        self.state = self.fresh()
        self.queue.clear()
        self.link, self.wake_at = None, None
        return kept

    def play(self, seconds: float) -> World:
        """Let that much awake time pass."""
        end = self.now + seconds
        while True:
            due = self.queue[0][0] if self.queue else end + 1
            wake = self.wake_at if self.wake_at is not None else end + 1
            at = min(due, wake)
            if at > end:
                break
            self.now = max(self.now, at)
            if due <= wake:
                self.take(heapq.heappop(self.queue)[2])
            else:
                self.wake_at = None
                self.take(Woke())
        self.now = end
        return self

    def play_until(self, state: State, most: float = 3600.0) -> World:
        """Let time pass until the public state is ``state``."""
        end = self.now + most
        while self.state.shown is not state and self.now < end:
            self.play(0.5)
        assert self.state.shown is state, (self.state.shown, self.state.verdict)
        return self

    def play_until_round_open(self) -> World:
        """Let time pass until a round is on its way, and drop its honest answer."""
        while not self.state.round_open:
            self.play(0.5)
        self.queue = [one for one in self.queue if not isinstance(one[2], Observed)]
        return self

    def set_clock(self, by: float) -> World:
        """Somebody sets the laptop's wall clock."""
        self.wall_ahead += by
        self.take(ClockStepped(by=by))
        return self

    def sleep(self, seconds: float) -> World:
        """The laptop sleeps; its link is dead afterwards."""
        self.slept += seconds
        self.take(Resumed(slept=seconds))
        return self

    def take(self, event: Event) -> None:
        if isinstance(event, LinkUp):
            self.link, self.silent = event.number, False
        before, env = self.state, self.env()
        self.state, commands = step(before, event, self.policy, env)
        if self.recorder is not None:
            self.recorder.stepped("a100", before, event, self.policy, env, self.state, commands)
        for command in commands:
            self.obey(command)
        self.check()

    def obey(self, command: Command) -> None:
        match command:
            case Probe():
                seconds = self.answer_seconds if self.quick() else self.policy.timeout
                self.post(self.measure(command), after=seconds)
            case Apply():
                self.apply(command)
            case RunHook():
                self.run_hook(command.hook)
            case Dial():
                self.dials.append(self.now)
                self.answer_dial(command.number)
            case StartOver():
                self.started_over.append(self.now)
            case AskLink():
                self.asked.append(command.number)
            case Wake():
                self.wake_at = command.at
            case Publish():
                self.facts.append(command.fact)
            case _:
                if type(command).__name__ == "Bind":
                    self.post(PortBound())

    def quick(self) -> bool:
        return self.runtime is not Cause.RUNTIME_HUNG

    # ------------------------------------------------------------ the link

    def answer_dial(self, number: int) -> None:
        self.portal_key = self.portal and self.network
        if self.portal_key or self.dial is not None or not self.network:
            self.refused.append(self.now)
        if self.portal_key:
            refused = DialFailed(number=number, cause=Cause.HOST_KEY, permanent=True, reached=True)
            self.post(refused, after=self.dial_seconds)
            return
        if self.dial is None and self.network:
            self.post(LinkUp(number=number), after=self.dial_seconds)
        else:
            cause = self.dial or Cause.OFFLINE
            self.post(
                DialFailed(
                    number=number,
                    cause=cause,
                    permanent=self.dial_permanent,
                    reached=cause in (Cause.SSHD_REJECTS, Cause.AUTH, Cause.HOST_KEY),
                ),
                after=self.dial_seconds,
            )

    def kill_link(self) -> World:
        if self.link is not None:
            number, self.link = self.link, None
            self.take(LinkLost(number=number))
        return self

    def tell_death(self, container: str = CONTAINER, *, life: int | None = None) -> World:
        """The engine's events say that this container ended: its present life, or an earlier one."""
        ended = self.life if life is None else life
        if container == CONTAINER:
            self.death_told = ended
        self.take(ContainerDied(container=container, at=ended + 0.5))
        return self

    def freeze_link(self) -> World:
        if self.link is not None:
            self.silent = True
            self.take(LinkSilent(number=self.link))
        return self

    # ------------------------------------------------------------ remedies

    def apply(self, command: Apply) -> None:
        remedy = command.intent.remedy
        self.applied.append(remedy)
        self.applied_at.append(self.now)
        self.check_apply(command)
        result = self.remedy_result if self.forbids is None else Result.NOTHING
        reason, detail = self.forbids or (None, "")
        if self.remedies_work and result is Result.DONE:
            self.effect(remedy)
        if remedy is Remedy.RECONNECT:
            result = Result.DONE if self.link is not None else Result.FAILED
        key = command.intent.key
        self.post(RemedyFinished(key=key, result=result, reason=reason, detail=detail), after=1.0)

    def run_hook(self, hook: Hook) -> None:
        """The resume command, and what must hold whenever it runs."""
        self.train()
        if self.state.pause is not None:
            self.broken.append("I12: a resume while paused")
        if self.policy.mode.value == "observe":
            self.broken.append("I12: a resume in observe")
        if any(one.generation.started == hook.generation.started for one in self.hooks):
            self.broken.append("section 10: two resumes of one generation")
        if self.state.phase.value not in ("settling", "steady"):
            self.broken.append("section 10: a resume without verified health")
        self.hooks.append(hook)
        if self.hook_result is Result.DONE and self.resumes_at:
            self.step -= self.step % self.resumes_from + hook.back * self.resumes_from
            self.steps = self.resumes_at
        if self.hook_result is not None:
            self.post(HookFinished(key=hook.key, result=self.hook_result), after=1.0)

    def effect(self, remedy: Remedy) -> None:
        match remedy:
            case Remedy.RECONNECT | Remedy.REOPEN_FORWARD:
                if self.dial is None:
                    self.link = self.state.dialing.last_number + 1
                    self.silent = False
                    self.post(LinkUp(number=self.link), after=0.5)
                else:
                    self.answer_dial(self.state.dialing.last_number + 1)
                if not self.runtime_seen_on_server:
                    self.runtime, self.runtime_seen_on_server = None, True
            case Remedy.OPEN_SESSION:
                self.view = True
            case Remedy.REFRESH_TOKEN:
                self.runtime = None
            case _:
                self.container, self.runtime = None, None
                self.life += 1

    def check_apply(self, command: Apply) -> None:
        """The invariants that hold at each ``Apply``, seen from outside the core."""
        remedy, state = command.intent.remedy, self.state
        harm = HARM[remedy]
        if harm is not Harm.HARMLESS and not command.intent.charged:
            self.broken.append(f"I6: {remedy} without a charge")
        if command.intent.ordered:
            return  # a person may
        if state.pause is not None and harm is not Harm.HARMLESS:
            self.broken.append(f"I12: {remedy} while paused")
        if state.flaps.flapping and harm is Harm.DESTRUCTIVE:
            self.broken.append(f"section 10: {remedy} while its health comes and goes")
        if (
            self.policy.mode.value == "ask"
            and harm is Harm.DESTRUCTIVE
            and not command.intent.approved
        ):
            self.broken.append(f"section 10: {remedy} that nobody allowed")
        if self.policy.mode.value == "observe" and harm is not Harm.HARMLESS:
            self.broken.append(f"I12: {remedy} in observe")
        if harm is Harm.DESTRUCTIVE:
            told = self.told
            if not told["runtime_seen_on_server"] or told["runtime"] is None or not told["link"]:
                self.broken.append(f"I1: {remedy} without the fault on the server")
            seen = [one for one in SIGNS if one != "steps" or self.policy.watches_training]
            if any(told[sign] for sign in seen):
                self.broken.append(f"I4: {remedy} while work goes on")
            if not all(told[name] for name in READABLE) or told["gpu_tool"] not in READ_TOOLS:
                self.broken.append(f"I5: {remedy} without sight")
            recent = [
                at
                for one, at in zip(self.applied, self.applied_at, strict=True)
                if HARM[one] is Harm.DESTRUCTIVE and self.now - at < 6 * 3600
            ]
            if len(recent) > self.policy.destructive_per_6h:
                self.broken.append(f"I9: {remedy} beyond the budget")
        if harm is Harm.RESTORING:
            if self.told["container"] is None or not self.told["server_readable"]:
                self.broken.append(f"I2: {remedy} of what runs or cannot be seen")
            if state.streak.fails < 2 and self.death_told != self.life:
                self.broken.append(f"I2: {remedy} on one reading")

    def check(self) -> None:
        """The invariants that hold after each step."""
        state = self.state
        booked = sum(state.account.seconds.values())
        elapsed = self.now + self.slept - self.began
        if abs(booked - elapsed) > 0.001:
            self.broken.append(f"I18: booked {booked}, elapsed {elapsed}")
        acting = state.phase.value in ("acting", "verifying")
        if acting != (state.intent is not None):
            self.broken.append(f"I16: phase {state.phase} with intent {state.intent}")
        pending = self.wake_at is not None or state.round_open or acting
        if not pending:
            self.broken.append("I16: nothing pending")

    # ------------------------------------------------------------ probes

    def measure(self, command: Probe) -> Observed:
        """What honest probes would report of the truth."""
        self.told = {name: getattr(self, name) for name in TRUTH}
        started = self.now
        seen: list[Observation] = [self.one(ProbeName.AGENT, self.agent)]
        linked = self.link is not None and not self.silent
        away = Cause.CAPTIVE_PORTAL if self.portal and not linked else None
        dark = self.network_untold and not linked
        cause = away if self.network else Cause.OFFLINE
        seen.append(self.one(ProbeName.NETWORK, cause, unknown=dark))
        lost = Cause.HOST_KEY if self.portal_key else self.dial or Cause.LINK_LOST
        dialing = self.state.dialing.dialing is not None and not self.state.dialing.ever_up
        seen.append(self.one(ProbeName.SSH, None if linked else lost, unknown=dialing))
        seen.append(self.one(ProbeName.FORWARD, None))
        broken = self.runtime or (self.container and Cause.RUNTIME_REFUSED)
        passes = linked and self.network
        self.train()
        seen.append(self.one(ProbeName.RUNTIME_TUNNEL, broken, Vantage.TUNNEL, unknown=not passes))
        if not command.deep:
            return Observed(round=command.round, started=started, observations=tuple(seen))
        answers = passes and broken is None
        kernels = self.kernels() if answers and not self.handler_fails else None
        handler = Cause.RUNTIME_ERROR if self.handler_fails else None
        seen.append(self.one(ProbeName.KERNEL, handler, Vantage.TUNNEL, unknown=not answers))
        blind = not passes or not self.server_readable
        causes = self.server_causes(broken)
        for probe in SERVER_PROBES:
            if self.policy.kind is Kind.SESSION and probe is ProbeName.CONTAINER:
                continue
            dark = blind or (probe is ProbeName.CONTAINER and self.removing())
            seen.append(self.one(probe, causes[probe], Vantage.SERVER, unknown=dark))
        sight = replace(Sight() if blind else self.sight(), kernels=kernels)
        return Observed(round=command.round, started=started, observations=tuple(seen), sight=sight)

    def measure_deep(self, number: int) -> Observed:
        """The same of a round that also looks at the server."""
        return self.measure(Probe(round=number, deep=True))

    def removing(self) -> bool:
        return self.container_status is ContainerStatus.REMOVING

    def server_causes(self, broken: Cause | None) -> dict[ProbeName, Cause | None]:
        session = None if self.view else Cause.SESSION_MISSING
        if self.policy.kind is Kind.SESSION and self.container:
            session = Cause.SESSION_MISSING
        return {
            ProbeName.CONTAINER: self.container,
            ProbeName.SESSION: session,
            ProbeName.HOST: self.host,
            ProbeName.RUNTIME_SERVER: broken if self.runtime_seen_on_server else None,
        }

    def one(
        self,
        probe: ProbeName,
        cause: Cause | None,
        vantage: Vantage = Vantage.LAPTOP,
        *,
        unknown: bool = False,
    ) -> Observation:
        outcome = Outcome.UNKNOWN if unknown else Outcome.FAIL if cause else Outcome.OK
        return Observation(
            probe=probe,
            layer=LAYERS[probe],
            vantage=vantage,
            outcome=outcome,
            cause=cause if outcome is Outcome.FAIL else None,
            started=self.now,
            ended=self.now,
        )

    def sight(self) -> Sight:
        if self.working:
            self.cpu += 5.0
        if self.reads_disk:
            self.io += 10**8
        started = 7 + self.life
        processes = (
            ProcessCpu(pid=42, started=started, cpu_seconds=self.cpu, kernel=f"kernel-{self.life}"),
        )
        host = HostSight(
            read_at=self.now,
            boot_id=self.boot,
            uptime_seconds=self.uptime,
            load_per_core=self.load,
            disk_free_bytes=10**12,
            inodes_free_ratio=0.9,
            processes=processes if self.processes_readable else None,
            io_bytes=self.io,
            engine_started_at=self.engine_started_at,
            pressure_ratio=self.pressure,
        )
        session = SessionSight(
            read_at=self.now,
            exists=self.view,
            generation=f"9:{self.life}" if self.policy.kind is Kind.SESSION else "9:1",
            command_running=self.container is None,
        )
        sight = Sight(host=host, session=session, gpu=self.gpu(), training=self.training())
        if self.policy.kind is Kind.SESSION:
            return sight
        return replace(sight, container=self.container_sight())

    def gpu(self) -> GpuSight | None:
        if not self.gpu_readable:
            return None
        if self.gpu_tool is not GpuTool.OK:
            return GpuSight(read_at=self.now, tool=self.gpu_tool)
        use = 0.9 if self.gpu_busy else 0.0
        held = (GpuProcess(gpu="GPU-0", pid=42),) if self.gpu_held or self.gpu_busy else ()
        return GpuSight(
            read_at=self.now,
            tool=GpuTool.OK,
            devices=(GpuDevice(index=0, uuid="GPU-0", utilization=use),),
            processes=(*held, GpuProcess(gpu="GPU-1", pid=4711)),
        )

    def kernels(self) -> KernelSight:
        name = frozenset(() if self.kernel_gone else {f"kernel-{self.life}"})
        busy = name if self.kernel_busy else frozenset[str]()
        return KernelSight(read_at=self.now, kernels=name, busy=busy)

    def train(self) -> None:
        """What the training run did since this was last asked."""
        gone = self.now - self.told_at if self.told_at else 0.0
        self.told_at = self.now
        if self.steps and gone:
            self.step += self.steps * gone
            self.stepped_at = self.now
        if self.log_grows:
            self.log_bytes += 100

    def training(self) -> TrainingSight | None:
        if not self.policy.watches_training:
            return None
        written = int(self.step / max(self.steps, 0.001) / 600) if self.checkpoints else 0
        return TrainingSight(
            read_at=self.now,
            progress_mark=f"{self.step:g}:{self.training_phase}" if self.stepped_at else "",
            progress_age=self.now - self.stepped_at if self.stepped_at else None,
            step=self.step if self.stepped_at and self.tells_step else None,
            total=self.training_total,
            phase=self.training_phase,
            checkpoint_mark=f"checkpoint-{written}" if written else "",
            checkpoint_age=1.0 if written else None,
            log_bytes=self.log_bytes if self.log_bytes else None,
        )

    def container_sight(self) -> ContainerSight:
        if self.container is Cause.CONTAINER_MISSING:
            return ContainerSight(
                read_at=self.now, image_present=self.image_present, volumes_present=True
            )
        exited = self.container in (Cause.CONTAINER_EXITED, Cause.CONTAINER_OOM)
        return ContainerSight(
            read_at=self.now,
            id=CONTAINER,
            name="colab",
            status=self.container_status
            or (ContainerStatus.EXITED if exited else ContainerStatus.RUNNING),
            health=self.health,
            started=f"life-{self.life}",
            started_at=float(self.life),
            finished_at=self.ended_at if exited else 0.0,
            stopped_by_person=self.stopped_by_person if exited else None,
            own_policy_at_work=self.own_policy,
            publish_as_configured=True,
        )


def healthy(**truth: object) -> World:
    """A world whose target has been up for some minutes."""
    world = World(**truth).start()  # type: ignore[arg-type]
    world.play(300)
    assert world.state.shown is State.UP, world.state
    world.applied.clear()
    world.applied_at.clear()
    world.facts.clear()
    world.dials.clear()
    return world


def session_policy(**fields: object) -> Policy:
    """A target whose runtime is a command in tmux."""
    return replace(Policy(kind=Kind.SESSION), **fields)  # type: ignore[arg-type]
