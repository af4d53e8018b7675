"""All that reaches into Gunicorn's private parts, and nothing else does.

tests/unit/server/test_gunicorn_internals.py names each of them: it fails when one is gone, so
gunicorn is pinned to one version and that test is the first to run with another.
"""
