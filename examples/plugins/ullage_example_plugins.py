"""One plug-in of each kind for ullage: a policy, a strategy, a scheme and a runtime."""

import math

import numpy as np

import ullage


class Hyperbolic(ullage.EvictionPolicy):
    """Requests since the load, by the time since then, by the cost of a load per byte.

    Hyperbolic caching: Blankstein, Sen and Freedman, USENIX ATC 2017. What has just come is not compared by how recent
    it is, but by how often it was asked for in the time that it had.
    """

    name = "hyperbolic"

    def __init__(self):
        """Begin knowing nothing."""
        self.cost, self.uses, self.since = {}, {}, {}

    def on_register(self, name, bytes, load_s):
        """Remember what a load costs per byte."""
        self.cost[name] = load_s / max(bytes, 1)

    def on_request(self, name, now):
        """Count."""
        self.uses[name] = self.uses.get(name, 0) + 1

    def on_load(self, name, now):
        """Begin to count anew."""
        self.uses[name], self.since[name] = 1, now

    def worth(self, candidate, now):
        """Give the rate of requests, times what a load costs per byte."""
        age = max(now - self.since.get(candidate.name, now), 1e-3)
        return self.uses[candidate.name] / age * self.cost[candidate.name]


def tightest(instance, time_limit):
    """Put each item, the largest first, where the least room is left after it."""
    if instance.kind != "packing" or len(instance.capacities) > 1:
        raise NotImplementedError("items of one size each")
    rooms, places = [], [0] * instance.count
    for item in sorted(range(instance.count), key=lambda item: -instance.sizes[item]):
        size = instance.sizes[item]
        fitting = [bin_ for bin_, room in enumerate(rooms) if room >= size]
        if not fitting:
            rooms.append(instance.capacity)
            fitting = [len(rooms) - 1]
        best = min(fitting, key=rooms.__getitem__)
        rooms[best] -= size
        places[item] = best
    return places


class Rows8:
    """Eight bits a number, and a scale of 32 bits for each row."""

    name = "rows8"

    def compressed_bytes(self, shape, dtype):
        """A byte a number and four a row; what is no matrix stays as it is."""
        return math.prod(shape) + 4 * shape[0] if len(shape) > 1 else None

    def encode(self, array):
        """Divide each row by its scale and round."""
        rows = array.reshape(len(array), -1).astype(np.float32)
        scales = np.abs(rows).max(axis=1, initial=0.0).astype(np.float32) / 127
        steps = np.where(scales > 0, scales, 1)[:, None]
        values = np.rint(rows / steps).clip(-127, 127).astype(np.int8)
        return {"scales": scales.tobytes(), "values": values.tobytes()}

    def decode(self, parts, shape, dtype):
        """Multiply each row with its scale."""
        values = np.frombuffer(parts["values"], np.int8).reshape(shape[0], -1)
        scales = np.frombuffer(parts["scales"], np.float32)
        return (values * scales[:, None]).astype(dtype).reshape(shape)


NUMPY_MAPPED = ullage.RuntimePolicy(
    runtime="numpy-mapped",
    like="numpy",
    source="weights opened with numpy.memmap: pages of the file, which the system may drop again",
    date="2026-11-22",
    residency="mapped",
    weights={"bytes": {"lo": "0", "best": "weights", "hi": "file"}},
    overhead={kind: {"lo": "0", "best": "16*MB", "hi": "60*MB"} for kind in ("decoder", "encoder", "graph", "unknown")},
)
