"""The shapes of the outside world that probes, remedies, links and the loop are given.

Adapters implement them; tests run one class of tests on each adapter and on its fake.
Every call that can wait takes a ``Deadline`` and ends by it.
"""

from watchdogd.ports.clock import (
    Clock,
    Deadline,
)
from watchdogd.ports.link import (
    Completed,
    Forward,
    ForwardFacts,
    Link,
    LinkFacts,
    LinkNews,
    SshEngine,
    Stream,
    WideStream,
)
from watchdogd.ports.memory import (
    Journal,
    Kept,
    Recorder,
    Sink,
    StartLog,
)
from watchdogd.ports.reach import (
    LinkSource,
    LinkStatus,
    Outcome,
    ProbeFunction,
    Reach,
    Reading,
    RemedyFunction,
    RouteFacts,
)
from watchdogd.ports.server import (
    OWN_ANSWER_HEADER,
    ContainerAmbiguous,
    ContainerEngine,
    DeathNotice,
    EngineRefused,
    Guard,
    GuardAnswer,
    GuardOrder,
    GuardResult,
    HttpAnswer,
    HttpEnd,
    HttpGet,
    Sessions,
    Tokens,
)

__all__ = [
    "OWN_ANSWER_HEADER",
    "Clock",
    "Completed",
    "ContainerAmbiguous",
    "ContainerEngine",
    "Deadline",
    "DeathNotice",
    "EngineRefused",
    "Forward",
    "ForwardFacts",
    "Guard",
    "GuardAnswer",
    "GuardOrder",
    "GuardResult",
    "HttpAnswer",
    "HttpEnd",
    "HttpGet",
    "Journal",
    "Kept",
    "Link",
    "LinkFacts",
    "LinkNews",
    "LinkSource",
    "LinkStatus",
    "Outcome",
    "ProbeFunction",
    "Reach",
    "Reading",
    "Recorder",
    "RemedyFunction",
    "RouteFacts",
    "Sessions",
    "Sink",
    "SshEngine",
    "StartLog",
    "Stream",
    "Tokens",
    "WideStream",
]
