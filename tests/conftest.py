"""For all tests: one thread for each worker, since two workers share the cores; and the same
examples in every run of hypothesis (HYPOTHESIS_PROFILE=hunt draws others, to look for more)."""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("hunt", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
