import gc

from app.server.hooks import begin_serving


def test_a_worker_looks_at_what_it_has_loaded_no_more() -> None:
    """Full collections leave alone what was there before the first request."""
    try:
        begin_serving(None)
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 1000
    finally:
        gc.unfreeze()
