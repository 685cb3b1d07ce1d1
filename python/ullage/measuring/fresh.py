"""Measuring what it takes to load a model file, in a process of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ullage._core import Footprint, Model
from ullage.errors import MeasureError, UllageError
from ullage.measuring.measurement import measure
from ullage.measuring.outcome import Measurement

__all__ = ["Loader", "loader_of", "measure_fresh"]


@dataclass(frozen=True, slots=True)
class Loader:
    """How files of one format are loaded here."""

    runtime: str
    package: str
    """What it takes beside numpy; in the extra `measure`."""
    runs: bool
    """Whether the model is run once, too: else it is loaded alone."""


LOADERS = {
    "onnx": Loader("onnxruntime", "onnxruntime", runs=True),
    "safetensors": Loader("numpy", "safetensors", runs=False),
}


def loader_of(model: Model) -> Loader:
    """Give the loader for `model`; raises `MeasureError` where there is none."""
    if model.path is None:
        raise _refused(f"{model.name} is a name or a size; to be measured it must be a file")
    loader = LOADERS.get(model.format or "")
    if loader is None:
        known = " and ".join(sorted(LOADERS))
        raise _refused(f"{model.format} files cannot be loaded here, {known} can; `ullage.measure` takes any function")
    return loader


def measure_fresh(needs: Footprint) -> Measurement[None]:
    """Load the model of `needs` in a fresh process, run it once where that is possible, measure that and keep it.

    The growth counts from a process that has this package imported and nothing else: the libraries that load and run
    the model are part of it, as they are of the overhead; the interpreter is not. Raises `MeasureError` with the reason
    where the file cannot be loaded, its library is not installed or the process was killed.
    """
    loader = loader_of(needs.model)
    task = {
        "path": str(Path(needs.model.path or "").resolve()),
        "format": needs.model.format,
        "runtime": loader.runtime,
        "context": needs.context if loader.runs else None,
        "batch": needs.batch if loader.runs else None,
        "kv_dtype": needs.kv_dtype,
    }
    command = [sys.executable, "-P", "-m", "ullage.measuring.fresh"]
    done = subprocess.run(command, input=json.dumps(task).encode(), capture_output=True, check=False)  # noqa: S603
    answer = _answer(done)
    if "error" in answer:
        raise _refused(str(answer["error"]))
    return Measurement(**(answer | {"notes": tuple(answer["notes"]), "result": None}))


def _answer(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """Read what the process said last; a process that could not say anything was killed, or failed to start."""
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
        if isinstance(answer, dict):
            return answer
    except (IndexError, ValueError):
        pass
    said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
    memory = ", perhaps for want of memory" if done.returncode == -9 else ""  # noqa: PLR2004 - SIGKILL
    raise _refused(": ".join([f"the process that loaded it ended with {how}{memory}", *said]))


def _refused(reason: str) -> MeasureError:
    return MeasureError(reason, reason=reason)


def _main() -> None:
    """Measure what the JSON on stdin asks for; say the figures, or what was wrong, as the last line on stdout."""
    task = json.load(sys.stdin)
    path, context, batch = task["path"], task["context"], task["batch"]

    def load() -> object:
        from ullage.measuring import loaders  # noqa: PLC0415 - numpy counts

        if task["format"] == "onnx":
            return loaders.load_onnx(path, context=context, batch=batch)
        return loaders.load_safetensors(path)

    keys = {name: task[name] for name in ("runtime", "context", "batch", "kv_dtype")}
    try:
        found = measure(load, model=path, **keys)
    except UllageError as error:
        answer: dict[str, Any] = {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever a foreign loader raises
        answer = {"error": f"{task['runtime']} could not load or run it: {type(error).__name__}: {error}"[:1000]}
    else:
        left_out = {"result", "notes"}
        answer = {name: getattr(found, name) for name in Measurement.__dataclass_fields__ if name not in left_out}
        answer["notes"] = list(found.notes)
    print("\n" + json.dumps(answer), flush=True)  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    _main()
