"""A real Prometheus with the repository's rules, scraping one agent every second."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.lab.asking import fetch
from tests.lab.closing import Closing
from tests.lab.needs import free_port, programs
from tests.lab.queries import RULES
from tests.lab.sshd import stop_process
from tests.lab.waiting import until
from watchdogd.settings import Address

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}/*.yaml"]
scrape_configs:
  - job_name: watchdogd
    static_configs: [{{targets: ["{agent}"]}}]
"""


class Prometheus(Closing):
    """Starts in the constructor; ``close`` ends it and removes its data."""

    def __init__(self, agent: Address) -> None:
        programs("prometheus")
        self.folder = Path(tempfile.mkdtemp(prefix="watchdogd-prometheus-"))
        rules = self.folder / "rules"
        rules.mkdir()
        for file in RULES.glob("*.yaml"):
            text = file.read_text().replace(
                "    interval: 30s\n", ""
            )  # else half a minute is awaited
            (rules / file.name).write_text(text)
        (self.folder / "prometheus.yml").write_text(CONFIG.format(rules=rules, agent=agent))
        self.address = Address("127.0.0.1", free_port())
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self.folder}/prometheus.yml",
                    f"--storage.tsdb.path={self.folder}/data",
                    f"--web.listen-address={self.address}",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            until(self._ready, "Prometheus is ready")
        except BaseException:
            self.close()
            raise

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            return fetch(self.address, "/-/ready")[0] == 200
        except OSError:
            return False

    def ask(self, path: str, **params: object) -> Any:
        """The ``data`` of an answer of its API; an error fails with its own words."""
        query = urllib.parse.urlencode(params).encode()
        url = f"http://{self.address}/api/v1/{path}"
        request = urllib.request.Request(url, data=query or None)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{params}: {error.read().decode()}") from None

    def now(self, expr: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found

    def value(self, expr: str) -> float | None:
        """The one value of an instant query; ``None`` if there is no series."""
        found = self.now(expr)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def over(self, expr: str, start: float, end: float) -> list[dict[str, Any]]:
        """The series of a query over a time, in steps of a second."""
        found: list[dict[str, Any]] = self.ask(
            "query_range", query=expr, start=start, end=end, step="1s"
        )["result"]
        return found

    def close(self) -> None:
        """End it."""
        stop_process(self._process)
        shutil.rmtree(self.folder, ignore_errors=True)
