"""Architectures: public models by the numbers of their configuration, from which tensors and caches follow."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from ullage._core import Model
from ullage.catalog.name_index import NameIndex, did_you_mean
from ullage.catalog.toml_row import TomlRow, read_catalog
from ullage.errors import UnknownModelError

__all__ = ["ArchitectureRow", "Component", "architecture", "architectures", "read_architectures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of a model, or the whole of it."""

    name: str
    """Such as `unet`; empty where the model has no other part."""
    config: str
    """The text of its `config.json`, as far as memory depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureRow:
    """A public model as its configuration describes it."""

    key: str
    name: str
    """The name in full."""
    aliases: tuple[str, ...]
    page: str
    """The repository on Hugging Face that the configuration is from."""
    date: str
    """ISO date of the model's publication."""
    parameters: int
    """What its definition counts: embeddings once where they are tied."""
    note: str | None
    """What is not counted, where something is not."""
    components: tuple[Component, ...]

    def model(self) -> Model:
        """Give the model with every tensor that its weights would have."""
        if len(self.components) == 1 and not self.components[0].name:
            return Model.from_config(self.key, self.components[0].config)
        return Model.from_components(self.key, [(part.name, part.config) for part in self.components])


def read_architectures(path: Path) -> tuple[ArchitectureRow, ...]:
    """Read a file like `architectures.toml`; raises `CatalogError` that names the row and key at fault."""
    file = read_catalog(path)
    tables = file.rows("architecture")
    file.finish()
    index: NameIndex[ArchitectureRow] = NameIndex()
    rows: list[ArchitectureRow] = []
    for table in tables:
        row = _architecture(table)
        taken = index.add(row, row.key, _names(row))
        if taken is not None or row.key in {other.key for other in rows}:
            table.fail("key", f"the name {taken or row.key!r} is already that of another model")
        rows.append(row)
    return tuple(rows)


def _architecture(table: TomlRow) -> ArchitectureRow:
    row = ArchitectureRow(
        key=table.text("key"),
        name=table.text("name"),
        aliases=table.texts("aliases"),
        page=table.text("page"),
        date=table.text("date"),
        parameters=table.count("parameters"),
        note=table.text_or_none("note"),
        components=_components(table),
    )
    table.finish()
    return row


def _components(table: TomlRow) -> tuple[Component, ...]:
    if table.has("config") == table.has("component"):
        table.fail("config", "expected either a configuration or components with one each")
    if table.has("config"):
        return (Component(name="", config=_json(table.table("config"))),)
    parts = []
    for part in table.rows("component"):
        parts.append(Component(name=part.text("name"), config=_json(part.table("config"))))
        part.finish()
    return tuple(parts)


def _json(config: dict[str, Any]) -> str:
    # TOML has no null; an empty text stands for it.
    return json.dumps({key: None if value == "" else value for key, value in config.items()})


def _names(row: ArchitectureRow) -> tuple[str, ...]:
    return (row.name, *row.aliases, row.page)


@cache
def _index() -> NameIndex[ArchitectureRow]:
    index: NameIndex[ArchitectureRow] = NameIndex()
    with as_file(files("ullage.catalog") / "architectures.toml") as path:
        for row in read_architectures(path):
            index.add(row, row.key, _names(row))
    return index


def architectures(search: str | None = None) -> list[ArchitectureRow]:
    """Give the architectures that have a name with every word of `search` in it, or all of them."""
    return _index().search(search)


def architecture(name: str) -> ArchitectureRow:
    """Give the architecture called `name`, its page included; raises `UnknownModelError` with suggestions."""
    found = _index().get(name)
    if found is None:
        suggestions = _index().suggestions(name)
        message = f"no architecture is called {name!r}{did_you_mean(suggestions)}"
        raise UnknownModelError(message, name=name, suggestions=suggestions)
    return found
