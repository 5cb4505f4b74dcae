"""Read by Python before anything else: LiteLLM makes a million objects while it is imported, and
throws none away.

With the default thresholds a fifth of its start goes into looking for garbage among them.
"""

import gc

gc.set_threshold(50_000, 20, 10)
