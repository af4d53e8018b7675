"""How far the segments are indexed: what lies behind is new to the index."""

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from app.storage.sqlite.rows import SEGMENTS_SQL
from app.storage.sqlite.tables import segments

WHOLE = -1
"""Instead of an offset: the segment is one large message, which has its row."""


def indexed_to(connection: Connection) -> dict[str, int]:
    """Return the offset in each known segment behind which nothing is indexed, or WHOLE."""
    found = {row.name: row.indexed_to for row in connection.execute(select(segments))}
    for row in connection.exec_driver_sql(SEGMENTS_SQL):
        is_large = row.record_start == 0
        found[row.segment] = WHOLE if is_large else max(row.end, found.get(row.segment, 0))
    return found


def note_indexed(connection: Connection, name: str, end: int) -> None:
    """Note that a segment is indexed up to the offset `end`."""
    statement = insert(segments).values(name=name, indexed_to=end)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"indexed_to": end})
    )


def forget_segment(connection: Connection, name: str) -> None:
    """Note that a segment is gone."""
    connection.execute(delete(segments).where(segments.c.name == name))
