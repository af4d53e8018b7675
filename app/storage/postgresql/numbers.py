"""Numbers of rows, which tell their order over all writers.

A number is made of the id of its transaction and a place within that. So whatever commits when, no
row ever appears below the oldest transaction that is still running; and readers that page stay
below it. The base is raised when ids of transactions may come again; see
app.storage.postgresql.preparation.
"""

PLACES = 1 << 16
"""The number of rows that can be numbered in one transaction."""

# Expressions of SQL.
NEXT = "((SELECT base FROM store) + (pg_current_xact_id()::text::bigint << 16))"
"""The number of the current transaction's first row; others follow it."""
VISIBLE_BELOW = (
    "((SELECT base FROM store) + (pg_snapshot_xmin(pg_current_snapshot())::text::bigint << 16))"
)
"""No row will ever appear whose number is smaller than this."""
