"""What every test shares: how hard hypothesis tries."""

import os

from hypothesis import HealthCheck, settings

# Machines differ and are shared, so no example is judged by its time.
settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=200,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "default")
