"""What onnxruntime takes for a model with int8 weights, beside what `simulate` says of the policy that it follows.

The model is a number of tables of int8 with a half for the scale of each row, that rows are looked up in. As it comes,
onnxruntime keeps the integers and expands a table whenever its turn comes, into memory that it gives back after:
`just_in_time`. Told to treat `DequantizeLinear` as any other operation it expands all, once, while it loads:
`load_time`. Each load is a process of its own, whose growth the operating system tells: at its peak, and in shares of
pages after. Those processes have glibc give back what is freed: what its heap keeps by default, up to 30 % here,
belongs to no model (`--heap` leaves it as it is).

Beside weights onnxruntime takes some 13 KB for a table's two nodes, and while it expands one, a second copy of that.

    python benches/jit_outside.py [--tables 48] [--rows 2048] [--repeats 3] [--heap] [--json]
"""
# ruff: noqa: T201, PLC0415 - it prints; what is measured loads nothing that it does not need

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TARGET = 0.02
"""How far measured and predicted may lie apart."""
HEAP = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0"}
"""What makes glibc give back every piece of 64 KiB and more as it is freed."""
EXPAND = "session.disable_quant_qdq"
"""What makes onnxruntime compute `DequantizeLinear` of weights at load."""


def layers(tables: int, rows: int) -> list[tuple[str, list[int], str]]:
    """Give the model as `ullage.simulate` takes it."""
    return [(f"table.{index}", [rows, rows], "linear:8") for index in range(tables)]


def predicted(tables: int, rows: int) -> dict[str, int]:
    """Say what is taken at the peak: what is stored, and what all of it, or the largest table, becomes."""
    import ullage

    device = ullage.Profile.from_json(
        json.dumps({"name": "any", "read": {"value": 1e10, "unit": "bytes_per_second", "origin": "assumed"}})
    )
    expanded = ullage.simulate(layers(tables, rows), device, policy="load_time")
    kept = ullage.simulate(layers(tables, rows), device, policy="just_in_time")
    return {"load_time": expanded.peak_bytes, "just_in_time": kept.peak_bytes}


def write_model(path: Path, tables: int, rows: int) -> None:
    """Write the model: a table, its scales, a `DequantizeLinear` and a `Gather` each."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    noise = np.random.default_rng(0)
    nodes, weights, outputs = [], [], []
    for index in range(tables):
        table = noise.integers(-127, 128, (rows, rows), dtype=np.int8)
        weights += [
            numpy_helper.from_array(table, f"table{index}"),
            numpy_helper.from_array(np.full(rows, 0.01, np.float16), f"scale{index}"),
        ]
        names = [f"table{index}", f"scale{index}"]
        nodes.append(helper.make_node("DequantizeLinear", names, [f"wide{index}"], axis=0))
        nodes.append(helper.make_node("Gather", [f"wide{index}", "row"], [f"y{index}"]))
        outputs.append(helper.make_tensor_value_info(f"y{index}", onnx.TensorProto.FLOAT16, [1, rows]))
    row = helper.make_tensor_value_info("row", onnx.TensorProto.INT64, [1])
    graph = helper.make_graph(nodes, "tables", [row], outputs, weights)
    opset = [helper.make_opsetid("", 19)]
    onnx.save_model(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Say by how much a process grew: at its peak, which is counted in whole pages, and in shares of pages after."""
    return {"peak": after["VmHWM"] - before["VmRSS"], "after": after["Pss"] - before["Pss"]}


def error(said: int, measured: int) -> float:
    """Give predicted over measured, less one."""
    return said / measured - 1


def fields(text: str) -> dict[str, int]:
    """Read lines such as `VmHWM:  1024 kB`, in bytes."""
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if row[2:] == ["kB"]}


def measured(model: Path, warm: Path, *, expand: bool, repeats: int, heap: bool = False) -> dict[str, int]:
    """Load the model in processes of their own; gives medians."""
    around = os.environ | ({} if heap else HEAP)
    command = [sys.executable, __file__, "--child", str(model), str(warm), *(["--expand"] if expand else [])]
    runs = [json.loads(subprocess.check_output(command, env=around)) for _ in range(repeats)]  # noqa: S603 - our own
    return {name: int(statistics.median(run[name] for run in runs)) for name in ("peak", "after")}


def load(model: str, warm: str, *, expand: bool) -> dict[str, int]:
    """Load a model once another is loaded, so that the runtime itself is there already."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # which takes memory in powers of two
    if expand:
        options.add_session_config_entry(EXPAND, "1")

    def ready(path: str) -> onnxruntime.InferenceSession:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        session.run(None, {"row": np.zeros(1, np.int64)})
        return session

    process = Path("/proc/self")

    def look() -> dict[str, int]:
        texts = [(process / name).read_text(encoding="ascii") for name in ("status", "smaps_rollup")]
        return fields("\n".join(texts))

    kept = [ready(warm)]
    before = look()
    (process / "clear_refs").write_text("5", encoding="ascii")  # forgets the peak
    kept.append(ready(model))
    return grown(before, look())


def compare(tables: int, rows: int, repeats: int, *, heap: bool = False) -> list[dict[str, Any]]:
    """Measure and predict loading with expansion and without."""
    said = predicted(tables, rows)
    with tempfile.TemporaryDirectory() as folder:
        model, warm = Path(folder) / "model.onnx", Path(folder) / "warm.onnx"
        write_model(model, tables, rows)
        write_model(warm, 1, 16)
        found = {name: measured(model, warm, expand=name == "load_time", repeats=repeats, heap=heap) for name in said}
    return [
        {
            "policy": name,
            "predicted_peak": said[name],
            "measured_peak": found[name]["peak"],
            "measured_after": found[name]["after"],
            "error": error(said[name], found[name]["peak"]),
        }
        for name in said
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison; exit status 1 where it misses the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=48)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--heap", action="store_true", help="leave to glibc what it does with freed memory")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("MODEL", "WARM"), help=argparse.SUPPRESS)
    parser.add_argument("--expand", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        print(json.dumps(load(*chosen.child, expand=chosen.expand)))
        return 0
    rows = compare(chosen.tables, chosen.rows, chosen.repeats, heap=chosen.heap)
    if chosen.json:
        print(json.dumps(rows))
    else:
        print(f"{'':14}{'predicted':>14}{'peak':>14}{'after':>14}{'error':>8}")
        for row in rows:
            figures = "".join(f"{row[name]:>14,}" for name in ("predicted_peak", "measured_peak", "measured_after"))
            print(f"{row['policy']:14}{figures}{row['error']:>+8.2%}")
    return 0 if all(abs(row["error"]) <= TARGET for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
