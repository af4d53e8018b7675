"""What a server says of itself while its storage fails."""

from support.server import Server


def is_reported_unhealthy(server: Server) -> bool:
    """Tell whether /health and /ready of this moment say that nothing can be stored."""
    ready, health = server.request("GET", "/ready"), server.request("GET", "/health")
    if (ready.status, health.status) != (503, 503):
        return False
    assert ready.json()["code"] == "storage_unavailable"
    assert health.json()["status"] == "unhealthy"
    [reason] = health.json()["reasons"]
    assert reason.startswith("The store can't be written to: ")
    assert "/" not in reason
    return True


def is_ready(server: Server) -> bool:
    """Tell whether the server says that it takes mail."""
    return server.request("GET", "/ready").status == 200
