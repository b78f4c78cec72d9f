"""What holds for all tests."""

from hypothesis import settings

# no test may fail because the machine is busy
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
