"""The way out: what is stored for an endpoint reaches it, at least once."""
