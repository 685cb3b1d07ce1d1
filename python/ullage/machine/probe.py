"""Reading small kernel files below a root. What cannot be used is noted, never raised."""

import os

__all__ = ["Probe"]

LARGEST_FILE = 4 * 2**20
"""Bytes read of one file; `mountinfo` on a busy host is the largest that is asked for."""


class Probe:
    """Files below `root`, and notes on those that were of no use."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Take every path below `root`; `/` is the machine itself."""
        self._root = os.fspath(root).rstrip("/")
        self.notes: list[str] = []

    def at(self, path: str) -> str:
        """Give `path`, which begins with a slash, below the root."""
        return self._root + path

    def note(self, text: str) -> None:
        """Keep a remark for the caller, once."""
        if text not in self.notes:
            self.notes.append(text)

    def is_dir(self, path: str) -> bool:
        """Tell whether `path` is a directory; nothing that is wrong with the path is raised."""
        return os.path.isdir(self.at(path))  # noqa: PTH112 - pathlib raises on names that are too long

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at `path`, be it a dead link."""
        return os.path.lexists(self.at(path))

    @property
    def is_machine(self) -> bool:
        """Whether paths are the machine's own, and not below a directory that stands in for it."""
        return not self._root

    def link(self, path: str) -> str | None:
        """Give what a symbolic link says; `None` where there is none."""
        try:
            return os.readlink(self.at(path))  # noqa: PTH115 - as above
        except (OSError, ValueError):
            return None

    def text(self, path: str) -> str | None:
        """Give the content of a file, or `None` where it is missing or unreadable."""
        where = self.at(path)
        if not os.path.isfile(where):  # noqa: PTH113 - pathlib raises on names that are too long
            if self.exists(path):
                self.note(f"{path!a} is no plain file; ignored")
            return None
        try:
            with open(where, "rb") as file:  # noqa: PTH123 - as above
                return file.read(LARGEST_FILE).decode("utf-8", "surrogateescape")
        except OSError as error:
            self.note(f"{path!a} is unreadable ({error.strerror}); ignored")
            return None

    def count(self, path: str, *, unlimited: str = "") -> int | None:
        """Give the number that a file holds, or `None` where it is missing, `unlimited` or garbage."""
        text = self.text(path)
        if text is None or (unlimited and text.strip() == unlimited):
            return None
        return self.number(text, path)

    def number(self, text: str, path: str) -> int | None:
        """Read a byte count; whatever else `text` may be is noted against `path`."""
        digits = text.strip()
        if digits.isascii() and digits.isdecimal() and len(digits) <= len(str(2**64)):
            return int(digits)
        self.note(f"{path!a} holds {digits[:40]!a}, which is no byte count; ignored")
        return None

    def fields(self, path: str, names: set[str], *, unit: int = 1) -> dict[str, int]:
        """Give the numbers of a file of lines `name number` or `name: number`, in bytes of `unit` each."""
        found: dict[str, int] = {}
        for line in (self.text(path) or "").splitlines():
            words = line.split()
            name = words[0].rstrip(":") if words else ""
            if name in names and len(words) > 1:
                number = self.number(words[1], f"{path} {name}")
                if number is not None:
                    found[name] = number * unit
        return found
