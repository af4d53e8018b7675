"""What the workers inherit from the master that forks them: settings and shared memory."""

from app.settings import Settings, load
from app.state.shared import SharedState

shared_state = SharedState()

_current: Settings | None = None


def load_settings() -> Settings:
    """Load the settings anew from file and environment; raises InvalidSettings."""
    global _current  # noqa: PLW0603 -- gunicorn.conf.py is run anew at a reload, this module is not
    _current = load()
    return _current


def keep_settings(settings: Settings) -> None:
    """Put `settings` in force again."""
    global _current  # noqa: PLW0603 -- as above
    _current = settings


def loaded_settings() -> Settings | None:
    """Return the settings in force, None before the first load."""
    return _current


def current_settings() -> Settings:
    """Return what the master has loaded; without a master, load it."""
    return _current or load_settings()
