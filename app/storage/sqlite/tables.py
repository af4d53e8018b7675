"""The table of messages: a message exists once its row is committed."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# Ids sort by time (UUIDv7), so the primary key also serves listings by time.
messages = Table(
    "message",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("idempotency_key", String(64), nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("mail_from", Text),
    Column("queue_id", Text),
    Column("client_address", Text),
    Column("client_hostname", Text),
    Column("helo", Text),
    Column("size", Integer, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("segment", String(40), nullable=False),
    Column("segment_offset", BigInteger, nullable=False),
    Column("recipient_key", Text),  # see app.domains.comparable_address
    UniqueConstraint("idempotency_key", name="message_idempotency_key"),
    sqlite_with_rowid=False,
)
Index("message_recipient", messages.c.recipient_key, messages.c.id)
Index("message_segment", messages.c.segment, messages.c.segment_offset)
