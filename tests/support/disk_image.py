"""An ext4 file system in a file, whose power can be cut and which can break."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

from support.requirement import require, require_program, require_root
from support.server import Command, wait_for

IMAGE_BYTES = 1024**3  # most of it is never written, and takes no room
SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
WITHOUT_LOG_FLUSH = 2
# Long, so that nothing is durable only because the kernel happened to write it in time.
COMMIT_SECONDS = 300


class DiskImage:
    """A file system that is mounted at `directory`."""

    def __init__(self, image: Path, directory: Path) -> None:
        self._image = image
        self.directory = directory

    def mount(self) -> CompletedProcess[str]:
        """Mount it, as after a start of the machine; the journal is replayed."""
        options = f"loop,commit={COMMIT_SECONDS},errors=remount-ro"
        command: Command = [
            "mount",
            "-t",
            "ext4",
            "-o",
            options,
            self._image,
            self.directory,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def cut_power(self) -> None:
        """Let nothing more reach the disk, neither data nor journal."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def break_down(self) -> None:
        """Report a fault to the kernel, which makes the file system read-only."""
        device = Path(self._device()).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("test", encoding="ascii")

    def unmount(self) -> None:
        """Unmount it as soon as the last process that used it has ended."""
        wait_for(lambda: self._umount() == 0)

    def mount_again(self) -> None:
        """Return from a power cut, when all processes that used it are gone."""
        self.unmount()
        mounted = self.mount()
        assert mounted.returncode == 0, mounted.stderr

    def repair(self) -> None:
        """Unmount, check and mount it, as an operator does after a fault."""
        self.unmount()
        subprocess.run(["e2fsck", "-fy", self._image], capture_output=True, check=False)
        assert self.mount().returncode == 0

    def _umount(self) -> int:
        command: Command = ["umount", self.directory]
        return subprocess.run(command, capture_output=True, check=False).returncode

    def _device(self) -> str:
        command: Command = [
            "findmnt",
            "--noheadings",
            "--output",
            "SOURCE",
            self.directory,
        ]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return found.stdout.strip()


@contextmanager
def mounted_disk_image(directory: Path) -> Iterator[DiskImage]:
    """Make `directory` and mount a new DiskImage there."""
    require_root()
    make = require_program("mkfs.ext4")
    directory.mkdir()
    image = directory.with_name(f"{directory.name}.image")
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run([make, "-q", "-F", image], check=True)
    disk = DiskImage(image, directory)
    mounted = disk.mount()
    require(mounted.returncode == 0, f"a file can't be mounted: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", directory], capture_output=True, check=False)
        image.unlink()
