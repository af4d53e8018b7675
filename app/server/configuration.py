"""What workers inherit from the master when it forks them: settings, tokens, shared memory."""

from app.auth.tokens import Token, TokenKind
from app.services import configured_tokens, tokens_of_kind
from app.settings import Inspection, InvalidSettings, Settings, inspect
from app.state.shared import SharedState

shared_state = SharedState()

_inspection: Inspection | None = None
_current: Settings | None = None
_generated: dict[TokenKind, tuple[Token, ...]] = {}


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


def current_tokens() -> tuple[Token, ...]:
    """Return the tokens that are valid under the current settings.

    A generated one is read once: without its file, each worker would otherwise generate another.
    Raises StorageUnavailable.
    """
    settings = current_settings()
    return tuple(token for kind in TokenKind for token in tokens_under(settings, kind))


def tokens_under(settings: Settings, kind: TokenKind) -> tuple[Token, ...]:
    """Return the tokens of `kind` that are valid under `settings`; see current_tokens."""
    if configured_tokens(settings, kind):
        return tokens_of_kind(settings, kind)
    if kind not in _generated:  # workers inherit what the master has read
        _generated[kind] = tokens_of_kind(settings, kind)
    return _generated[kind]
