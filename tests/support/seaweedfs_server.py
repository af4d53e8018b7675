"""SeaweedFS on loopback: a real S3-compatible object store."""

import json
import shutil
import subprocess
import tempfile
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

from support.requirement import require_program
from support.server import free_port, wait_for
from support.started import Started

from app.settings.model import ObjectStore

START_SECONDS = 60
BUCKET = "gomail"
ACCESS_KEY_ID = "gomail-test-access-key"
SECRET_ACCESS_KEY = "gomail-test-secret-of-no-value"
_IDENTITY = {
    "name": "gomail",
    "credentials": [{"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY}],
    "actions": ["Admin"],
}


class SeaweedFSServer(Started):
    """One server with one bucket; a context manager, which ends what it started."""

    def __init__(self) -> None:
        self.program = require_program("weed")
        self.directory = Path(tempfile.mkdtemp(prefix="seaweedfs-"))
        # It takes a second port, for gRPC, beside each of these unless that is given.
        self.port, self._master, self._volume, self._filer = (free_port() for _ in range(4))
        self._grpc = [free_port() for _ in range(4)]

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._started is not None:
            self.kill()  # asked to end, it would take 16 seconds
        shutil.rmtree(self.directory, ignore_errors=True)

    def settings(self, prefix: str = "", endpoint: str | None = None) -> ObjectStore:
        """Return settings for its bucket, below `prefix`; `endpoint` is for a proxy."""
        return ObjectStore(
            url=f"s3://{BUCKET}/{prefix}".rstrip("/"),
            endpoint=endpoint or f"http://127.0.0.1:{self.port}",
            region="us-east-1",
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
            from_bytes=0,
        )

    def start(self) -> Self:
        """Start the server, and return it when its bucket can be used."""
        identities = self.directory / "s3.json"
        identities.write_text(json.dumps({"identities": [_IDENTITY]}))
        self._started = subprocess.Popen(
            [self.program, *self._arguments(identities)],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers, START_SECONDS)
        wait_for(self._has_bucket, START_SECONDS)
        self._write_first_object()
        return self

    def unfinished_uploads(self) -> list[str]:
        """Return the ids of multipart uploads that were neither completed nor aborted."""
        with closing(HTTPConnection("127.0.0.1", self._filer, timeout=5)) as connection:
            path = f"/buckets/{BUCKET}/.uploads/"
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            listed = json.loads(answer.read()) if answer.status == 200 else {}
        return [each["FullPath"] for each in listed.get("Entries") or ()]

    def _arguments(self, identities: Path) -> list[str]:
        master, volume, filer, s3 = self._grpc
        return [
            *("server", f"-dir={self.directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-master.port={self._master}", f"-master.port.grpc={master}"),
            *("-master.telemetry=false", "-master.volumeSizeLimitMB=256"),
            *(f"-volume.port={self._volume}", f"-volume.port.grpc={volume}"),
            *("-volume.preStopSeconds=0", "-volume.max=0"),
            *("-filer", f"-filer.port={self._filer}", f"-filer.port.grpc={filer}"),
            *("-s3", f"-s3.port={self.port}", f"-s3.port.grpc={s3}", "-s3.port.iceberg=0"),
            *(f"-s3.config={identities}", "-s3.iam=false", "-s3.port.lance=0"),
            # A kill would leave these in /tmp.
            *(f"-filer.localSocket={self.directory}/filer", f"-s3.localSocket={self.directory}/s3"),
        ]

    def _write_first_object(self) -> None:
        """Let it make the bucket's volumes now: the first object waits for them, up to seconds."""
        path = f"/buckets/{BUCKET}/first"
        with closing(HTTPConnection("127.0.0.1", self._filer, timeout=START_SECONDS)) as connection:
            for method, content in (("PUT", b"first"), ("DELETE", None)):
                connection.request(method, path, content)
                answer = connection.getresponse()
                answer.read()
                assert answer.status < 300, (method, answer.status)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "SeaweedFS has ended"
        with (
            suppress(OSError, HTTPException),
            closing(HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection,
        ):
            connection.request("GET", "/status")
            return connection.getresponse().status < 500
        return False

    def _has_bucket(self) -> bool:
        """Create the bucket; what is written to it is synced before the answer, as on a server."""
        commands = (
            f"s3.bucket.create -name {BUCKET}\n"
            f"fs.configure -locationPrefix=/buckets/{BUCKET}/ -fsync -apply\n"
            "s3.bucket.list\n"
        )
        done = subprocess.run(
            [
                *(self.program, "shell", f"-master=127.0.0.1:{self._master}.{self._grpc[0]}"),
                f"-filer=127.0.0.1:{self._filer}.{self._grpc[2]}",
            ],
            input=commands.encode(),
            capture_output=True,
            check=False,
            cwd=self.directory,
            timeout=START_SECONDS,
        )
        return f"  {BUCKET}\t".encode() in done.stdout
