"""Creates the table of sessions of the inbox page that were ended by a logout."""

from alembic import op

revision = "0003"
down_revision = "0002"

# `expires_at` is in seconds since 1970.
_ENDED_SESSION = """
CREATE TABLE ended_session (
    id text COLLATE "C" PRIMARY KEY,
    expires_at bigint NOT NULL
)
"""
_INDEX = "CREATE INDEX ended_session_expires ON ended_session (expires_at)"


def upgrade() -> None:
    """Create the table and its index."""
    op.execute(_ENDED_SESSION)
    op.execute(_INDEX)
