"""Compiles `ledger_c.c`, the ledger written by hand in C, for the interpreter that runs this."""

import functools
import importlib.util
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_suffix(".c")


class NoCompilerError(RuntimeError):
    """There is no C compiler, or it cannot build extensions; says why."""


@functools.cache
def load() -> Any:  # noqa: ANN401 - a module without types
    """Build the module in a temporary folder and import it."""
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        compiler = ["cc"]
    if shutil.which(compiler[0]) is None:
        raise NoCompilerError("no C compiler")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        raise NoCompilerError(f"no {header}")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"ledger_c{sysconfig.get_config_var('EXT_SUFFIX')}"
        options = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{header.parent}"]
        build = [*compiler, *options, str(SOURCE), "-o", str(library)]
        done = subprocess.run(build, capture_output=True, text=True, check=False)  # noqa: S603 - the compiler of Python
        if done.returncode:
            raise NoCompilerError(done.stderr.strip())
        spec = importlib.util.spec_from_file_location("ledger_c", library)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def account(limit: int = 1 << 40, levels: int = 4) -> Any:  # noqa: ANN401 - an object without types
    """Give the lowest of as many accounts below one another."""
    lowest = None
    for _ in range(levels):
        lowest = load().Account(limit, lowest)
    return lowest
