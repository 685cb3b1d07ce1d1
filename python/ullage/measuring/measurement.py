"""Running something while a thread watches what the process holds."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ullage._core import Model
from ullage._subject import resolve
from ullage.errors import ArgumentError, MeasureError
from ullage.measuring.gauge import Gauge, Reading
from ullage.measuring.host_identity import device_key
from ullage.measuring.model_identity import fingerprint
from ullage.measuring.outcome import Measurement
from ullage.measuring.runtime_identity import usual_runtime
from ullage.measuring.store import Key, Store

__all__ = ["Measurement", "measure"]

Result = TypeVar("Result")

INTERVAL_S = 0.005
"""Seconds between two samples. Reading takes 0.1 to 6 ms by itself and stretches the interval, see `SHARE`."""
SHARE = 4
"""A sample is followed by at least so many times the time it took, so that watching costs a fifth of a core at most."""
LONGEST_S = 3600
SWAP_NOTED = 2**20
_busy = threading.Lock()
"""Held while a measurement runs: two at once would each see the other's memory."""


def measure(
    function: Callable[..., Result],
    *args: Any,  # noqa: ANN401 - the function's
    model: Model | str | os.PathLike[str] | None = None,
    runtime: str | None = None,
    device: str | None = None,
    context: int | None = None,
    batch: int | None = 1,
    kv_dtype: str = "f16",
    children: bool = False,
    interval_s: float = INTERVAL_S,
    store: Store | None = None,
    **kwargs: Any,  # noqa: ANN401 - the function's
) -> Measurement[Result]:
    """Run `function(*args, **kwargs)` and measure the memory of this process meanwhile.

    With a `model` (a file, a directory, a catalog name, or one already open) the growth is kept in `store`, by default
    the user's own, under the model's fingerprint, `runtime`, `device` (by default this machine), `context`, `batch` and
    `kv_dtype`, and `ullage.footprint` with the same arguments goes by it from then on. `runtime` is by default the one
    that `footprint` assumes for such files; where that is none in particular, it goes by what was measured in any. With
    `batch=None` the function loads the model and runs nothing: weights and overhead are what was measured, for every
    context and batch. With `children`, processes that this one starts count too. A function that itself takes an
    argument of one of these names gets it by `functools.partial`.

    What is exact: on Linux every sample is the kernel's own sum of the proportional set size (PSS) at that instant.
    Between samples, `interval_s` apart, the kernel keeps the high-water mark of the resident set (RSS), which no spike
    escapes; it is reset at the start, for anybody who reads it of this process. What it shows beyond the fullest
    sample is added to that sample in full, so a spike counts at its resident size: exact for memory of the process's
    own, too much for pages that it shares. `sampled_peak_bytes` is certainly reached, `high_water_bytes` not passed
    while what is shared stays shared. The mark itself may lag by the kernel's counters, 64 pages for each thread or
    processor. What the process had freed but kept is given back before the start where the C library can do that
    (glibc); what Python or another allocator keeps is used again unseen, so the truest figure is that of a fresh
    process. Not counted: memory of a GPU, what was swapped out (a note says so), and spikes of children between
    samples. Elsewhere than on Linux the samples of RSS are all there is.

    What `function` raises passes through, and nothing is kept. Raises `MeasureError` where a measurement is under way
    in this process, and `ArgumentError` for an argument out of its domain.
    """
    if not callable(function):
        raise ArgumentError("function: not callable", name="function", reason="not callable")
    if not 0 < interval_s <= LONGEST_S:
        reason = f"{interval_s!r} is not between 0 and {LONGEST_S} seconds"
        raise ArgumentError(f"interval_s: {reason}", name="interval_s", reason=reason)
    subject = None if model is None else resolve(model)
    key = None
    if subject is not None:
        key = Key.of(
            fingerprint(subject),
            runtime=usual_runtime(subject) if runtime is None else runtime,
            device=device_key(device),
            context=context,
            batch=batch,
            kv_dtype=kv_dtype,
        )
    if not _busy.acquire(blocking=False):
        reason = "another measurement is under way in this process"
        raise MeasureError(reason, reason=reason)
    try:
        found = _watched(lambda: function(*args, **kwargs), Watch(Gauge(children=children), interval_s))
    finally:
        _busy.release()
    if subject is not None and key is not None:
        (store or Store()).record(key, found, name=subject.name)
    return found


def _watched(run: Callable[[], Result], watch: "Watch") -> Measurement[Result]:
    gauge = watch.gauge
    gauge.settle()
    was_reset = gauge.reset_high_water()
    mark = gauge.high_water()
    baseline = watch.sample()
    begun = time.perf_counter()
    with watch:
        result = run()
        seconds = time.perf_counter() - begun
    after = watch.sample()
    highest = gauge.high_water()
    sampled = max(reading.held for reading in (baseline, after, watch.greatest))
    if highest is not None and not was_reset and highest <= (mark or 0):
        highest = None  # of some earlier peak
    if highest is None:
        gauge.note("no high-water mark of the kernel: a spike between two samples is missed")
    if after.swapped > baseline.swapped + SWAP_NOTED:
        gauge.note("memory was swapped out meanwhile, which the peak does not count")
    return Measurement(
        peak_bytes=sampled if highest is None else max(sampled, highest - watch.fullest.shared),
        resident_bytes=after.held,
        baseline_bytes=baseline.held,
        samples=watch.samples,
        seconds=seconds,
        metric=gauge.metric,
        result=result,
        sampled_peak_bytes=sampled,
        high_water_bytes=None if highest is None else max(sampled, highest - watch.least_shared),
        interval_s=seconds / max(watch.samples - 1, 1),
        notes=tuple(gauge.notes),
    )


class Watch:
    """Samples in a thread while the body of a `with` runs."""

    def __init__(self, gauge: Gauge, interval_s: float) -> None:
        """Watch with `gauge`, every `interval_s` seconds."""
        self.gauge = gauge
        self.samples = 0
        self.greatest = self.fullest = Reading(0, 0, 0, 0)
        self.least_shared = 2**63
        self._interval_s = interval_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ullage-measure", daemon=True)

    def sample(self) -> Reading:
        """Take one reading."""
        reading = self.gauge.read()
        self.samples += 1
        self.least_shared = min(self.least_shared, reading.shared)
        if reading.held > self.greatest.held:
            self.greatest = reading
        if reading.own_rss > self.fullest.own_rss:
            self.fullest = reading
        return reading

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """End, however the body did."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            begun = time.perf_counter()
            try:
                self.sample()
            except OSError as error:
                self.gauge.note(f"a sample failed: {error}")
            pause = max(self._interval_s, SHARE * (time.perf_counter() - begun))
