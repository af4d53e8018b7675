"""Turns failures of the database into StorageUnavailable."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.errors import StorageUnavailable


@contextmanager
def failures_as_unavailable() -> Iterator[None]:
    """Raise StorageUnavailable from an OSError or a database error."""
    try:
        yield
    except (OSError, SQLAlchemyError) as error:
        raise StorageUnavailable from cause_of(error)


def cause_of(error: Exception) -> BaseException | None:
    """Return the error to log: the driver's own has no parameters of the statement in it."""
    return error.orig if isinstance(error, DBAPIError) else error
