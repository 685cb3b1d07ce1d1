"""Reading models: as the format's own reader does, from headers alone, and never fooled by a file."""

import errno
import json
import os
import struct
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

import ullage
from ullage import Model
from ullage.errors import ArgumentError, ModelFileError, ModelNotFoundError, QuantityError, UllageError, UnreadableError

Arrays = dict[str, npt.NDArray[Any]]

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
}


def write(path: Path, header: object, data: int = 0, *, length: int | None = None) -> Path:
    """Write a safetensors file: any header, `data` zero bytes, and a length that may lie."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(data))
    return path


def entry(shape: list[Any], start: int, end: int, dtype: object = "F32") -> dict[str, object]:
    """Give one tensor as a header lists it."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def agree(model: Model, files: list[Path]) -> None:
    """Check a model tensor by tensor against the format's own reader."""
    ours = {tensor.name: tensor for tensor in model.tensors}
    assert len(ours) == len(model.tensors)
    theirs: set[str] = set()
    for file in files:
        raw = file.read_bytes()
        with safe_open(file, framework="numpy") as reader:
            names = list(reader.keys())
            for name in names:
                tensor, slice_ = ours[name], reader.get_slice(name)
                assert (tensor.dtype, tensor.shape) == (slice_.get_dtype(), list(slice_.get_shape()))
                array = reader.get_tensor(name)
                assert tensor.bytes == array.nbytes
                assert raw[tensor.offset : tensor.offset + tensor.bytes] == array.tobytes(), "the offset is true"
        theirs.update(names)
    assert set(ours) == theirs
    assert model.tensor_bytes == sum(tensor.bytes for tensor in model.tensors)
    assert model.file_bytes == sum(file.stat().st_size for file in files)
    for view in (model.parts, model.dtypes):
        assert sum(view.values()) == model.tensor_bytes
    assert sum(model.layers.values()) <= model.tensor_bytes


# Agreement with the format's own reader.


def test_a_real_model_is_read_as_it_is(minilm_dir: Path) -> None:
    file = minilm_dir / "model.safetensors"
    model = ullage.open_model(file)
    assert (model.architecture, len(model.tensors)) == ("bert", 104)
    assert (model.file_bytes, model.tensor_bytes) == (90_868_376, 90_856_960)
    assert model.dtypes == {"F32": 90_852_864, "I64": 4_096}
    assert model.parameters == 90_852_864 // 4
    assert len(model.layers) == 6
    assert len(set(model.layers.values())) == 1, "all layers of a BERT are alike"
    agree(model, [file])
    assert ullage.open_model(minilm_dir).tensor_bytes == model.tensor_bytes
    assert model.path == file
    assert repr(model).endswith("104 tensors, 90.86 MB)")


@pytest.mark.parametrize(("dtype", "numpy_name"), DTYPES.items())
def test_every_dtype_of_numpy_is_read(tmp_path: Path, dtype: str, numpy_name: str) -> None:
    arrays: Arrays = {
        "scalar": np.ones((), numpy_name),
        "empty": np.ones((3, 0, 2), numpy_name),
        "vector": np.ones(5, numpy_name),
        "cube": np.ones((2, 3, 4), numpy_name),
    }
    save_file(arrays, tmp_path / "x.safetensors")
    model = ullage.open_model(tmp_path / "x.safetensors")
    agree(model, [tmp_path / "x.safetensors"])
    assert set(model.dtypes) == {dtype}
    assert model.parameters == (30 if dtype[0] in "FBC" and dtype != "BOOL" else 0)


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name != "__metadata__"
)
shapes = st.lists(st.integers(0, 4), max_size=4)


@given(st.dictionaries(names, st.tuples(shapes, st.sampled_from(sorted(DTYPES.values()))), max_size=8))
def test_any_file_of_the_format_is_read(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Any]) -> None:
    file = tmp_path_factory.mktemp("any") / "x.safetensors"
    save_file({name: np.ones(shape, dtype) for name, (shape, dtype) in tensors.items()}, file)
    agree(ullage.open_model(file), [file])


def shard(folder: Path, *, index: bool) -> list[Path]:
    """Write a model in three files, with an index or not."""
    files = [folder / f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    weight_map: dict[str, str] = {}
    for number, file in enumerate(files):
        arrays: Arrays = {f"layers.{number}.w": np.ones((4, number + 1), "float16"), f"n{number}": np.ones(3)}
        save_file(arrays, file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(arrays, file.name)
    if index:
        text = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map})
        (folder / "model.safetensors.index.json").write_text(text)
    return files


@pytest.mark.parametrize("index", [True, False])
def test_shards_are_one_model(tmp_path: Path, *, index: bool) -> None:
    files = shard(tmp_path, index=index)
    agree(ullage.open_model(tmp_path), files)
    if index:
        agree(ullage.open_model(str(tmp_path / "model.safetensors.index.json")), files)


# From headers alone.


def test_a_file_of_100_gb_is_read_from_its_header(tmp_path: Path) -> None:
    size = 100_000_000_000
    file = write(tmp_path / "huge.safetensors", {"w": entry([size], 0, size, "U8")})
    os.truncate(file, file.stat().st_size + size)
    if file.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("this file system has no sparse files")
    model = ullage.open_model(file)
    assert (model.tensor_bytes, model.file_bytes) == (size, file.stat().st_size)


@pytest.mark.skipif(not Path("/proc/self/io").is_file(), reason="Linux counts what is read")
def test_no_page_of_weights_is_touched(minilm_dir: Path) -> None:
    """Neither read nor mapped: both counters of the kernel stay small while 91 MB are described."""
    program = textwrap.dedent("""
        import sys, ullage, resource
        def counts():
            io = dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
            return int(io["rchar"]), resource.getrusage(resource.RUSAGE_SELF)
        counts()
        ullage.open_model(sys.argv[2])
        before, used = counts()
        model = ullage.open_model(sys.argv[1])
        after, then = counts()
        maps = open("/proc/self/maps").read()
        print(after - before, (then.ru_minflt - used.ru_minflt) * 4096, sys.argv[1] in maps, model.tensor_bytes)
    """)
    file = str(minilm_dir / "model.safetensors")
    run = subprocess.run([sys.executable, "-c", program, file, file], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    read, faulted, is_mapped, size = run.stdout.split()
    assert int(read) < 64 << 10
    assert int(faulted) < 2 << 20
    assert (is_mapped, size) == ("False", "90856960")


# Hostile files.

DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000
LONG = "n" * 10_000

HEADERS: dict[str, tuple[object, int]] = {
    "not JSON": (b"\x80\x02}q\x00.", 0),
    "not UTF-8": (b'{"\xff": 1}', 0),
    "an array": ([], 0),
    "a number": (b"7", 0),
    "nothing": (b"", 0),
    "deep nesting": (DEEP, 0),
    "deep arrays": (b"[" * 100_000, 0),
    "deep shape": (
        b'{"w": {"dtype": "F32", "shape": ' + b"[" * 9_999 + b"]" * 9_999 + b', "data_offsets": [0, 4]}}',
        4,
    ),
    "a tensor that is no object": ({"w": 7}, 0),
    "no dtype": ({"w": {"shape": [1], "data_offsets": [0, 4]}}, 4),
    "unknown dtype": ({"w": entry([1], 0, 4, "F33")}, 4),
    "dtype that is a number": ({"w": entry([1], 0, 4, 32)}, 4),
    "negative shape": ({"w": entry([-1], 0, 4)}, 4),
    "fractional shape": ({"w": entry([1.5], 0, 4)}, 4),
    "shape beyond 64 bits": ({"w": entry([2**64], 0, 4)}, 4),
    "shape that overflows": ({"w": entry([2**32, 2**32], 0, 4)}, 4),
    "bits that overflow": ({"w": entry([2**62], 0, 4)}, 4),
    "shape of zero times overflow": ({"w": entry([2**63, 2**63, 0], 0, 0)}, 1),
    "shape larger than its data": ({"w": entry([2], 0, 4)}, 4),
    "offsets that run backwards": ({"w": entry([1], 4, 0)}, 4),
    "offsets beyond 64 bits": ({"w": entry([1], 0, 2**64)}, 4),
    "offsets at the end of 64 bits": ({"w": entry([1], 2**64 - 5, 2**64 - 1)}, 4),
    "one offset": ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, 4),
    "a gap": ({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, 12),
    "a gap at the start": ({"a": entry([1], 4, 8)}, 8),
    "overlap": ({"a": entry([2], 0, 8), "b": entry([1], 4, 8)}, 8),
    "the same bytes twice": ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, 4),
    "truncated data": ({"w": entry([4], 0, 16)}, 15),
    "data left over": ({"w": entry([4], 0, 16)}, 17),
    "data without tensors": ({}, 1),
    "duplicate names": (
        b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        2,
    ),
    "duplicate metadata": (b'{"__metadata__":{},"__metadata__":{}}', 0),
    "metadata that is no text": ({"__metadata__": {"a": 1}}, 0),
    "half bytes": ({"w": entry([3], 0, 1, "F4")}, 1),
    "a long name": ({LONG: entry([2], 0, 4)}, 4),
    "text after the end": (b"{} {}", 0),
    "a NUL": (b"\x00{}", 0),
}


@pytest.mark.parametrize(("header", "data"), HEADERS.values(), ids=HEADERS.keys())
def test_a_hostile_header_is_one_error_that_names_the_file(tmp_path: Path, header: object, data: int) -> None:
    file = write(tmp_path / "x.safetensors", header, data)
    fault = fault_of(file)
    assert fault.path == str(file)
    assert len(str(fault)) < 1_000 + len(str(file)), "a message is for reading"
    assert fault.offset is not None or fault.field is not None or "header" in fault.reason


def fault_of(path: Path) -> ModelFileError:
    """Give the error that reading a path raises; the format's own reader must not take it either."""
    with pytest.raises(ModelFileError) as caught:
        ullage.open_model(path)
    assert caught.value.reason
    return caught.value


@pytest.mark.parametrize("length", [1, 100, 10**8, 10**8 + 1, 2**31, 2**63, 2**64 - 1, 2**64 - 8])
def test_a_header_that_claims_more_than_the_file_has_is_refused(tmp_path: Path, length: int) -> None:
    assert fault_of(write(tmp_path / "x.safetensors", {}, length=length)).offset in {0, 8}


@pytest.mark.parametrize("size", range(11))
def test_every_truncation_is_found(tmp_path: Path, size: int) -> None:
    whole = write(tmp_path / "whole", {"w": entry([4], 0, 16)}, 16).read_bytes()
    for kept in range(size, len(whole), 11):
        (tmp_path / "x.safetensors").write_bytes(whole[:kept])
        fault_of(tmp_path / "x.safetensors")


@given(st.binary(max_size=200), st.integers(0, 120), st.binary(max_size=20))
def test_random_damage_is_an_error_or_a_file_that_the_format_allows(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int, patch: bytes
) -> None:
    file = tmp_path_factory.mktemp("noise") / "x.safetensors"
    file.write_bytes(noise)
    with pytest.raises(ModelFileError):
        ullage.open_model(file)
    whole = write(file, {"a": entry([2], 0, 8), "b": entry([1], 8, 12)}, 12).read_bytes()
    file.write_bytes(whole[:place] + patch + whole[place + len(patch) :])
    try:
        model = ullage.open_model(file)
    except ModelFileError:
        return
    with safe_open(file, framework="numpy") as reader:
        assert Counter(reader.keys()) == Counter(tensor.name for tensor in model.tensors)


def test_a_header_of_the_longest_kind_is_read(tmp_path: Path) -> None:
    """Writers pad headers with spaces."""
    text = json.dumps({"w": entry([1], 0, 4)}).encode() + b" " * 1_000_000
    assert ullage.open_model(write(tmp_path / "x.safetensors", text, 4)).tensors[0].offset == 8 + len(text)


# Hostile directories and indices.

INDICES: dict[str, object] = {
    "traversal": {"weight_map": {"w": "../x.safetensors"}},
    "absolute path": {"weight_map": {"w": "/etc/passwd"}},
    "traversal within": {"weight_map": {"w": "a/../x.safetensors"}},
    "Windows traversal": {"weight_map": {"w": "..\\x.safetensors"}},
    "current directory": {"weight_map": {"w": "."}},
    "no name": {"weight_map": {"w": ""}},
    "a NUL": {"weight_map": {"w": "x\x00.safetensors"}},
    "absent shard": {"weight_map": {"w": "absent.safetensors"}},
    "a number": {"weight_map": {"w": 7}},
    "an array": {"weight_map": ["x.safetensors"]},
    "empty map": {"weight_map": {}},
    "no map": {"metadata": {}},
    "not JSON": b"weight_map",
    "not UTF-8": b'{"weight_map": {"\xff": "x.safetensors"}}',
    "deep nesting": DEEP,
    "a tensor that is not there": {"weight_map": {"w": "x.safetensors", "ghost": "x.safetensors"}},
    "a shard that is a directory": {"weight_map": {"w": "folder.safetensors"}},
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES.keys())
def test_a_hostile_index_is_one_error_that_names_it(tmp_path: Path, index: object) -> None:
    inside = tmp_path / "inside"
    (inside / "folder.safetensors").mkdir(parents=True)
    for folder in (tmp_path, inside):
        write(folder / "x.safetensors", {"w": entry([1], 0, 4)}, 4)
    file = inside / "model.safetensors.index.json"
    file.write_bytes(index if isinstance(index, bytes) else json.dumps(index).encode())
    for path in (inside, file):
        assert fault_of(path).path == str(file)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"model-{number:05}-of-00002.safetensors", {"w": entry([1], 0, 4)}, 4)
    assert fault_of(tmp_path).field == "w"


@pytest.mark.parametrize(
    "files",
    [
        ["model-00001-of-00003", "model-00002-of-00003"],
        ["model-00001-of-00002", "model-00003-of-00002"],
        ["a-00001-of-00002", "b-00001-of-00002"],
        ["a-00001-of-00002", "b-00002-of-00002"],
        ["one", "two"],
        [],
    ],
)
def test_files_that_are_no_complete_set_are_refused(tmp_path: Path, files: list[str]) -> None:
    for number, name in enumerate(files):
        write(tmp_path / f"{name}.safetensors", {f"w{number}": entry([1], 0, 4)}, 4)
    assert fault_of(tmp_path).path == str(tmp_path)


@pytest.mark.parametrize("config", [b"[]", b"{", b"\xff", DEEP, b'{"hidden_size": -1}', b'{"hidden_size": 1e99}'])
def test_a_hostile_configuration_is_one_error_that_names_it(tmp_path: Path, config: bytes) -> None:
    write(tmp_path / "model.safetensors", {"w": entry([1], 0, 4)}, 4)
    (tmp_path / "config.json").write_bytes(config)
    assert fault_of(tmp_path).path == str(tmp_path / "config.json")


# Paths that are no files.


def pipe(path: Path) -> Path:
    """Make a pipe that nobody writes into: opening it waits for ever."""
    os.mkfifo(path)
    return path


def to_zeros(path: Path) -> Path:
    """Link to a device that never ends."""
    path.symlink_to("/dev/zero")
    return path


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has such paths")
@pytest.mark.parametrize("make", [pipe, to_zeros])
@pytest.mark.parametrize("name", ["x.safetensors", "model.safetensors.index.json", "anything"])
def test_pipes_and_devices_are_refused_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], Path], name: str
) -> None:
    file = make(tmp_path / name)
    assert fault_of(file).path == str(file)
    fault_of(tmp_path)


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has such paths")
def test_a_pipe_among_the_files_of_a_model_is_passed_by(tmp_path: Path) -> None:
    write(tmp_path / "x.safetensors", {"w": entry([1], 0, 4)}, 4)
    for name in ("config.json", "model.safetensors", "model.safetensors.index.json", "y.safetensors"):
        pipe(tmp_path / name)
    assert ullage.open_model(tmp_path).tensor_bytes == 4


def test_what_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path / "absent" / "x.safetensors", ""):
        with pytest.raises(ModelNotFoundError) as caught:
            ullage.open_model(path)
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.path == str(path)


def test_paths_that_the_system_refuses_are_unreadable(tmp_path: Path) -> None:
    loop = tmp_path / "loop.safetensors"
    loop.symlink_to(loop)
    file = write(tmp_path / "file", {})
    for path in (loop, file / "x.safetensors", tmp_path / ("x" * 5_000), f"{tmp_path}/a\x00b"):
        with pytest.raises(UnreadableError) as caught:
            ullage.open_model(path)
        assert caught.value.path == str(path)
        assert isinstance(caught.value, OSError)
    fault_of(tmp_path)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Be somebody without rights, since the superuser may read everything."""
    if sys.platform == "win32":
        pytest.skip("POSIX permissions")
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_a_forbidden_file_is_unreadable(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    file = write(tmp_path / "model.safetensors", {"w": entry([1], 0, 4)}, 4)
    file.chmod(0)
    request.getfixturevalue("nobody")
    for path in (file, tmp_path):
        with pytest.raises(UnreadableError) as caught:
            ullage.open_model(path)
        assert caught.value.path in {str(file), str(path)}
        assert isinstance(caught.value, OSError)
        assert caught.value.errno == errno.EACCES


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes such names")
def test_names_that_are_not_utf8_are_read_and_named(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    write(folder / "x.safetensors", {"w": entry([1], 0, 4)}, 4)
    assert ullage.open_model(folder).path == folder
    assert ullage.open_model(folder / "x.safetensors").tensor_bytes == 4
    damaged = write(folder / "y.safetensors", b"")
    assert Path(fault_of(damaged).path) == damaged
    with pytest.raises(ModelNotFoundError) as caught:
        ullage.open_model(folder / "absent")
    assert Path(caught.value.path) == folder / "absent"


@pytest.mark.parametrize("path", [None, 7, 1.5, b"x", [], object()])
def test_what_is_no_path_is_a_type_error(path: Any) -> None:
    with pytest.raises(TypeError):
        ullage.open_model(path)


# Models known by a size.


def test_a_size_is_a_model_of_16_bit_weights() -> None:
    model = Model.of_size("m", "2GB")
    assert (model.tensor_bytes, model.parameters, model.path, model.architecture) == (2 * 10**9, 10**9, None, None)
    assert Model.of_size("m", 2**64 - 1).tensor_bytes == 2**64 - 1


@pytest.mark.parametrize("sizes", [(0, 5, 5), (6, 5, 7), (4, 5, 3), (0, 0, 0)])
def test_published_sizes_out_of_order_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ArgumentError):
        Model.published("m", *sizes)


@pytest.mark.parametrize(("size", "error"), [(0, ArgumentError), (-1, QuantityError), (True, QuantityError)])
def test_bad_sizes_are_no_models(size: Any, error: type[UllageError]) -> None:
    with pytest.raises(error):
        Model.of_size("m", size)
