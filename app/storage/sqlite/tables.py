"""The tables of gomail.db: an index of the segments, which hold all that is in them."""

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
    text,
)

DISPLACED = (
    "number NOT BETWEEN received_at_ms * 1000 - 60000000 AND received_at_ms * 1000 + 60000000"
)
"""The condition for messages whose number differs from their time of receipt by over a minute.

These are usually few: messages stored by version 0.1, or recovered after a crash.
"""
NEAR_MICROSECONDS = 60_000_000

metadata = MetaData()

messages = Table(
    "message",
    metadata,
    Column("number", Integer, primary_key=True),  # the order of arrival
    Column("record_number", BigInteger, nullable=False),  # the same when the record was written
    Column("id", String(36), nullable=False),
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
    Column("record_start", BigInteger),  # None: version 0.1 stored it, without a record
    Column("recipient_key", Text),  # see app.domains.comparable_address
    UniqueConstraint("id", name="message_id"),
    UniqueConstraint("idempotency_key", name="message_idempotency_key"),
)
Index("message_recipient", messages.c.recipient_key, messages.c.number)
# Time queries read both, in the order of the numbers; the second has the time, so that messages of
# another time are passed over without their rows.
Index("message_in_time", messages.c.number, sqlite_where=text(f"NOT ({DISPLACED})"))
Index(
    "message_displaced",
    messages.c.number,
    messages.c.received_at_ms,
    sqlite_where=text(DISPLACED),
)
Index("message_segment", messages.c.segment, messages.c.segment_offset)

# What is known of deleted messages, to recognize repeats of them.
deleted = Table(
    "deleted",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("idempotency_key", String(64), nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("deleted_at_ms", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),  # of the record of the deletion
    sqlite_with_rowid=False,
)
Index("deleted_idempotency_key", deleted.c.idempotency_key)
Index("deleted_at", deleted.c.deleted_at_ms)

# The bytes of deleted messages that are still to be erased.
erasures = Table(
    "erasure",
    metadata,
    Column("segment", String(40), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    # Part of the key since an empty message of version 0.1 begins where the next one does.
    Column("end", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

# Of each segment with deletions, up to where they are in the index.
deletion_segments = Table(
    "deletion_segment",
    metadata,
    Column("segment", String(40), primary_key=True),
    Column("indexed_to", BigInteger, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The records of messages that were copied to another segment, until these are erased.
originals = Table(
    "original",
    metadata,
    Column("number", Integer, primary_key=True),  # of the message
    Column("segment", String(40), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("copied_at_ms", BigInteger, nullable=False),
)

# Triggers keep `messages` and `bytes`; the others are written by those who count.
counters = Table(
    "counter",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
