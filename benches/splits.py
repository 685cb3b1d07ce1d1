"""Print splits beside those of the greedy rule that `infer_auto_device_map` of Accelerate follows.

The rule, where nothing is fetched: fill device after device with layers in order, and go on to the next at the first
that does not fit. It knows no bandwidth.
"""

import ullage
from ullage import Chain, SplitDevice
from ullage._split import chain_of

GIB = 2**30
CASES = {
    "8B over 12 + 8 GiB": ("llama-3.1-8b", [(12, 360), (8, 272)]),
    "8B over 8 + 12 GiB": ("llama-3.1-8b", [(8, 272), (12, 360)]),
    "8B over 24 + 24 GiB": ("llama-3.1-8b", [(24, 936), (24, 936)]),
    "8B over 10 + 24 GiB": ("llama-3.1-8b", [(10, 300), (24, 1008)]),
    "405B over 11 x 80 GiB": ("llama-3-1-405b", [(80, 3350)] * 11),
    "405B over 8 x 80, 8 x 48 GiB": ("llama-3-1-405b", [(80, 3350)] * 8 + [(48, 864)] * 8),
}


def greedy(chain: Chain, devices: list[SplitDevice]) -> list[int] | None:
    """Give the device of each piece by the rule."""
    assignment: list[int] = []
    at, load = 0, chain.workspace[0]
    for weights, state in zip(chain.weights, chain.state, strict=True):
        while at < len(devices) and load + weights + state > devices[at].memory:
            at, load = at + 1, chain.workspace[0]
        if at == len(devices):
            return None
        load += weights + state
        assignment.append(at)
    return assignment


def figures(chain: Chain, devices: list[SplitDevice], assignment: list[int]) -> tuple[float, float, float]:
    """Give latency and slowest stage in milliseconds, and the share of the fullest device."""
    times = [0.0] * len(devices)
    loads = [0] * len(devices)
    for piece, place in enumerate(assignment):
        read = chain.traffic[piece] + chain.state[piece]
        times[place] += read / (devices[place].bandwidth or 1) * 1000
        loads[place] += chain.weights[piece] + chain.state[piece]
    shares = [(load + chain.workspace[0]) / device.memory for load, device in zip(loads, devices, strict=True) if load]
    return sum(times), max(times), max(shares)


def main() -> None:
    """Print one line for each case and objective."""
    print(f"{'case':30} {'way':12} {'ms':>8} {'slowest':>8} {'fullest':>8}")  # noqa: T201 - what it is for
    for name, (model, rooms) in CASES.items():
        chain = chain_of(model, runtime="vllm")
        devices = [
            SplitDevice(name=str(index), memory=gib * GIB, bandwidth=rate * 10**9)
            for index, (gib, rate) in enumerate(rooms)
        ]
        rows: dict[str, list[int] | None] = {"greedy": greedy(chain, devices)}
        for objective in ("latency", "throughput", "balance"):
            split = ullage.split(chain, devices, objective=objective)
            ullage.validate(split)
            found = [place for place in split.assignment if place is not None]
            rows[objective] = found if len(found) == len(chain) else None
        for way, assignment in rows.items():
            told = "does not fit"
            if assignment is not None:
                latency, slowest, fullest = figures(chain, devices, assignment)
                told = f"{latency:8.2f} {slowest:8.2f} {fullest:8.1%}"
            print(f"{name:30} {way:12} {told}")  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
