"""Fixtures that every folder of tests may use."""

from hypothesis import settings

pytest_plugins = ["tests.harness.postgres"]

# A machine under load is slow at times: laws are about values, not about time.
settings.register_profile("meridian", deadline=None)
settings.load_profile("meridian")
