"""Names a database to people."""

from psycopg.conninfo import conninfo_to_dict


def name_of(url: str) -> str:
    """Return the name of the database that libpq finds with `url`, without a password."""
    given = conninfo_to_dict(url)
    hosts = given.get("host") or given.get("hostaddr") or "this host"
    name = given.get("dbname") or given.get("user") or "of this user"
    return f"the PostgreSQL database {name} on {hosts}"
