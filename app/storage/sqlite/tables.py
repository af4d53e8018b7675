"""The tables of gomail.db: an index of the segments, which hold all that is in them."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
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
DISPLACED_DELIVERY = (
    "number NOT BETWEEN created_at_ms * 1000 - 60000000 AND created_at_ms * 1000 + 60000000"
)
"""The same condition for deliveries and the time when they were created."""

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

# Triggers remove the deliveries of a removed message, and the attempts of a removed delivery.
deliveries = Table(
    "delivery",
    metadata,
    # From the same sequence as the numbers of messages, so that a rebuilt database repeats none.
    Column("number", Integer, primary_key=True),
    Column("message_number", BigInteger, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("state", String(9), nullable=False, server_default=text("'pending'")),
    Column("is_replay", Integer, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),  # for the schedule
    Column("tries", Integer, nullable=False, server_default=text("0")),  # all attempts
    # Claims expired in a row; -1 if the first one won't count.
    Column("lapses", Integer, nullable=False, server_default=text("0")),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("claimable_at_ms", BigInteger, nullable=False),  # when it is due, or its claim expires
    Column("lease", LargeBinary(16)),  # None: not claimed
    Column("settled_at_ms", BigInteger),
    Column("reason", Text),
)
Index(
    "delivery_claimable",
    deliveries.c.endpoint,
    deliveries.c.is_replay,
    deliveries.c.claimable_at_ms,
    sqlite_where=text("state = 'pending'"),
)
Index("delivery_state", deliveries.c.endpoint, deliveries.c.state, deliveries.c.is_replay)
Index("delivery_message", deliveries.c.message_number)
Index(
    "delivery_leased",
    deliveries.c.endpoint,
    deliveries.c.claimable_at_ms,
    sqlite_where=text("lease IS NOT NULL"),
)
Index(
    "delivery_suspect",
    deliveries.c.endpoint,
    sqlite_where=text("state = 'pending' AND lapses > 0"),
)
Index(
    "delivery_displaced",
    deliveries.c.number,
    deliveries.c.created_at_ms,
    sqlite_where=text(DISPLACED_DELIVERY),
)

# The number of deliveries in each state, updated by triggers.
delivery_counts = Table(
    "delivery_count",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("state", String(9), primary_key=True),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# The last attempts of each delivery: a new attempt takes the slot of the oldest one.
attempts = Table(
    "attempt",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("delivery", BigInteger, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("address", Text),
    Column("status", Integer),
    Column("duration_ms", Integer, nullable=False),
    Column("error", Text),
    Column("answer", LargeBinary, nullable=False),
    UniqueConstraint("delivery", "slot", name="attempt_slot"),
)

pauses = Table(
    "pause",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

# The endpoints whose circuit breaker is open.
open_breakers = Table(
    "open_breaker",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The replays that aren't complete.
replays = Table(
    "replay",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("since_ms", BigInteger),
    Column("until_ms", BigInteger),
    Column("recipient", Text),
    Column("rate", Float),
    Column("position", BigInteger, nullable=False),  # the last message that was processed
    Column("last", BigInteger, nullable=False),  # the last message to process
    sqlite_autoincrement=True,
)
