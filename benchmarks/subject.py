"""The servers that are compared, each started with the same number of processes and threads."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
WORKERS, THREADS = 2, 8
START_SECONDS = 20
TICKS = os.sysconf("SC_CLK_TCK")
TOKEN = "the-token-of-this-benchmark"
API_TOKEN = "the-api-token-of-this-benchmark"


@dataclass
class Subject:
    """One server in a process tree of its own; a context manager."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "Subject":
        # A new directory each time: deleting many files slows down whoever makes files next.
        self.directory = Path(tempfile.mkdtemp(prefix="gomail-benchmark-"))
        self.port, metrics_port = free_ports(2)
        known = {
            "BENCHMARK_DIRECTORY": str(self.directory),
            "PORT": str(self.port),
            "METRICS_PORT": str(metrics_port),
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAIL_")}
        started_at = time.monotonic()
        with (self.directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [part.format(**known) for part in self.command],
                env=clean
                | {"PYTHONPATH": f"{CHECKOUT}:{HERE / 'subjects'}"}
                | known
                | {name: value.format(**known) for name, value in self.environment.items()},
                cwd=self.directory,  # where no gunicorn.conf.py is found by itself
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._wait_for_answer()
        self.start_seconds = time.monotonic() - started_at
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self.directory)

    @property
    def url(self) -> str:
        """Where messages go."""
        return f"http://127.0.0.1:{self.port}/mail/inbound"

    def cpu_seconds(self) -> float:
        """Return what all its processes have used."""
        return sum(map(process_cpu_seconds, self._tree()))

    def memory_bytes(self) -> int:
        """Return what all its processes have in RAM of their own, and their share of the rest."""
        return sum(map(proportional_memory, self._tree()))

    def worker(self) -> int:
        """Return the process id of the only worker, which has the name of the master."""
        [pid] = [each for each in self._tree()[1:] if name_of(each) == name_of(self._process.pid)]
        return pid

    def child(self, name: str) -> int:
        """Return the process id of the child with this name, once there is one."""
        while True:
            for pid in self._tree():
                if name_of(pid) == name:
                    return pid
            time.sleep(0.01)

    def _tree(self) -> list[int]:
        master = self._process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready"):
                    return
            except urllib.error.HTTPError:
                return  # the floor knows one path only
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"{self.name} hasn't started: {(self.directory / 'output').read_text()}")


def subjects() -> list[Subject]:
    """Return A, B and C, not started."""
    gunicorn = [sys.executable, "-m", "gunicorn"]
    plain = [*gunicorn, "--worker-class", "gthread", "--workers", str(WORKERS)]
    plain += ["--threads", str(THREADS), "--keep-alive", "60", "--no-control-socket"]
    plain += ["--bind", "127.0.0.1:{PORT}"]
    settings = {
        "MAIL_PORT": "{PORT}",
        "MAIL_DATA_DIR": "{BENCHMARK_DIRECTORY}/data",
        "MAIL_METRICS_PORT": "{METRICS_PORT}",
        "MAIL_WORKERS": str(WORKERS),
        "MAIL_THREADS": str(THREADS),
        "MAIL_BEARER_TOKEN": TOKEN,
        "MAIL_RATE_LIMIT_PER_MINUTE": "1000000",
        "MAIL_RATE_LIMIT_BURST": "1000000",
        "MAIL_LOG_FORMAT": "json",
    }
    return [
        Subject("A floor", [*plain, "floor:app"]),
        Subject("B usual", [*plain, "usual:app"]),
        Subject(
            "C GoMail",
            [*gunicorn, "--config", str(CHECKOUT / "gunicorn.conf.py"), "wsgi:app"],
            settings,
        ),
    ]


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    [port] = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Return different ports of loopback that nothing listens on."""
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in listeners]


def name_of(pid: int) -> str:
    """Return the name of a process, as `ps` shows it."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def process_cpu_seconds(pid: int) -> float:
    """Return the user and system time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def proportional_memory(pid: int) -> int:
    """Return the proportional set size of one process in bytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kilobytes = next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(kilobytes) * 1024
