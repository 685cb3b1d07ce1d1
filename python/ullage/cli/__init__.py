"""The command line. It asks the library and shows the answer; it computes nothing itself."""

import importlib
import importlib.util
import signal
import sys
from io import TextIOWrapper

__all__ = ["main"]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it: 128 and the signal's number."""


def main() -> None:
    """Run `ullage` on the arguments of the process, and end the process with the command's exit status."""
    if any(importlib.util.find_spec(name) is None for name in ("click", "rich")):
        sys.stderr.write("The command line needs click and rich: pip install 'ullage[cli]'\n")
        sys.exit(2)
    _write_like_a_tool()
    try:
        importlib.import_module("ullage.cli.app").app.main(prog_name="ullage")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _write_like_a_tool() -> None:
    """End quietly where the reader of a pipe is gone, and escape what the terminal's encoding cannot write."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
