"""Figures that the database keeps: what is stored, and what was done with it."""

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert

from app.storage.sqlite.tables import counters


def value_of(connection: Connection, name: str) -> int:
    """Return a figure, 0 when it was never set."""
    found = select(counters.c.value).where(counters.c.name == name)
    return connection.execute(found).scalar() or 0


def set_to(connection: Connection, name: str, value: int) -> None:
    """Set a figure."""
    statement = insert(counters).values(name=name, value=value)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": value})
    )


def change(connection: Connection, name: str, old: int, new: int) -> None:
    """Set a figure to `new` if it is `old`."""
    is_old = (counters.c.name == name) & (counters.c.value == old)
    connection.execute(update(counters).where(is_old).values(value=new))


def add_to(connection: Connection, name: str, amount: int) -> None:
    """Add to a figure."""
    statement = insert(counters).values(name=name, value=amount)
    increased = {"value": counters.c.value + amount}
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=increased))


def all_values(connection: Connection) -> dict[str, int]:
    """Return the figures that were ever set."""
    return {row.name: row.value for row in connection.execute(select(counters))}
