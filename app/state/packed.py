"""Writes numbers to memory that processes share."""

from mmap import mmap
from struct import Struct


def write_packed(memory: mmap, offset: int, layout: Struct, *values: float) -> None:
    """Replace the numbers at `offset`.

    Unlike `pack_into`, which writes zeros first: others could read them, and a kill leave them.
    """
    memory[offset : offset + layout.size] = layout.pack(*values)
