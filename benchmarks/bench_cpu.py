"""How many calls a request makes, by part: `python benchmarks/bench_cpu.py`.

A count, not a time, so that two runs agree whatever else the machine does. A is the floor, a Flask
view that reads the body and answers; C is GoMail with everything on. Each has one worker, and gets
one message of 4 KiB after another on one connection.
"""

import argparse
import http.client
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from subject import CHECKOUT, HERE, TOKEN, Subject, subjects

WARM_UP, COUNTED = 200, 1000
ALLOWED_RISE = 1.03
WRITE_SECONDS = 10
PAGE = CHECKOUT / "docs" / "benchmarks.md"
KNOWN = re.compile(r"^\| all \| \d+ \+ \d+ \| (\d+) \+ \d+ \|$", re.MULTILINE)
SECTION = re.compile(r"^## Calls a request\n.*?(?=^## )", re.MULTILINE | re.DOTALL)
TABLE_HEAD = """\
## Calls a request

How many functions a request of 4 KiB calls, Python + C, by part; the same in every run on one
version of Python. `make bench-cpu` shows it.

| part | A floor | C GoMail |
|---|---|---|
"""
HEAD = b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: Hello\r\n\r\n"
RAW = HEAD.ljust(4096, b"x")
KINDS = ("call", "c_call")

Calls = Mapping[str, Mapping[str, float]]


def main() -> int:
    """Print the figures; with --check, return 1 if there are more calls than the page says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"compare with {PAGE.name}")
    parser.add_argument("--write", action="store_true", help=f"write them to {PAGE.name}")
    options = parser.parse_args()
    found = section()
    print(found)
    page = PAGE.read_text(encoding="utf-8")
    if options.write:
        PAGE.write_text(SECTION.sub(lambda _: found, page), encoding="utf-8")
    return is_more(found, page) if options.check else 0


def section() -> str:
    """Return the section of docs/benchmarks.md about calls, measured now."""
    floor, _, gomail = subjects()
    a, c = calls(counted(floor)), calls(counted(gomail))
    parts = sorted(c, key=lambda each: -sum(c[each].values()))
    rows = [f"| {part} | {shown(a[part])} | {shown(c[part])} |\n" for part in parts]
    return "".join([TABLE_HEAD, *rows, f"| all | {shown(total(a))} | {shown(total(c))} |\n\n"])


def counted(subject: Subject) -> Subject:
    """Return a subject with one worker and thread that counts its calls."""
    command = [re.sub(r"^[28]$", "1", part) for part in subject.command]
    environment = {
        "COUNTED_FROM": str(WARM_UP),
        "COUNTED_UNTIL": str(WARM_UP + COUNTED),
        "COUNTED_FILE": "{BENCHMARK_DIRECTORY}/calls.json",
    }
    counting = str(HERE / "subjects" / "counting.py")
    if "--config" in command:
        at = command.index("--config") + 1
        environment |= {"COUNTED_CONFIG": command[at], "MAIL_WORKERS": "1", "MAIL_THREADS": "1"}
        command[at] = counting
    else:
        command = [*command[:-1], "--config", counting, command[-1]]
    return replace(subject, command=command, environment=subject.environment | environment)


def calls(subject: Subject) -> Calls:
    """Return how often each part is called in a request."""
    with subject as running:
        send(running.port)
        file = running.directory / "calls.json"
        until = time.monotonic() + WRITE_SECONDS  # it is written after the last answer
        while not file.exists():
            if time.monotonic() > until:
                raise SystemExit(f"{subject.name} has counted nothing")
            time.sleep(0.01)
        found: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(KINDS, 0.0))
        for part, kind, number in json.loads(file.read_text(encoding="utf-8")):
            found[part][kind] = number / COUNTED
        return found


def send(port: int) -> None:
    """Send the messages; ends the program unless each one is taken."""
    fixed = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "message/rfc822"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for number in range(WARM_UP + COUNTED):
            headers = fixed | {"Idempotency-Key": f"message-{number:05}"}
            connection.request("POST", "/mail/inbound", RAW, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"{answer.status} answered: the figures are worthless.")


def total(found: Calls) -> Mapping[str, float]:
    return {kind: sum(each[kind] for each in found.values()) for kind in KINDS}


def shown(calls: Mapping[str, float]) -> str:
    return " + ".join(f"{calls[kind]:.0f}" for kind in KINDS)


def is_more(found: str, page: str) -> int:
    """Return 1, and say so, if GoMail makes more calls in Python than `page` says."""
    known, now = KNOWN.search(page), KNOWN.search(found)
    if not known or not now:
        raise SystemExit(f"{PAGE.name} doesn't say how many calls a request makes")
    if int(now[1]) <= int(known[1]) * ALLOWED_RISE:
        return 0
    print(f"That is more than 3 % over the {known[1]} of {PAGE.name}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
