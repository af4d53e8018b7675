"""A private Postfix on loopback that hands its mail to GoMail; needs root, as Postfix does."""

import json
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from support.requirement import require_program, require_root
from support.server import CHECKOUT, FLASK, free_port, wait_for

START_SECONDS = 10
QUEUE_SECONDS = 60
FLUSH_SECONDS = 0.5
POSTFIX_IN = Path("/usr/lib/postfix/sbin")
SENDER = "sender@sender.test"  # its domain is known here, and what is sent there is dropped
USER = "nobody"
POSTFIX_PAGE = CHECKOUT / "docs" / "postfix.md"

_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.test.invalid
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
relay_domains = sender.test
default_transport = discard:
transport_maps = inline:{{ sender.test=discard: }}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_peername_lookup = no
allow_min_user = yes
smtp_dns_support_level = disabled
maillog_file = {home}/log/mail.log
maillog_file_prefixes = {home}
minimal_backoff_time = 1h
maximal_backoff_time = 1h
queue_run_delay = 1h
"""

_MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 3600 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Outcome:
    """One attempt to deliver: the enhanced status code, sent, deferred or bounced, and why."""

    code: str
    status: str
    text: str


class Receiver(Protocol):
    """What gets the mail: a GoMail server's address without a path, token and MAIL_* variables."""

    @property
    def url(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def environment(self) -> Mapping[str, str]: ...


class PostfixServer:
    """One instance; a context manager, which ends what it started and removes its files.

    Deferred mail waits until `flush`: no clock of Postfix's own takes part in a test.
    """

    def __init__(self, server: Receiver, url: str | None = None, *, quiet: bool = False) -> None:
        """`server` gets the mail for its own domains, at `url`.

        Unless `quiet`, the log is printed at the end, for the report of a failed test.
        """
        require_program("postfix")
        require_root()
        self._server = server
        self._quiet = quiet
        self._url = url or f"{server.url}/mail/inbound"
        self.port = free_port()
        # Not in pytest's own directory, which Postfix's users can't pass through.
        self.home = Path(tempfile.mkdtemp(prefix="gomail-postfix-"))

    def __enter__(self) -> Self:
        try:
            self._make_files()
            self._run("postfix", "start")
            wait_for(self._listens, START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(self._command("postfix", "stop"), capture_output=True, check=False)
        if not self._quiet:
            print(f"--- mail.log\n{self.log()}")
        shutil.rmtree(self.home)

    @property
    def relay(self) -> Path:
        """The copy of gomail-relay that Postfix runs."""
        return self.home / "gomail-relay"

    @property
    def token_file(self) -> Path:
        """The file with the token that gomail-relay reads."""
        return self.home / "token"

    def send(self, raw: bytes, recipients: Sequence[str], sender: str = SENDER) -> None:
        """Hand a message to Postfix, and return when it has taken it."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            refused = client.sendmail(sender, recipients, raw, mail_options=["BODY=8BITMIME"])
            assert not refused

    def set_token(self, token: str) -> None:
        """Let gomail-relay use `token` from now on."""
        self.token_file.write_text(f"{token}\n")
        shutil.chown(self.token_file, USER)
        self.token_file.chmod(0o400)

    def set_option(self, name: str, value: object) -> None:
        """Set an option of main.cf in the running instance."""
        self._run("postconf", "-e", f"{name}={value}")
        self._run("postfix", "reload")

    def flush(self) -> None:
        """Try to deliver all that waits now."""
        self._run("postqueue", "-f")

    def deliver_all(self) -> None:
        """Try until nothing waits any more."""
        deadline = time.monotonic() + QUEUE_SECONDS
        while self.queue():
            assert time.monotonic() < deadline, self.queue()
            self.flush()
            time.sleep(FLUSH_SECONDS)  # the queue manager skips what it has just been told of

    def queue(self) -> list[dict[str, Any]]:
        """Return what waits: each message as `postqueue -j` describes it."""
        listed = self._run("postqueue", "-j").stdout
        return [json.loads(line) for line in listed.splitlines()]

    def wait_until_empty(self, seconds: float = QUEUE_SECONDS) -> None:
        """Return when nothing waits any more."""
        wait_for(lambda: not self.queue(), seconds)

    def wait_until_deferred(self, count: int, seconds: float = QUEUE_SECONDS) -> None:
        """Return when `count` messages wait, each of which has been tried."""
        wait_for(lambda: self._deferred() == count, seconds)

    def log(self) -> str:
        """Return what Postfix has logged."""
        file = self.home / "log" / "mail.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def outcomes(self) -> list[Outcome]:
        """Return the outcome of each delivery to GoMail so far: its status and what was said."""
        found = re.findall(r"relay=gomail,.* dsn=(\S+), status=(\w+) \((.*)\)", self.log())
        return [Outcome(*each) for each in found]

    def _deferred(self) -> int:
        return sum(each["queue_name"] == "deferred" for each in self.queue())

    def _make_files(self) -> None:
        self.home.chmod(0o755)
        for name in ("conf", "spool", "data", "log"):
            (self.home / name).mkdir()
        shutil.chown(self.home / "data", "postfix")
        self.set_token(self._server.token)
        conf = self.home / "conf"
        (conf / "main.cf").write_text(_MAIN_CF.format(home=self.home, daemons=POSTFIX_IN))
        (conf / "master.cf").write_text(_MASTER_CF.format(port=self.port))
        self._follow_the_documentation()

    def _follow_the_documentation(self) -> None:
        """Run the commands of docs/postfix.md for script and Postfix, with the paths of here."""
        sections = re.split(r"^## ", POSTFIX_PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
        told = [each for each in sections if each.startswith(("3. The script", "4. Postfix"))]
        script = "\n".join(
            re.findall(r"^```sh\n(.*?)^```$", "".join(told), re.MULTILINE | re.DOTALL)
        )
        options = f"--user {USER} --token-file {self.token_file} --url {self._url}"
        for written, here in {
            "/usr/local/lib/gomail-relay": self.relay,
            "/etc/postfix": self.home / "conf",
            ".venv/bin/flask": FLASK,
            "/opt/gomail": CHECKOUT,
            "--user gomail": options,
            "postfix check": f"postfix -c {self.home / 'conf'} check",
            "postfix reload": "",
        }.items():
            assert written in script
            script = script.replace(written, str(here))
        subprocess.run(["sh", "-e", "-c", script], env=self._server.environment, check=True)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self._command(program, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [program, "-c", str(self.home / "conf"), *arguments]

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False
