"""Bringing what was measured back into an estimate."""

import warnings

from ullage._core import Footprint
from ullage.errors import StoreError, StoreWarning
from ullage.measuring.host_identity import device_key
from ullage.measuring.model_identity import fingerprint
from ullage.measuring.runtime_identity import ANY, runtime_wanted
from ullage.measuring.store import Key, Measured, Store

__all__ = ["explained", "narrowed", "recalled"]

MICRO_BATCH = 512
"""Of an estimate for which none was stated."""


def narrowed(estimated: Footprint, *, device: str | None, is_stated: bool) -> Footprint:
    """Give `estimated`, narrowed by what was measured on `device`; as it is where nothing was.

    `is_stated` says that the caller stated the context: else runs that stated none count too. A store that cannot be
    read is a `StoreWarning`, and the estimate stands.
    """
    try:
        found = recalled(estimated, device=device, is_stated=is_stated)
    except (StoreError, OSError) as error:
        warnings.warn(f"what was measured could not be read: {error}", StoreWarning, stacklevel=4)
        return estimated
    if found is None:
        return estimated
    key, measured = found
    how = explained(key, measured)
    return estimated.measured(measured.lo, measured.best, measured.hi, how=how, loaded_only=key.batch == 0)


def recalled(
    estimated: Footprint, *, device: str | None, is_stated: bool, runtime: str | None = None
) -> tuple[Key, Measured] | None:
    """Find what was measured of the model of `estimated`: runs of its workload, else loads that ran nothing."""
    wanted = runtime or runtime_wanted(estimated.runtime)
    named, host = fingerprint(estimated.model), device_key(device)

    def key(context: int | None, batch: int | None) -> Key:
        return Key.of(named, runtime=wanted, device=host, context=context, batch=batch, kv_dtype=estimated.kv_dtype)

    contexts = [estimated.context, *([] if is_stated else [None])]
    # No key tells other micro-batches and ways of attention apart: what was run is taken to have been the usual.
    is_usual = estimated.micro_batch == MICRO_BATCH and estimated.flash_attention
    runs = [key(context, estimated.batch) for context in contexts] if is_usual else []
    return Store().first([*runs, key(None, None)])


def explained(key: Key, measured: Measured) -> str:
    """Say in a few words what a measured figure rests on."""
    runs = f"{measured.count:,} run" if measured.count == 1 else f"{measured.count:,} runs"
    where = "" if key.runtime == ANY else f" in {key.runtime}"
    what = "measured at load, nothing run" if key.batch == 0 else "measured"
    return f"{what}: growth at the peak of {runs}{where}, {measured.metric.upper()}, last {measured.last[:10]}"
