"""A Redis server on loopback that can be killed and started again."""

import subprocess
from contextlib import closing
from pathlib import Path
from typing import Self

from redis import Redis, RedisError
from support.requirement import require_program
from support.server import free_port, wait_for
from support.started import Started

START_SECONDS = 10


class RedisServer(Started):
    """One server that keeps nothing; a context manager, which ends what it started."""

    def __init__(self, directory: Path) -> None:
        self.program = require_program("redis-server")
        self.directory = directory
        self.port = free_port()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """What rate_limit_url is set to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start the server and return it when it answers."""
        options = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self.directory,
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        self._started = subprocess.Popen(
            [self.program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_for(self._answers, START_SECONDS)
        return self

    def client(self) -> closing[Redis]:
        """Return a connection that is to be closed."""
        return closing(Redis.from_url(self.url, socket_timeout=5))

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return client.ping()
            except RedisError:
                return False
