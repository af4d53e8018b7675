"""A program that a test starts, maybe more than once."""

import subprocess


class Started:
    """What all of them have; each kind sets `_started` when it starts."""

    _started: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._started is not None, "it was never started"
        return self._started

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
