"""What a test needs of the machine it runs on."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def require(available: object, reason: str) -> None:
    """Skip the test with `reason` unless `available`; with GOMAIL_REQUIRE_ALL=1 fail it."""
    if available:
        return
    if os.environ.get("GOMAIL_REQUIRE_ALL") == "1":
        pytest.fail(f"GOMAIL_REQUIRE_ALL=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def require_program(name: str) -> str:
    """Skip or fail unless the program `name` is installed; return its path.

    A package that Python has installed may have it, beside the interpreter.
    """
    own = str(Path(sys.executable).parent)
    path = shutil.which(name) or shutil.which(name, path=own)
    require(path, f"the program {name} is missing")
    assert path is not None
    return path


def require_root() -> None:
    """Skip or fail unless the tests run as root."""
    require(os.geteuid() == 0, "this needs root")
