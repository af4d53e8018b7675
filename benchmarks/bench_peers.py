"""From SMTP to disk through Postfix's pipe(8), with GoMail and with scripts that store files.

`python benchmarks/bench_peers.py`. All have the same Postfix, the same lines of main.cf and
master.cf and the same load; only what pipe(8) runs differs. They take turns; the figures are
medians. Needs root, as Postfix does.
"""

import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from piped_mail import (
    ALONE,
    BYTES,
    GOMAIL,
    MESSAGES,
    PEERS,
    SESSIONS,
    STARTING,
    Figures,
    Peer,
    run,
)
from subject import CHECKOUT, THREADS, WORKERS
from support.postfix_server import USER

PAGE = CHECKOUT / "docs" / "benchmarks.md"
SECTION = re.compile(r"^## Beside a script in Postfix\n.*?(?=^## )", re.MULTILINE | re.DOTALL)
ROUNDS = 5
HEAD = """\
## Beside a script in Postfix

Mail from SMTP to disk. Postfix hands each one to pipe(8) with the lines that `flask gomail
postfix-config` prints, which start up to {at_once} scripts at once; only the script differs.
smtp-source sends {messages} mails of {kib} KiB over {sessions} connections; the time ends when
Postfix's queue is empty. CPU ms is the CPU time that all processes but smtp-source take for one
mail; "over Postfix" is what that is more than for Postfix alone. Medians of {rounds} rounds;
`make bench-peers` measures this table only.

| | mails/s (from, to) | GoMail / this | CPU ms | over Postfix |
|---|---|---|---|---|
"""
TAIL = """
Starting sh and curl is {part} of the CPU time that a mail for GoMail takes over Postfix:
{starting} of {relayed} ms, {share} %. GoMail's server takes {server} ms; the rest, {rest} ms, is
what sh and curl do. The script without fsync promises less: a power failure can lose mail that
Postfix has removed from its queue. The tables below have neither Postfix nor scripts.

"""


def main() -> None:
    """Print the section; write it to the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help=f"write it to {PAGE.name}")
    options = parser.parse_args()
    found = section(options.rounds)
    print(found)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(SECTION.sub(lambda _: found, page), encoding="utf-8")


def section(rounds: int = ROUNDS) -> str:
    """Return the section of docs/benchmarks.md about scripts, measured now."""
    if os.geteuid() != 0:
        sys.exit("this needs root, as Postfix does")
    for program in ("postfix", "smtp-source", "curl"):
        shutil.which(program) or sys.exit(f"{program} isn't installed")
    found = measure(rounds)
    medians = {peer: median(figures) for peer, figures in found.items()}
    head = HEAD.format(
        at_once=WORKERS * THREADS,
        messages=f"{MESSAGES:,}",
        kib=BYTES // 1024,
        sessions=SESSIONS,
        rounds=rounds,
    )
    rows = [row(peer, [each.rate for each in found[peer]], medians) for peer in PEERS]
    return "".join([head, *rows, tail(medians)])


def measure(rounds: int) -> dict[Peer, list[Figures]]:
    """Return the figures of each round of each peer."""
    found: dict[Peer, list[Figures]] = {peer: [] for peer in PEERS}
    # Removed at the end: deleting many files slows down whoever makes files next.
    with tempfile.TemporaryDirectory(prefix="gomail-benchmark-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # the scripts' user has to pass through it
        for number in range(rounds):
            shift = number % len(PEERS)
            for peer in PEERS[shift:] + PEERS[:shift]:
                kept = Path(tempfile.mkdtemp(dir=directory))
                shutil.chown(kept, USER)
                figures = run(peer, kept)
                found[peer].append(figures)
                print(f"{peer.name}: {figures.rate:.0f}/s, {figures.cpu_ms:.1f} ms", flush=True)
    return found


def median(rounds: list[Figures]) -> Figures:
    """Return the median of each figure."""
    names = Figures.__dataclass_fields__
    return Figures(
        **{name: statistics.median(getattr(each, name) for each in rounds) for name in names}
    )


def row(peer: Peer, rates: list[float], medians: Mapping[Peer, Figures]) -> str:
    own = medians[peer]
    cells = [
        peer.name,
        f"{own.rate:.0f} ({min(rates):.0f} to {max(rates):.0f})",
        f"{medians[GOMAIL].rate / own.rate:.2f}",
        f"{own.cpu_ms:.1f}",
        f"{own.cpu_ms - medians[ALONE].cpu_ms:.1f}",
    ]
    return f"| {' | '.join(cells)} |\n"


def tail(medians: Mapping[Peer, Figures]) -> str:
    """Return what the table shows, in words."""
    alone, starting, relayed = (medians[peer].cpu_ms for peer in (ALONE, STARTING, GOMAIL))
    server = medians[GOMAIL].server_ms
    share = (starting - alone) / (relayed - alone)
    return TAIL.format(
        part="most" if share > 0.5 else "less than half",
        starting=f"{starting - alone:.1f}",
        relayed=f"{relayed - alone:.1f}",
        share=f"{share * 100:.0f}",
        server=f"{server:.1f}",
        rest=f"{relayed - starting - server:.1f}",
    )


if __name__ == "__main__":
    main()
