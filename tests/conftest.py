"""Settings shared by all tests: hypothesis profiles; everything else lives beside the tests that use it.

Profiles: `naiad` (the default) explores fresh examples on every run; `naiad-ci` (when the environment has CI)
draws the same examples every time, so that a red build is red for a reason that the commit contains.
Neither has a deadline: a slow machine is not a failed law.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from naiad.adapters.profiles import PROFILES

for profile in PROFILES.values():  # no test calls a provider, whatever keys there are
    os.environ.pop(profile.key_env, None)

settings.register_profile("naiad", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("naiad-ci", settings.get_profile("naiad"), derandomize=True, print_blob=True)
settings.load_profile("naiad-ci" if os.environ.get("CI") else "naiad")
