"""What reads the log may stand still, and what a server sent may stand in it: neither does harm."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest
import structlog

from watchdogd.sinks import log, outlet
from watchdogd.sinks.redact import Redactor


@pytest.fixture
def handlers() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    logging.getLogger("watchdogd").setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


@pytest.mark.usefixtures("handlers")
def test_a_reader_that_stands_still_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "PATIENCE", 0.05)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as read, os.fdopen(writer, "w") as out:
        log.configure("json", "info", list, stream=out)
        loop = threading.Thread(target=_say, args=(500,))
        loop.start()
        loop.join(10)
        stuck = loop.is_alive()
        os.set_blocking(reader, False)
        first = read.read()
        loop.join(10)
        assert not stuck
        logging.getLogger("watchdogd.x").info("heard again")
        lines = [json.loads(line) for line in read.read().splitlines()]
    written = first.count(b"\n")
    assert 0 < written < 500
    assert [line["event"] for line in lines][-1] == "heard again"
    assert lines[-2]["lost"] == 500 - written


def _say(count: int) -> None:
    for number in range(count):
        logging.getLogger("watchdogd.x").info("%d %s", number, "x" * 200)


@pytest.mark.usefixtures("handlers")
def test_a_servers_text_neither_steers_the_terminal_nor_forges_a_line() -> None:
    out = io.StringIO()
    log.configure("console", "info", list, stream=out)
    logging.getLogger("watchdogd.x").info("held by %s", "\x1b]0;mine\x07\n2026 [info] all is well")
    structlog.stdlib.get_logger("watchdogd.x").info("failed", detail="said: \x1b[2J\nfine")
    try:
        int("odd")
    except ValueError:
        logging.getLogger("watchdogd.x").exception("broken")
    text = out.getvalue()
    assert "\x1b" not in text
    assert "\x07" not in text
    lines = text.splitlines()
    assert "all is well" in lines[0]
    assert "fine" in lines[1]
    assert any(line.startswith("ValueError:") for line in lines)  # a traceback keeps its lines


@pytest.mark.parametrize("text", ["x" * 100_000, "token" * 20_000, "a://" * 25_000])
def test_a_long_text_is_redacted_in_no_time(text: str) -> None:
    begun = time.monotonic()
    assert Redactor(list).text(text) == text
    assert time.monotonic() - begun < 2.0
