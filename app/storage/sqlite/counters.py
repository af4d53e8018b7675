"""Figures that the database keeps: what is stored, and what was done with it."""

from sqlalchemy import Connection, select, update

from app.storage.sqlite.tables import counters

# As text, like the statements of app.storage.sqlite.removal.
_SET = """
INSERT INTO counter (name, value) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_ADD = """
INSERT INTO counter (name, value) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = value + excluded.value
"""


def value_of(connection: Connection, name: str) -> int:
    """Return a figure, 0 when it was never set."""
    found = select(counters.c.value).where(counters.c.name == name)
    return connection.execute(found).scalar() or 0


def set_to(connection: Connection, name: str, value: int) -> None:
    """Set a figure."""
    connection.exec_driver_sql(_SET, (name, value))


def change(connection: Connection, name: str, old: int, new: int) -> None:
    """Set a figure to `new` if it is `old`."""
    is_old = (counters.c.name == name) & (counters.c.value == old)
    connection.execute(update(counters).where(is_old).values(value=new))


def add_to(connection: Connection, name: str, amount: int) -> None:
    """Add to a figure."""
    connection.exec_driver_sql(_ADD, (name, amount))


def all_values(connection: Connection) -> dict[str, int]:
    """Return the figures that were ever set."""
    return {row.name: row.value for row in connection.execute(select(counters))}
