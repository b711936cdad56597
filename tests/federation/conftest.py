"""The worlds of these tests.

Databases come from `tests.harness.postgres`: a fixture that is imported here is another one, with another PostgreSQL.
"""

from tests.federation.homeservers import internet
from tests.simulation.hostile_server import world

__all__ = ["internet", "world"]
