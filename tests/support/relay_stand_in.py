"""What gomail-relay talks to in GoMail's place."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STORED = b'{"status": "success", "message_id": "1", "duplicate": false}'


class StandIn(ThreadingHTTPServer):
    """Answers each POST with `status`, `content_type` and `body`; keeps headers and bodies."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status, self.content_type, self.body = 200, "application/json", STORED

    @property
    def url(self) -> str:
        """Where messages go."""
        return f"http://127.0.0.1:{self.server_address[1]}/mail/inbound"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def do_POST(self) -> None:
        self.server.requests.append((dict(self.headers), self._read_chunks()))
        self.send_response(self.server.status)
        self.send_header("Content-Type", self.server.content_type)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def _read_chunks(self) -> bytes:
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
