"""The table of messages."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table and its indexes."""
    op.create_table(
        "message",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("received_at_ms", sa.BigInteger, nullable=False),
        sa.Column("idempotency_key", sa.String(64), nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("mail_from", sa.Text),
        sa.Column("queue_id", sa.Text),
        sa.Column("client_address", sa.Text),
        sa.Column("client_hostname", sa.Text),
        sa.Column("helo", sa.Text),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("segment", sa.String(40), nullable=False),
        sa.Column("segment_offset", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("idempotency_key", name="message_idempotency_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("message_recipient", "message", [sa.text("lower(recipient)"), "id"])
    op.create_index("message_segment", "message", ["segment", "segment_offset"])


def downgrade() -> None:
    """Refuse: going back would drop every message."""
    raise NotImplementedError("A downgrade would drop every message.")
