"""GoMail in a process of its own, as its users run it."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from email.message import Message
from itertools import cycle
from pathlib import Path
from typing import Any, Self, TypeVar

from support.linux_process import catches, children, ignores, kill_process, name_of
from support.samples import Samples
from support.started import Started

CHECKOUT = Path(__file__).parents[2]
FLASK = Path(sys.executable).with_name("flask")
GUNICORN = (sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "wsgi:app")
FLASK_SERVER = (FLASK, "gomail", "server")
START_SECONDS = 90  # the end of a hang and no bound: with others on the machine, 30 weren't enough
STOP_SECONDS = 40

# Tests that run beside these, each in a process called gw0, gw1 and so on, have other ports.
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FIRST_PORT = 20_000 + 1_000 * _PROCESS
_PORTS = cycle(random.sample(range(_FIRST_PORT, _FIRST_PORT + 1_000), 1_000))


Command = Sequence[str | Path]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Server(Started):
    """One server below `directory`, which can be started again and again on the same data.

    `settings` become MAIL_* variables; None leaves one of the defaults here unset. As a context
    manager it ends what it started and prints what that wrote, for the report of a failed test.
    """

    def __init__(self, directory: Path, **settings: object) -> None:
        self.data_dir = Path(str(settings.get("data_dir") or directory / "data"))
        self.output_file = directory / "stdout"
        self.error_file = directory / "stderr"
        self.port = free_port()
        self.metrics_port = int(str(settings.get("metrics_port") or free_port()))
        given: dict[str, object] = {
            "port": self.port,
            "data_dir": self.data_dir,
            "metrics_port": self.metrics_port,
            "workers": 2,
            "rate_limit_per_minute": 0,
            "api_rate_limit_per_minute": 0,
        } | settings
        self.environment = clean_environment() | {
            f"MAIL_{key.upper()}": str(value) for key, value in given.items() if value is not None
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.is_running():
                self.stop()
        finally:
            self.kill()
            for file in filter(Path.exists, (self.output_file, self.error_file)):
                print(f"--- {file}\n{file.read_text(encoding='utf-8', errors='replace')}")

    @property
    def url(self) -> str:
        """The address that clients use, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """The first valid bearer token."""
        configured = self.environment.get("MAIL_BEARER_TOKEN", "").split(",")[0]
        return configured or (self.data_dir / "token").read_text(encoding="ascii").strip()

    @property
    def api_token(self) -> str:
        """The first valid API token."""
        configured = self.environment.get("MAIL_API_TOKEN", "").split(",")[0]
        return configured or (self.data_dir / "api-token").read_text(encoding="ascii").strip()

    @property
    def pid(self) -> int:
        """The process id of the master."""
        return self.process.pid

    def is_running(self) -> bool:
        """Tell whether the master lives."""
        return self._started is not None and self._started.poll() is None

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers at this moment.

        SIGHUP ends one; the other children of the master ignore it.
        """
        return [pid for pid in children(self.pid) if not ignores(pid, signal.SIGHUP)]

    def settled_workers(self) -> set[int]:
        """Return the process ids of the workers, none while a child of the master still begins."""
        pids = self.worker_pids()
        return set() if any(catches(pid, signal.SIGHUP) for pid in pids) else set(pids)

    def metrics_pid(self) -> int | None:
        """Return the process id of the metrics port; None while there is none."""
        return self._child("metrics")

    def retention_pid(self) -> int | None:
        """Return the process id of retention; None while there is none."""
        return self._child("retention")

    def delivery_pid(self) -> int | None:
        """Return the process id of deliveries; None while there is none."""
        return self._child("deliveries")

    def delivery_pids(self) -> list[int]:
        """Return the process ids of deliveries: after a reload, the last one may still finish."""
        return [pid for pid in children(self.pid) if name_of(pid) == "deliveries"]

    def _child(self, name: str) -> int | None:
        found = [pid for pid in children(self.pid) if name_of(pid) == name]
        return found[0] if found else None

    def start(self, command: Command = GUNICORN, cwd: Path = CHECKOUT) -> Self:
        """Start the server and return it when it is ready."""
        self.launch(command, cwd)
        wait_for(self._is_ready, START_SECONDS)
        wait_for(self._has_all_workers, START_SECONDS)
        wait_for(self._has_metrics_port, START_SECONDS)
        return self

    def launch(self, command: Command = GUNICORN, cwd: Path = CHECKOUT) -> None:
        """Start the process without waiting for anything."""
        with self.output_file.open("ab") as output, self.error_file.open("ab") as errors:
            self._started = subprocess.Popen(
                command,
                cwd=cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Return the exit code once the process has ended."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """Ask the server to stop as an operator would, and return its exit code."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """End master and children at once, as the kernel does when memory runs out."""
        if not self.is_running():
            return
        self.process.send_signal(signal.SIGSTOP)  # it must not replace the workers meanwhile
        for pid in children(self.pid):
            kill_process(pid)
        super().kill()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 30,
    ) -> Answer:
        """Return the answer to one request on a connection of its own."""
        return _exchange(self.port, seconds, method, path, body, dict(headers or {}))

    def deliver(
        self, raw: bytes | str, content_type: str = "message/rfc822", **headers: str
    ) -> Answer:
        """Post `raw` with the token; the header X-Original-Sender is written X_Original_Sender."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        fixed = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        return self.request("POST", "/mail/inbound", raw, fixed | named)

    def scrape(self, path: str = "/metrics", seconds: float = 30) -> Samples:
        """Return the samples that the metrics port tells."""
        answer = self.get_metrics(path, seconds=seconds)
        assert answer.status == 200, answer.body
        return Samples(answer.body.decode())

    def get_metrics(
        self,
        path: str = "/metrics",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        seconds: float = 30,
    ) -> Answer:
        """Return the answer of the metrics port."""
        return _exchange(self.metrics_port, seconds, method, path, None, dict(headers or {}))

    def connect(self, seconds: float = 30) -> socket.socket:
        """Return a connected socket for bytes that no HTTP library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def output(self) -> list[str]:
        """Return the lines on standard output so far, of all starts."""
        return self.output_file.read_text(encoding="utf-8").splitlines()

    def log(self) -> list[dict[str, Any]]:
        """Return the log so far: each line of standard output as the JSON object that it is."""
        return [json.loads(line) for line in self.output()]

    def errors(self) -> str:
        """Return what was written to standard error so far."""
        return self.error_file.read_text(encoding="utf-8")

    def gomail(self, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        """Run `flask gomail …` with the settings of this server, in another directory."""
        return subprocess.run(
            [FLASK, "gomail", *map(str, arguments)],
            cwd=self.output_file.parent,
            env=self.environment,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def _is_ready(self) -> bool:
        if not self.is_running():
            raise AssertionError(
                f"The server ended with {self.process.returncode}: {self.errors()}"
            )
        with suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/ready", seconds=5).status == 200
        return False

    def _has_all_workers(self) -> bool:
        # A worker loses a SIGTERM that comes before it has replaced the master's handlers, of
        # which the one for SIGHUP has no successor.
        settled = [pid for pid in self.worker_pids() if not catches(pid, signal.SIGHUP)]
        return len(settled) >= self._workers()

    def _has_metrics_port(self) -> bool:
        beside = 1 + len(self.delivery_pids())
        if len(children(self.pid)) <= self._workers() + beside:
            return True  # metrics are off
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.metrics_port)) == 0

    def _workers(self) -> int:
        return int(self.environment.get("MAIL_WORKERS", "1"))


NewServer = Callable[..., Server]


def _exchange(
    port: int, seconds: float, *request: *tuple[str, str, bytes | str | None, dict[str, str]]
) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        connection.request(*request)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def clean_environment() -> dict[str, str]:
    """Return this process's environment without any setting for GoMail or Flask."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAIL_", "FLASK_", "GUNICORN_"))
    }


def free_port() -> int:
    """Return a port that nothing listens on, and that nobody else here is about to use.

    The kernel's own choice would be one of those that it gives to clients as well, a moment later.
    """
    while True:
        port = next(_PORTS)  # never the one that somebody was told a moment ago
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_for(condition: Callable[[], Result | None], seconds: float = 10) -> Result:
    """Return the first true result of `condition`; fail when there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{condition} did not come true within {seconds} seconds")
