"""Programs that tests start and that would not end by themselves if a test failed."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ended(child: subprocess.Popen[Any]) -> Iterator[None]:
    """See that a program ends if what tests it fails: `Popen` waits for one that waits to be read, for ever."""
    try:
        yield
    except BaseException:
        child.kill()
        raise
