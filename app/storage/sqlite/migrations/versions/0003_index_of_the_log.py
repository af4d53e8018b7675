"""The database becomes an index of the segments: numbers in the order of arrival, deletions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_COPIED = (
    "id, received_at_ms, idempotency_key, sender, recipient, subject, mail_from, queue_id,"
    " client_address, client_hostname, helo, size, sha256, segment, segment_offset, recipient_key"
)


def upgrade() -> None:
    """Number what is stored in the order of the ids, and add the other tables."""
    op.rename_table("message", "message_0002")
    _create_message()
    op.execute(
        f"INSERT INTO message (number, record_number, {_COPIED})"  # noqa: S608 -- constants
        f" SELECT row_number() OVER (ORDER BY id), 0, {_COPIED} FROM message_0002"
    )
    op.drop_table("message_0002")  # its indexes go with it
    op.create_index("message_recipient", "message", ["recipient_key", "number"])
    op.create_index("message_segment", "message", ["segment", "segment_offset"])
    _create_others()
    _count()


def _create_message() -> None:
    op.create_table(
        "message",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("record_number", sa.BigInteger, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
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
        sa.Column("record_start", sa.BigInteger),
        sa.Column("recipient_key", sa.Text),
        sa.UniqueConstraint("id", name="message_id"),
        sa.UniqueConstraint("idempotency_key", name="message_idempotency_key"),
    )


def _create_others() -> None:
    op.create_table(
        "deleted",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("idempotency_key", sa.String(64), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger, nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("deleted_idempotency_key", "deleted", ["idempotency_key"])
    op.create_index("deleted_at", "deleted", ["deleted_at_ms"])
    op.create_table(
        "erasure",
        sa.Column("segment", sa.String(40), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True),
        sa.Column("end", sa.BigInteger, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deletion_segment",
        sa.Column("segment", sa.String(40), primary_key=True),
        sa.Column("indexed_to", sa.BigInteger, nullable=False),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "original",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("segment", sa.String(40), nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("copied_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "counter",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _count() -> None:
    op.execute("INSERT INTO counter SELECT 'messages', count(*) FROM message")
    op.execute("INSERT INTO counter SELECT 'bytes', coalesce(sum(size), 0) FROM message")
    op.execute(
        "CREATE TRIGGER message_added AFTER INSERT ON message BEGIN"
        " UPDATE counter SET value = value + 1 WHERE name = 'messages';"
        " UPDATE counter SET value = value + new.size WHERE name = 'bytes'; END"
    )
    op.execute(
        "CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN"
        " UPDATE counter SET value = value - 1 WHERE name = 'messages';"
        " UPDATE counter SET value = value - old.size WHERE name = 'bytes'; END"
    )


def downgrade() -> None:
    """Refuse: an older version would not find messages in the new segments."""
    raise NotImplementedError("There is no way back to version 0.2.")
