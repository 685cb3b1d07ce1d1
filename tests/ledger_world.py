"""What tests of ledgers share."""

import threading
from collections.abc import Callable


def together(*works: Callable[[], object]) -> None:
    """Run all works at once, and raise what any of them raised."""
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - raised below
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "hangs"
    if failures:
        raise failures[0]
