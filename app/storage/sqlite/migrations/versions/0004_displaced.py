"""Messages whose number is the time they were received, and others, get an index each."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_DISPLACED = (
    "number NOT BETWEEN received_at_ms * 1000 - 60000000 AND received_at_ms * 1000 + 60000000"
)


def upgrade() -> None:
    """Add the indexes."""
    in_time = sa.text(f"NOT ({_DISPLACED})")
    op.create_index("message_in_time", "message", ["number"], sqlite_where=in_time)
    columns = ["number", "received_at_ms"]
    op.create_index("message_displaced", "message", columns, sqlite_where=sa.text(_DISPLACED))
