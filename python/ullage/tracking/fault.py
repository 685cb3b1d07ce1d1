"""How a trace file says no: one error that names the file and the place."""

from pathlib import Path

from ullage.errors import ModelNotFoundError, TraceFileError, UnreadableError

__all__ = ["fault", "read_bytes", "read_head"]

CLIPPED = 200


def fault(path: Path, reason: str, *, field: str | None = None, offset: int | None = None) -> TraceFileError:
    """Make the error; a long reason is cut."""
    reason = reason if len(reason) <= CLIPPED else f"{reason[:CLIPPED]}..."
    place = "" if field is None else f", {field}"
    place += "" if offset is None else f", byte {offset:,}"
    return TraceFileError(f"{path}{place}: {reason}", path=str(path), offset=offset, field=field, reason=reason)


def read_bytes(path: Path) -> bytes:
    """Read a whole file."""
    return read_head(path, -1)


def read_head(path: Path, size: int) -> bytes:
    """Read the first `size` bytes of a file, or fewer if it is shorter."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path}: no such file", path=str(path)) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableError(f"{path}: cannot be read: {reason}", path=str(path)) from error
