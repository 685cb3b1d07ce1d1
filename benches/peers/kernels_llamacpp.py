"""llama.cpp's own code for GGML blocks, as PyPI's xllamacpp carries it: decoding, and products by its graphs.

Its products round the vector to integers of eight bits first. The library is built for AVX2.
"""

import ctypes
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np

Work = tuple[str, str, str, Callable[[], float]]
Works = Callable[[], float]
Parts = Callable[..., list[Any]]

TYPES = {"f16": 1, "q4_0": 2, "q8_0": 8, "q4_k": 12, "q6_k": 14}
"""Numbers of `ggml_type`."""
F32 = 0
SILENT = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
"""What is done with messages."""
ROWS = 4096
ROUNDS = 8


class Parameters(ctypes.Structure):
    """`ggml_init_params`."""

    _fields_ = (("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("is_empty", ctypes.c_bool))


def library() -> ctypes.CDLL | None:
    """Open the library, if it is installed, with the results of what is called here."""
    spec = find_spec("xllamacpp")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    found = [path for folder in folders for path in sorted(Path(folder).glob("xllamacpp*.so"))]
    if not found:
        return None
    ggml = ctypes.CDLL(str(found[0]))
    pointers = (
        "init",
        "new_graph",
        "new_tensor_2d",
        "mul_mat",
        "backend_cpu_init",
        "backend_cpu_buffer_type",
        "backend_cpu_reg",
        "backend_reg_dev_get",
        "backend_reg_get_proc_address",
        "backend_alloc_ctx_tensors_from_buft",
    )
    for name in pointers:
        getattr(ggml, f"ggml_{name}").restype = ctypes.c_void_p
    ggml.ggml_backend_buft_name.restype = ctypes.c_char_p
    ggml.ggml_log_set(SILENT, None)
    return ggml


def repacked(ggml: ctypes.CDLL) -> int | None:
    """Give the type of buffers that weights are laid out anew in while they are loaded, if there is one."""
    registry = ctypes.c_void_p(ggml.ggml_backend_cpu_reg())
    device = ctypes.c_void_p(ggml.ggml_backend_reg_dev_get(registry, ctypes.c_size_t(0)))
    place = ggml.ggml_backend_reg_get_proc_address(registry, b"ggml_backend_dev_get_extra_bufts")
    if not place:
        return None
    kinds = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(place)(device)
    present = takewhile(bool, (kinds[index] for index in count()))
    names = ((kind, ggml.ggml_backend_buft_name(ctypes.c_void_p(kind))) for kind in present)
    return next((kind for kind, name in names if name == b"CPU_REPACK"), None)


class Products:
    """Weights of one type in memory, each with a graph that multiplies it with vectors."""

    def __init__(
        self,
        ggml: ctypes.CDLL,
        name: str,
        shape: tuple[int, int, int],
        parts: Parts,
        kind: int,
        *,
        batch: int = 1,
        threads: int = 1,
    ) -> None:
        """Make `shape[0]` weights of as many rows and columns as follow, in buffers of `kind`."""
        self.ggml, (number, rows, columns) = ggml, shape
        self.backend = ctypes.c_void_p(ggml.ggml_backend_cpu_init())
        ggml.ggml_backend_cpu_set_n_threads(self.backend, threads)
        plain = ctypes.c_void_p(ggml.ggml_backend_cpu_buffer_type())
        self.weights, self.works = self.context(), self.context()
        kinds = [self.tensor(self.weights, TYPES[name], columns, rows) for _ in range(number)]
        self.buffers = [self.memory(self.weights, ctypes.c_void_p(kind))]
        x = self.tensor(self.works, F32, columns, batch)
        self.graphs = []
        for weight in kinds:
            graph = ctypes.c_void_p(ggml.ggml_new_graph(self.works))
            product = ctypes.c_void_p(ggml.ggml_mul_mat(self.works, weight, x))
            ggml.ggml_build_forward_expand(graph, product)
            self.graphs.append(graph)
        self.buffers.append(self.memory(self.works, plain))
        vector = np.random.default_rng(1).standard_normal(columns * batch).astype(np.float32)
        self.put(x, vector.view(np.uint8))
        scheme = "dense:f16" if name == "f16" else f"gguf:{name}"
        for seed, weight in enumerate(kinds):
            (blocks,) = parts(scheme, rows, seed)
            self.put(weight, blocks)

    def context(self) -> ctypes.c_void_p:
        """Make room for descriptions of tensors and graphs."""
        parameters = Parameters(1 << 26, None, True)  # noqa: FBT003 - a field of a structure
        return ctypes.c_void_p(self.ggml.ggml_init(parameters))

    def tensor(self, context: ctypes.c_void_p, kind: int, columns: int, rows: int) -> ctypes.c_void_p:
        """Describe a tensor."""
        sizes = ctypes.c_int64(columns), ctypes.c_int64(rows)
        return ctypes.c_void_p(self.ggml.ggml_new_tensor_2d(context, kind, *sizes))

    def memory(self, context: ctypes.c_void_p, kind: ctypes.c_void_p) -> ctypes.c_void_p:
        """Allocate the tensors of a context."""
        return ctypes.c_void_p(self.ggml.ggml_backend_alloc_ctx_tensors_from_buft(context, kind))

    def put(self, tensor: ctypes.c_void_p, data: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Copy `data` to a tensor, which lays it out anew where its buffer does that."""
        place = data.ctypes.data_as(ctypes.c_void_p)
        self.ggml.ggml_backend_tensor_set(tensor, place, ctypes.c_size_t(0), ctypes.c_size_t(data.nbytes))

    def times(self) -> list[float]:
        """Compute all graphs in turn; gives the seconds of each."""
        times = []
        for _ in range(ROUNDS):
            for graph in self.graphs:
                begin = time.perf_counter()
                self.ggml.ggml_backend_graph_compute(self.backend, graph)
                times.append(time.perf_counter() - begin)
        return times

    def free(self) -> None:
        """Give everything back."""
        for buffer in self.buffers:
            self.ggml.ggml_backend_buffer_free(buffer)
        for context in (self.works, self.weights):
            self.ggml.ggml_free(context)
        self.ggml.ggml_backend_free(self.backend)


def works(weights: int, columns: int, parts: Parts) -> list[Work]:
    """Give name, scheme, what is written, and a call that gives seconds for a weight; nothing without the library."""
    ggml = library()
    if ggml is None:
        return []
    rows = max(weights // columns, 1)

    def decode(name: str) -> float:
        (blocks,) = parts(f"gguf:{name}", rows)
        out = np.zeros(weights, np.float32)
        call = getattr(ggml, f"dequantize_row_{name[:-1]}{name[-1].upper()}")
        one, times = blocks.nbytes // rows, []
        for row in range(0, rows - 63, 64):
            source, to = blocks.ctypes.data + row * one, out.ctypes.data + row * columns * 4
            begin = time.perf_counter()
            call(ctypes.c_void_p(source), ctypes.c_void_p(to), ctypes.c_int64(64 * columns))
            times.append(time.perf_counter() - begin)
        return float(np.quantile(times, 0.05)) / 64 / columns

    # Enough of them that none lies in a cache when its turn comes.
    shape = (max(16 * weights // columns // ROWS, 2), ROWS, columns)
    plain = int(ggml.ggml_backend_cpu_buffer_type())

    def multiply(name: str, kind: int) -> float:
        products = Products(ggml, name, shape, parts, kind)
        try:
            return float(np.quantile(products.times(), 0.05)) / ROWS / columns
        finally:
            products.free()

    names = [name for name in TYPES if name != "f16"]
    found: list[Work] = [(f"llama.cpp {name}", f"gguf:{name}", "f32", partial(decode, name)) for name in names]
    found.append(("llama.cpp f16", "dense:f16", "y", partial(multiply, "f16", plain)))
    found += [(f"llama.cpp {name}", f"gguf:{name}", "y", partial(multiply, name, plain)) for name in names]
    kind = repacked(ggml)
    if kind is not None:
        again = ("q4_0", "q4_k")
        found += [(f"llama.cpp {name} repacked", f"gguf:{name}", "y", partial(multiply, name, kind)) for name in again]
    return found


def products(weights: int, columns: int, parts: Parts, batch: int, threads: int) -> list[tuple[str, str, Works]]:
    """Give name, scheme, and a call that gives seconds for a weight, of products with `batch` vectors."""
    ggml = library()
    if ggml is None:
        return []
    shape = (max(weights // columns // ROWS, 2), ROWS, columns)
    plain, again = int(ggml.ggml_backend_cpu_buffer_type()), repacked(ggml)

    def multiply(name: str, kind: int) -> float:
        found = Products(ggml, name, shape, parts, kind, batch=batch, threads=threads)
        try:
            return float(np.quantile(found.times(), 0.05)) / ROWS / columns
        finally:
            found.free()

    names = [(f"llama.cpp {name}", name, plain) for name in TYPES if name != "f16"]
    if again is not None:
        names += [(f"llama.cpp {name} repacked", name, again) for name in ("q4_0", "q4_k")]
    return [(shown, f"gguf:{name}", partial(multiply, name, kind)) for shown, name, kind in names]
