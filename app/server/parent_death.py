"""Lets the kernel signal a child process when its parent has ended, however it ended."""

import ctypes
import os

_PR_SET_PDEATHSIG = 1


def signal_when_parent_ends(number: int, parent: int) -> None:
    """In a child, before anything else: get the signal `number` when `parent` ends.

    If it has already ended, this process ends.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)
