"""What workers inherit from the master when it forks them: settings and shared memory."""

from app.settings import Settings, load
from app.state.shared import SharedState

shared_state = SharedState()

_current: Settings | None = None


def load_settings() -> Settings:
    """Load the settings again from file and environment; raises InvalidSettings."""
    global _current  # noqa: PLW0603 -- a reload runs gunicorn.conf.py again, but not this module
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
    """Return the settings that the master has loaded; without a master, load them."""
    return _current or load_settings()
