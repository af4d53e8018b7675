"""Recipients are found however their domain is written: a column in which the spellings are one."""

import sqlalchemy as sa
from alembic import op

from app.domains import comparable_address

revision = "0002"
down_revision = "0001"

_ROWS = 1000
_message = sa.table("message", sa.column("id"), sa.column("recipient"), sa.column("recipient_key"))


def upgrade() -> None:
    """Add the column, fill it, and let the index be of it."""
    op.add_column("message", sa.Column("recipient_key", sa.Text))
    _fill(op.get_bind())
    op.drop_index("message_recipient", "message")
    op.create_index("message_recipient", "message", ["recipient_key", "id"])


def _fill(connection: sa.Connection) -> None:
    update = (
        sa.update(_message)
        .where(_message.c.id == sa.bindparam("row_id"))
        .values(recipient_key=sa.bindparam("key"))
    )
    rows = sa.select(_message.c.id, _message.c.recipient).order_by(_message.c.id).limit(_ROWS)
    after = ""
    while page := connection.execute(rows.where(_message.c.id > after)).all():
        keys = [{"row_id": row.id, "key": comparable_address(row.recipient)} for row in page]
        connection.execute(update, keys)
        after = page[-1].id


def downgrade() -> None:
    """Refuse: an older version would store messages that this one doesn't find by recipient."""
    raise NotImplementedError("A downgrade to version 0.1 is not possible.")
