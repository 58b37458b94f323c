"""Speed as ratios against a baseline measured in the same run."""

import os

# One thread for linear algebra, in jobs and baselines alike: on a busy machine the second thread
# makes times of products jump by an order of magnitude. Must come before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
