"""Says in a line why the bytes of a message can't be read."""

from pathlib import Path

from app.errors import MessageCorrupt, StorageUnavailable


def why_unreadable(error: MessageCorrupt | StorageUnavailable) -> str:
    """Return what MessageStore.read has raised as it is shown to people who run GoMail."""
    if isinstance(error, MessageCorrupt):
        return "damaged: the bytes don't match their checksum"
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError):
        return f"missing: segments/{Path(cause.filename).name} isn't there"
    return f"can't be read: {getattr(cause, 'strerror', None) or cause or error}"
