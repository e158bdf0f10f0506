"""For all tests: one thread for each worker, since two workers share the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
