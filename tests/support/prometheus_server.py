"""A Prometheus server on loopback that scrapes one GoMail server."""

import json
import subprocess
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import yaml
from support.requirement import require_program
from support.server import Server, free_port, wait_for
from support.started import Started

START_SECONDS = 20
SCRAPE_SECONDS = 1
QUERY_SECONDS = 10


class PrometheusServer(Started):
    """One server with an empty database; a context manager, which ends what it started."""

    def __init__(self, directory: Path, server: Server) -> None:
        """`server` is what it scrapes; `directory` is for its files alone."""
        self.program = require_program("prometheus")
        self.directory = directory
        self.port = free_port()
        self.target = f"127.0.0.1:{server.environment['MAIL_METRICS_PORT']}"

    def __enter__(self) -> Self:
        (self.directory / "prometheus.yml").write_text(yaml.safe_dump(self._configuration()))
        with (self.directory / "log").open("wb") as log:
            self._started = subprocess.Popen(
                [
                    self.program,
                    f"--config.file={self.directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(lambda: self.value("up") == 1, START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the samples that `expression` gives now: each its labels and its value."""
        question = urllib.parse.urlencode({"query": expression})
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{question}"
        with urllib.request.urlopen(url, timeout=QUERY_SECONDS) as answer:
            found = json.load(answer)["data"]["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def value(self, expression: str) -> float | None:
        """Return the only value that `expression` gives; None when there is none yet."""
        with suppress(OSError):
            samples = self.query(expression)
            assert len(samples) <= 1
            return samples[0][1] if samples else None
        return None

    def scrapes(self) -> float:
        """Return how many scrapes it has stored."""
        return self.value("count_over_time(up[1h])") or 0

    def wait_for_scrape(self) -> None:
        """Return when a scrape that began after this call has been stored."""
        # The one that is under way may have begun before.
        enough = self.scrapes() + 2
        wait_for(lambda: self.scrapes() >= enough, START_SECONDS)

    def _configuration(self) -> dict[str, Any]:
        return {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
            "scrape_configs": [
                {"job_name": "gomail", "static_configs": [{"targets": [self.target]}]}
            ],
        }
