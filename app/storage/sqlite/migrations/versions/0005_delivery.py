"""Adds the tables of deliveries, attempts, pauses, breakers and replays."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_DISPLACED = (
    "number NOT BETWEEN created_at_ms * 1000 - 60000000 AND created_at_ms * 1000 + 60000000"
)


def upgrade() -> None:
    """Add the tables; messages stored before have no deliveries."""
    _create_delivery()
    _create_others()
    _keep_counts()
    _remove_with_message()


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("message_number", sa.BigInteger, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("state", sa.String(9), nullable=False, server_default=sa.text("'pending'")),
        sa.Column("is_replay", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("tries", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("lapses", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("due_at_ms", sa.BigInteger, nullable=False),
        sa.Column("claimable_at_ms", sa.BigInteger, nullable=False),
        sa.Column("lease", sa.LargeBinary(16)),
        sa.Column("settled_at_ms", sa.BigInteger),
        sa.Column("reason", sa.Text),
    )
    op.create_index(
        "delivery_claimable",
        "delivery",
        ["endpoint", "is_replay", "claimable_at_ms"],
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index("delivery_state", "delivery", ["endpoint", "state", "is_replay"])
    op.create_index("delivery_message", "delivery", ["message_number"])
    op.create_index(
        "delivery_leased",
        "delivery",
        ["endpoint", "claimable_at_ms"],
        sqlite_where=sa.text("lease IS NOT NULL"),
    )
    op.create_index(
        "delivery_suspect",
        "delivery",
        ["endpoint"],
        sqlite_where=sa.text("state = 'pending' AND lapses > 0"),
    )
    columns = ["number", "created_at_ms"]
    op.create_index("delivery_displaced", "delivery", columns, sqlite_where=sa.text(_DISPLACED))


def _create_others() -> None:
    op.create_table(
        "delivery_count",
        sa.Column("endpoint", sa.Text, primary_key=True),
        sa.Column("state", sa.String(9), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "attempt",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("delivery", sa.BigInteger, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("status", sa.Integer),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("delivery", "slot", name="attempt_slot"),
    )
    op.create_table(
        "pause",
        sa.Column("endpoint", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "open_breaker",
        sa.Column("endpoint", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "replay",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("since_ms", sa.BigInteger),
        sa.Column("until_ms", sa.BigInteger),
        sa.Column("recipient", sa.Text),
        sa.Column("rate", sa.Float),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def _keep_counts() -> None:
    one_more = (
        " INSERT INTO delivery_count VALUES (new.endpoint, new.state, 1)"
        " ON CONFLICT (endpoint, state) DO UPDATE SET count = count + 1;"
    )
    one_less = (
        " UPDATE delivery_count SET count = count - 1"
        " WHERE endpoint = old.endpoint AND state = old.state;"
    )
    op.execute(f"CREATE TRIGGER delivery_added AFTER INSERT ON delivery BEGIN{one_more} END")
    op.execute(
        "CREATE TRIGGER delivery_changed AFTER UPDATE OF state ON delivery"
        f" WHEN new.state <> old.state BEGIN{one_less}{one_more} END"
    )
    with_attempts = " DELETE FROM attempt WHERE delivery = old.number;"
    op.execute(
        f"CREATE TRIGGER delivery_removed AFTER DELETE ON delivery BEGIN{one_less}{with_attempts}"
        " END"
    )


def _remove_with_message() -> None:
    op.execute(
        "CREATE TRIGGER message_undelivered AFTER DELETE ON message BEGIN"
        " DELETE FROM delivery WHERE message_number = old.number; END"
    )


def downgrade() -> None:
    """Refuse: an older version wouldn't deliver what is pending."""
    raise NotImplementedError("There is no way back to version 0.3.")
