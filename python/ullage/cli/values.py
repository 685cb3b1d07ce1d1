"""What arguments and options are made of: files, sizes and numbers, each refused where it is given."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ullage import UllageError, parse_bytes
from ullage.errors import ModelNotFoundError as FileMissingError
from ullage.errors import QuantityError, UnreadableError

__all__ = ["INPUT", "OUTPUT", "SIZE", "Number", "of_file"]


class _Input(click.ParamType):  # type: ignore[type-arg] # generic in newer versions of click alone
    """A file or folder to read; whether it is there is for its reader to say."""

    name = "path"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Refuse a path without a name, which would be the current folder."""
        text = str(value)
        if not text:
            self.fail("an empty name is no file", param, ctx)
        if "\0" in text:
            self.fail(f"{text!r} has a null byte in it, which no file's name has", param, ctx)
        return value if isinstance(value, Path) else Path(text)


class _Output(_Input):
    """A file to write, refused at once where it could not be: not after all the work."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Refuse what is a folder, and what would lie in a folder that is not there."""
        path = super().convert(value, param, ctx)
        if path.is_dir():
            self.fail(f"{path} is a folder, not a file", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"{path}: there is no folder {path.parent}", param, ctx)
        return path


class _Size(click.ParamType):  # type: ignore[type-arg] # as above
    """A number of bytes as the library reads it; kept as it was written."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 - the signature is click's
        """Refuse what is no number of bytes, and name the option."""
        text = str(value)
        try:
            parse_bytes(text)
        except QuantityError as error:
            where = param.opts[0] if param is not None else "size"
            raise QuantityError(f"{where}: {error}", **error.fields) from None
        return text


class Number(click.FloatRange):
    """A number within bounds: neither infinite nor none at all."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - what click's is given differs between its versions
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Refuse `nan`, which is in every range of click's, and `inf`."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!s} is not a finite number", param, ctx)
        return number


INPUT = _Input()
OUTPUT = _Output()
SIZE = _Size()


@contextmanager
def of_file(path: Path, hint: str = "") -> Iterator[None]:
    """Let what is said of a file's content name the file, and end with `hint`; the fields stay as they are."""
    try:
        yield
    except (FileMissingError, UnreadableError):
        raise  # they name it
    except UllageError as error:
        said = str(error).removeprefix("file: ")
        error.args = (said + hint if said.startswith(str(path)) else f"{path}: {said}{hint}",)
        raise
