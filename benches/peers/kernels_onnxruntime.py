"""onnxruntime's products with quantised weights.

`MatMulNBits` takes integers of four bits in blocks of 32, and with accuracy 4 rounds the vector to integers of eight;
`DynamicQuantizeMatMul`, of integers of eight bits with a scale for each row, always does.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

ROWS = 4096
Work = tuple[str, str, str, Callable[[], float]]


def four_bits(rows: int, columns: int, accuracy: int) -> tuple[Any, list[Any]]:
    """Give the node, and its weights."""
    from onnx import helper, numpy_helper  # noqa: PLC0415 - a peer that may be missing

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (rows, columns // 32, 16), dtype=np.uint8)
    scales = rng.uniform(0.01, 0.02, rows * columns // 32).astype(np.float32)
    node = helper.make_node(
        "MatMulNBits",
        ["x", "codes", "scales"],
        ["y"],
        domain="com.microsoft",
        K=columns,
        N=rows,
        bits=4,
        block_size=32,
        accuracy_level=accuracy,
    )
    return node, [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scales, "scales")]


def eight_bits(rows: int, columns: int) -> tuple[Any, list[Any]]:
    """Give the node, and its weights."""
    from onnx import helper, numpy_helper  # noqa: PLC0415 - a peer that may be missing

    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (columns, rows), dtype=np.int8)
    scales = rng.uniform(0.01, 0.02, rows).astype(np.float32)
    node = helper.make_node("DynamicQuantizeMatMul", ["x", "codes", "scales"], ["y"], domain="com.microsoft")
    return node, [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scales, "scales")]


def session(
    rows: int,
    columns: int,
    node: Any,  # noqa: ANN401 - of a package that may be missing
    weights: list[Any],
    *,
    batch: int = 1,
    threads: int = 1,
) -> Any:  # noqa: ANN401 - as above
    """Make a model of one node."""
    import onnxruntime  # noqa: PLC0415 - a peer that may be missing
    from onnx import TensorProto, helper  # noqa: PLC0415

    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, rows])],
        weights,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def available() -> bool:
    """Whether there is onnxruntime, and what makes models for it."""
    try:
        import onnx  # noqa: F401, PLC0415
        import onnxruntime  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def seconds(
    weights: int,
    columns: int,
    node: Any,  # noqa: ANN401 - of a package that may be missing
    held: list[Any],
    *,
    batch: int = 1,
    threads: int = 1,
) -> float:
    """Give seconds for a weight, of products with `batch` vectors."""
    # Many models, so that none lies in a cache when its turn comes.
    count = max(weights // columns // ROWS, 2)
    sessions = [session(ROWS, columns, node, held, batch=batch, threads=threads) for _ in range(count)]
    x = np.random.default_rng(1).standard_normal((batch, columns)).astype(np.float32)
    times = []
    for _ in range(8):
        for one in sessions:
            begin = time.perf_counter()
            one.run(None, {"x": x})
            times.append(time.perf_counter() - begin)
    return float(np.quantile(times, 0.05)) / ROWS / columns


def works(weights: int, columns: int) -> list[Work]:
    """Give name, scheme, what is written, and a call that gives seconds for a weight; nothing without onnxruntime."""
    if not available():
        return []

    def four(accuracy: int) -> float:
        return seconds(weights, columns, *four_bits(ROWS, columns, accuracy))

    return [
        ("onnxruntime MatMulNBits, f32", "linear:4,block=32", "y", lambda: four(0)),
        ("onnxruntime MatMulNBits, int8", "linear:4,block=32", "y", lambda: four(4)),
        (
            "onnxruntime DynamicQuantizeMatMul",
            "linear:8",
            "y",
            lambda: seconds(weights, columns, *eight_bits(ROWS, columns)),
        ),
    ]


def products(weights: int, columns: int, batch: int, threads: int) -> list[tuple[str, str, Callable[[], float]]]:
    """Give name, scheme, and a call that gives seconds for a weight, of products that round `batch` vectors."""
    if not available():
        return []

    def four() -> float:
        return seconds(weights, columns, *four_bits(ROWS, columns, 4), batch=batch, threads=threads)

    def eight() -> float:
        return seconds(weights, columns, *eight_bits(ROWS, columns), batch=batch, threads=threads)

    return [
        ("onnxruntime MatMulNBits, int8", "linear:4,block=32", four),
        ("onnxruntime DynamicQuantizeMatMul", "linear:8", eight),
    ]
