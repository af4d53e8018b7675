"""Imports each command only when it is used.

`messages list` and `show` have to finish within half a second, including the start of Python;
importing all commands would take longer than that.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that knows its commands by module and attribute, such as `app.cli.check:check`."""

    def __init__(self, *arguments: Any, places: Mapping[str, str], **named: Any) -> None:
        """Map the name of each command to its module and attribute in `places`."""
        super().__init__(*arguments, **named)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self._places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command with this name, None if there is none."""
        place = self._places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = place.partition(":")
        with _without_collections():
            command: click.Command = getattr(import_module(module), name)
        return command


@contextmanager
def _without_collections() -> Iterator[None]:
    # Modules live as long as the process. Collecting garbage during their import and at exit would
    # take a third of the time of `messages list`.
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
