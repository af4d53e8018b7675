"""Counts deliveries by endpoint and state, and removes attempts with their deliveries."""

from alembic import op

revision = "0002"
down_revision = "0001"

_ADDED = """
CREATE FUNCTION delivery_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO delivery_tally (endpoint, state, change)
    SELECT endpoint, state, count(*) FROM added GROUP BY endpoint, state;
    RETURN NULL;
END $$
"""
# Most changes leave the state as it is.
_CHANGED = """
CREATE FUNCTION delivery_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO delivery_tally (endpoint, state, change)
    SELECT endpoint, state, sum(change)
    FROM (
        SELECT endpoint, state, 1 AS change FROM added
        UNION ALL
        SELECT endpoint, state, -1 FROM removed
    ) AS changed
    GROUP BY endpoint, state HAVING sum(change) <> 0;
    RETURN NULL;
END $$
"""
_REMOVED = """
CREATE FUNCTION delivery_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO delivery_tally (endpoint, state, change)
    SELECT endpoint, state, -count(*) FROM removed GROUP BY endpoint, state;
    DELETE FROM attempt WHERE delivery IN (SELECT number FROM removed);
    RETURN NULL;
END $$
"""
_TRIGGERS = (
    "CREATE TRIGGER delivery_added AFTER INSERT ON delivery"
    " REFERENCING NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION delivery_added()",
    "CREATE TRIGGER delivery_changed AFTER UPDATE ON delivery"
    " REFERENCING OLD TABLE AS removed NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION delivery_changed()",
    "CREATE TRIGGER delivery_removed AFTER DELETE ON delivery"
    " REFERENCING OLD TABLE AS removed"
    " FOR EACH STATEMENT EXECUTE FUNCTION delivery_removed()",
)


def upgrade() -> None:
    """Add the triggers, before the first delivery exists."""
    for statement in (_ADDED, _CHANGED, _REMOVED, *_TRIGGERS):
        op.execute(statement)
