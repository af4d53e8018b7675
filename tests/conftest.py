"""What holds for all tests."""

from hypothesis import settings

# A busy machine isn't a fault; tests that are about time measure it themselves.
settings.register_profile("gomail", deadline=None)
settings.load_profile("gomail")
