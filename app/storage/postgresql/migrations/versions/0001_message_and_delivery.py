"""Creates the tables of messages and deliveries."""

from alembic import op

revision = "0001"
down_revision = None

# It has one row.
_STORE = """
CREATE TABLE store (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    identity bytea NOT NULL,
    oldest_compatible integer NOT NULL,
    place text NOT NULL,
    base bigint NOT NULL
)
"""
# A deleted message is a row without envelope and bytes: it recognizes repeats.
_MESSAGE = """
CREATE TABLE message (
    number bigint PRIMARY KEY,
    id uuid NOT NULL CONSTRAINT message_id UNIQUE,
    idempotency_key text COLLATE "C" NOT NULL CONSTRAINT message_idempotency_key UNIQUE,
    received_at_ms bigint NOT NULL,
    deleted_at_ms bigint,
    sender text COLLATE "C" NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    sender_key text COLLATE "C" NOT NULL,
    recipient_key text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    folded_subject text COLLATE "C" NOT NULL,
    mail_from text COLLATE "C",
    queue_id text COLLATE "C",
    client_address text COLLATE "C",
    client_hostname text COLLATE "C",
    helo text COLLATE "C",
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    object_key text COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0.02)
"""
_MESSAGE_INDEXES = (
    "CREATE INDEX message_number_kept ON message (number) WHERE deleted_at_ms IS NULL",
    "CREATE INDEX message_id_kept ON message (id) WHERE deleted_at_ms IS NULL",
    "CREATE INDEX message_recipient ON message (recipient_key, number) WHERE deleted_at_ms IS NULL",
    "CREATE INDEX message_received ON message (received_at_ms, number) WHERE deleted_at_ms IS NULL",
    "CREATE INDEX message_deleted ON message (deleted_at_ms) WHERE deleted_at_ms IS NOT NULL",
    "CREATE INDEX message_object ON message (object_key) WHERE object_key IS NOT NULL",
)
# The bytes of a message that aren't in the object store, in pieces of 256 KiB from 0 on.
_MESSAGE_PART = """
CREATE TABLE message_part (
    message_number bigint NOT NULL,
    part integer NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (message_number, part)
) WITH (autovacuum_vacuum_scale_factor = 0.02)
"""
_EXTERNAL = "ALTER TABLE message_part ALTER COLUMN content SET STORAGE EXTERNAL"
# The objects of deleted messages that are still to be removed from the object store.
_ERASURE = 'CREATE TABLE erasure (object_key text COLLATE "C" PRIMARY KEY)'
_FIGURE = 'CREATE TABLE figure (name text COLLATE "C" PRIMARY KEY, value bigint NOT NULL)'
# Changes of counted figures: a row that all writers update would make them wait for each other's
# commits. Readers add them up, and merge them when they are many.
_TALLIES = (
    'CREATE TABLE tally (name text COLLATE "C" NOT NULL, change bigint NOT NULL)',
    # These are asked for ten times a second.
    "CREATE INDEX tally_removal ON tally (name) WHERE starts_with(name, 'deleted_')",
    'CREATE TABLE delivery_tally (endpoint text COLLATE "C" NOT NULL,'
    ' state text COLLATE "C" NOT NULL, change bigint NOT NULL)',
)
_DELIVERY = """
CREATE TABLE delivery (
    number bigint PRIMARY KEY,
    message_number bigint NOT NULL,
    endpoint text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'pending',
    is_replay boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    lapses integer NOT NULL DEFAULT 0,
    created_at_ms bigint NOT NULL,
    due_at_ms bigint NOT NULL,
    claimable_at_ms bigint NOT NULL,
    lease bytea,
    settled_at_ms bigint,
    reason text COLLATE "C"
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)
"""
_DELIVERY_INDEXES = (
    "CREATE INDEX delivery_claimable ON delivery (endpoint, is_replay, claimable_at_ms, number)"
    " WHERE state = 'pending'",
    "CREATE INDEX delivery_pending ON delivery (endpoint, is_replay, number)"
    " WHERE state = 'pending'",
    "CREATE INDEX delivery_state ON delivery (endpoint, state, number)",
    "CREATE INDEX delivery_message ON delivery (message_number)",
    "CREATE INDEX delivery_created ON delivery (endpoint, state, created_at_ms, number)",
    "CREATE INDEX delivery_leased ON delivery (endpoint, claimable_at_ms) WHERE lease IS NOT NULL",
    "CREATE INDEX delivery_suspect ON delivery (endpoint) WHERE state = 'pending' AND lapses > 0",
)
_ATTEMPT = """
CREATE TABLE attempt (
    delivery bigint NOT NULL,
    slot integer NOT NULL,
    at_ms bigint NOT NULL,
    address text COLLATE "C",
    status integer,
    duration_ms bigint NOT NULL,
    error text COLLATE "C",
    answer bytea NOT NULL,
    PRIMARY KEY (delivery, slot)
)
"""
_OTHERS = (
    "CREATE INDEX attempt_at ON attempt (at_ms)",
    'CREATE TABLE pause (endpoint text COLLATE "C" PRIMARY KEY, reason text NOT NULL)',
    'CREATE TABLE open_breaker (endpoint text COLLATE "C" PRIMARY KEY, reason text NOT NULL,'
    " opened_at_ms bigint NOT NULL)",
    """
CREATE TABLE replay (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint text COLLATE "C" NOT NULL,
    since_ms bigint,
    until_ms bigint,
    recipient text,
    rate double precision,
    position bigint NOT NULL,
    last bigint NOT NULL
)
""",
)


def upgrade() -> None:
    """Create all tables and indexes."""
    for statement in (
        *(
            _STORE,
            _MESSAGE,
            *_MESSAGE_INDEXES,
            _MESSAGE_PART,
            _EXTERNAL,
            _ERASURE,
            _FIGURE,
            *_TALLIES,
        ),
        *(_DELIVERY, *_DELIVERY_INDEXES, _ATTEMPT, *_OTHERS),
    ):
        op.execute(statement)
