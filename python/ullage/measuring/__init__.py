"""What a model really takes: measured on this machine, kept, and found again.

`measure` runs a function and watches the memory of the process; the result is kept under what the model is, what ran
it and how. `lookup` gives what was measured before, so that the next estimate need not guess.
"""

from ullage.measuring.host_identity import host_key
from ullage.measuring.measurement import measure
from ullage.measuring.model_identity import fingerprint
from ullage.measuring.outcome import Measurement
from ullage.measuring.store import Measured, Store, Summary, lookup

__all__ = ["Measured", "Measurement", "Store", "Summary", "fingerprint", "host_key", "lookup", "measure"]
