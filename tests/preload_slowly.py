"""A module that takes long to import, and notes each time that it is."""

import os
import time

time.sleep(float(os.environ.get("PRELOAD_S", "0")))
if "PRELOAD_NOTE" in os.environ:
    with open(os.environ["PRELOAD_NOTE"], "a", encoding="ascii") as file:  # noqa: PTH123 - to append
        file.write("imported\n")
