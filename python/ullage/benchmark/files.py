"""Files as they lie in folders and archives."""

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from ullage.errors import ModelNotFoundError, ProblemError, UnreadableError

__all__ = ["File", "files"]

LARGEST = 1 << 30
"""Bytes of one file, unpacked."""
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip")


class File(NamedTuple):
    """A file with its content."""

    family: str
    """The folder it lies in, or the archive."""
    name: str
    """Its name, without `.gz`."""
    content: bytes
    where: str
    """Its path, and the archive's."""
    is_asked_for: bool
    """Whether it was named itself, and not found in a folder or an archive."""


def files(path: Path) -> Iterator[File]:
    """Yield the file at `path`; of a folder or an archive all that are in it, in the order of their names."""
    try:
        if path.is_dir():
            for inner in sorted(found for found in path.rglob("*") if found.is_file()):
                if not any(part.startswith(".") for part in inner.relative_to(path).parts):
                    yield from _opened(inner, is_asked_for=False)
        else:
            yield from _opened(path, is_asked_for=True)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path}: no such file or folder", path=str(path)) from error
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror or error}", path=str(path)) from error


def _opened(path: Path, *, is_asked_for: bool) -> Iterator[File]:
    lower = path.name.lower()
    try:
        if lower.endswith(".zip"):
            yield from _zipped(path)
        elif lower.endswith(ARCHIVES):
            yield from _tarred(path)
        elif lower.endswith(".gz"):
            with gzip.open(path) as unpacked:
                content = _read(cast("BinaryIO", unpacked), str(path))
            yield File(path.resolve().parent.name, path.name[:-3], content, str(path), is_asked_for)
        else:
            with path.open("rb") as plain:
                yield File(path.resolve().parent.name, path.name, _read(plain, str(path)), str(path), is_asked_for)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError) as error:
        reason = f"cannot be unpacked: {str(error) or type(error).__name__}"
        raise ProblemError(f"{path}: {reason}", field=str(path), reason=reason) from error


def _read(file: BinaryIO, where: str) -> bytes:
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        reason = f"larger than {LARGEST:,} bytes"
        raise ProblemError(f"{where}: {reason}", field=where, reason=reason)
    return content


def _tarred(path: Path) -> Iterator[File]:
    with tarfile.open(path) as archive:
        for member in sorted((member for member in archive if member.isfile()), key=lambda member: member.name):
            file = archive.extractfile(member)
            if file is not None:
                yield _inner(path, member.name, _read(cast("BinaryIO", file), f"{path}/{member.name}"))


def _zipped(path: Path) -> Iterator[File]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("/"):
                with archive.open(name) as file:
                    yield _inner(path, name, _read(cast("BinaryIO", file), f"{path}/{name}"))


def _inner(path: Path, name: str, content: bytes) -> File:
    folder, _, last = name.rpartition("/")
    family = folder.rpartition("/")[2] or path.name.partition(".")[0]
    return File(family, last, content, f"{path}/{name}", is_asked_for=False)
