"""The WSGI entry point: `gunicorn wsgi:app`."""

from app import create_app
from app.server.configuration import current_settings, current_tokens, shared_state
from app.server.worker_metrics import current_recorder
from app.services import build

app = create_app(build(current_settings(), shared_state, current_recorder(), current_tokens()))
