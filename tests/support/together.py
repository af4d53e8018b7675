"""Processes that do the same at the same moment."""

import subprocess
import sys
from contextlib import ExitStack

READY = "import sys; print('ready', flush=True); sys.stdin.read()\n"


def outputs_of_all(code: str, argument_lists: list[list[str]]) -> list[str]:
    """Run `code` once with each of the arguments, at the same moment; return what each prints.

    What is above a line `# at once` is done before that moment.
    """
    before, _, at_once = code.rpartition("# at once\n")
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", before + READY + at_once, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for arguments in argument_lists
        ]
        pipes = [(each.stdin, each.stdout) for each in processes if each.stdin and each.stdout]
        for _, output in pipes:
            assert output.readline() == "ready\n"
        for begin, _ in pipes:
            begin.close()
        printed = [output.read() for _, output in pipes]
    assert [process.returncode for process in processes] == [0] * len(argument_lists)
    return printed
