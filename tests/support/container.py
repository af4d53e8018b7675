"""GoMail in a container, as the image has it, with buildah as the engine.

Its processes are on the host's network, and are this machine's processes.
"""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess
from typing import Any, Self

from support.linux_process import children, kill_process
from support.requirement import require_program, require_root
from support.server import CHECKOUT, STOP_SECONDS, Command, Server

BUILD = CHECKOUT / "tools" / "image" / "build.sh"
BUILD_SECONDS = 600
COMMAND_SECONDS = 60
USER = 10001
DATA_DIR = "/var/lib/gomail/data"
OUTPUT_DIR = "/output"


class Image:
    """The image that is built from the files in `directory`; a context manager that removes it."""

    def __init__(self, name: str, directory: Path) -> None:
        require_root()
        for program in ("buildah", "debootstrap"):
            require_program(program)
        subprocess.run([BUILD, name, directory], check=True, timeout=BUILD_SECONDS)
        self.name = name
        inspected = json.loads(buildah("inspect", "--type", "image", name))
        self.config: dict[str, Any] = inspected["Docker"]["config"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        buildah("rmi", self.name)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that the image gives its processes."""
        return dict(variable.split("=", 1) for variable in self.config["Env"])

    @property
    def megabytes(self) -> float:
        """Its size, with that of the base image."""
        size, unit = buildah("images", "--format", "{{.Size}}", self.name).split()
        assert unit == "MB"
        return float(size)


class Container(Server):
    """A container of `image`, with `volume` for its data and `mounts` from host to container."""

    def __init__(
        self,
        directory: Path,
        image: Image,
        volume: Path,
        mounts: dict[Path, str] | None = None,
        **settings: object,
    ) -> None:
        super().__init__(directory, data_dir=volume)
        self._image = image
        self._name = buildah("from", "--pull-never", image.name)
        # With a volume of the image's own at the same place, buildah mounts now this, now that.
        buildah("config", "--volume", f"{DATA_DIR}-", self._name)
        self._settings: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "metrics_host": "127.0.0.1",
            "metrics_port": self.metrics_port,
            "workers": 2,
            "rate_limit_per_minute": 6000,
            "rate_limit_burst": 1000,
        } | settings
        self._output = new_volume(directory, "output")
        self._mounts = {volume: DATA_DIR, self._output: OUTPUT_DIR} | (mounts or {})

    def __exit__(self, *reason: object) -> None:
        try:
            super().__exit__(*reason)
        finally:
            buildah("rm", self._name)

    @property
    def pid(self) -> int:
        """The process id of the master, which buildah's own processes have started."""
        pid = self.process.pid
        while is_buildah(pid):
            [pid] = children(pid)
        return pid

    @property
    def root(self) -> Path:
        """The container's root directory, as this machine sees it."""
        return Path(buildah("mount", self._name))

    def launch(self, command: Command = (), cwd: Path = Path("/")) -> None:
        """Start what the image starts, without waiting for anything."""
        super().launch(self.command(command or self._image.config["Entrypoint"]), cwd)

    def start(self, command: Command = (), cwd: Path = Path("/")) -> Self:
        """Start what the image starts, and return when it is ready."""
        return super().start(command, cwd)

    def stop(self) -> int:
        """Ask the server to stop, as an engine does with the first process; return its status."""
        os.kill(self.pid, getattr(signal, self._image.config["StopSignal"]))
        return self.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End all processes of the container at once."""
        if self.is_running():
            for pid in descendants(self.process.pid):
                kill_process(pid)
            self.process.kill()
            self.process.wait()

    def run(self, *arguments: str, **settings: object) -> CompletedProcess[bytes]:
        """Run a program in this container, beside whatever else runs there."""
        # Into files, since about one time in 200 buildah loses what a program has written to it.
        script = f'exec "$@" >{OUTPUT_DIR}/stdout 2>{OUTPUT_DIR}/stderr'
        command = self.command(("sh", "-c", script, "sh", *arguments), **settings)
        done = subprocess.run(command, stderr=DEVNULL, check=False, timeout=COMMAND_SECONDS)
        output, errors = ((self._output / name).read_bytes() for name in ("stdout", "stderr"))
        return CompletedProcess(arguments, done.returncode, output, errors)

    def gomail(self, *arguments: object) -> CompletedProcess[bytes]:
        """Run `flask gomail …` in this container."""
        return self.run("flask", "gomail", *map(str, arguments))

    def command(self, arguments: Command, **settings: object) -> list[str | Path]:
        """Return the command that runs a program in this container."""
        variables = (self._settings | settings).items()
        return [
            *("buildah", "run", "--isolation", "chroot"),
            *(f"--env=MAIL_{key.upper()}={value}" for key, value in variables),
            *(f"--volume={source}:{target}" for source, target in self._mounts.items()),
            self._name,
            "--",
            *arguments,
        ]


def new_volume(directory: Path, name: str = "volume") -> Path:
    """Return a new directory below `directory` that the image's user can write to."""
    volume = directory / name
    volume.mkdir(mode=0o700)
    os.chown(volume, USER, USER)
    return volume


def checkout_copy(directory: Path) -> Path:
    """Copy to `directory` what Git knows of the checkout, or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in listed.rstrip("\0").split("\0"):
        if (CHECKOUT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, directory / name)
    return directory


def buildah(*arguments: str) -> str:
    """Return what buildah prints."""
    done = subprocess.run(
        ["buildah", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def is_buildah(pid: int) -> bool:
    """Tell whether the process `pid` is one of those with which buildah runs a command."""
    program = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
    return Path(os.fsdecode(program)).name.startswith("buildah")


def descendants(pid: int) -> list[int]:
    """Return the process ids of all that come from `pid`, the nearest first."""
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]
