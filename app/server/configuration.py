"""What workers inherit from the master when it forks them: settings and shared memory."""

from app.settings import Inspection, InvalidSettings, Settings, inspect
from app.state.shared import SharedState

shared_state = SharedState()

_inspection: Inspection | None = None
_current: Settings | None = None


def load_settings() -> Settings:
    """Load the settings from file and environment; raises InvalidSettings."""
    return put_in_force(inspect())


def put_in_force(inspection: Inspection) -> Settings:
    """Make the settings of `inspection` those in force; raises InvalidSettings."""
    # A reload runs gunicorn.conf.py again, but not this module.
    global _inspection, _current
    if inspection.settings is None:
        raise InvalidSettings(inspection.errors)
    _inspection, _current = inspection, inspection.settings
    return _current


def loaded_inspection() -> Inspection | None:
    """Return what the settings in force come from, None before the first load."""
    return _inspection


def loaded_settings() -> Settings | None:
    """Return the settings in force, None before the first load."""
    return _current


def current_settings() -> Settings:
    """Return the settings that the master has loaded; without a master, load them."""
    return _current or load_settings()
