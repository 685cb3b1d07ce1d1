"""Finding a model: the user's own rows first, then the published tables, the first of them that has the name."""

from functools import cache
from importlib.resources import as_file, files

from ullage.catalog import own_rows
from ullage.catalog.model_table import Figure, FigureKey, ModelRow, ModelTable, names_of, read_models
from ullage.catalog.name_index import NameIndex, did_you_mean, fold
from ullage.errors import CatalogError, UnknownModelError

__all__ = ["TABLES", "figures", "model", "models", "pool_table", "published_model", "revisions"]

TABLES = (
    "phone_memory.toml",
    "model_pool.toml",
    "phone_memory_0_6.toml",
    "phone_memory_2026_06.toml",
    "meta_llama_3_2.toml",
)
"""The files, by rank: a name that several have means the row of the first."""


@cache
def _table(name: str) -> ModelTable:
    with as_file(files("ullage.catalog") / name) as path:
        return read_models(path)


@cache
def _index() -> NameIndex[ModelRow]:
    index: NameIndex[ModelRow] = NameIndex()
    for name in TABLES:
        for row in _table(name).rows:
            if index.has(row.key):
                reason = f"{row.key!r} is already a name of another model"
                raise CatalogError(f"{name}: {reason}", path=name, field="key", reason=reason)
            index.add(row, row.key, names_of(row))
    return index


def pool_table() -> ModelTable:
    """Give the table of the twelve-model pool, with its own terms."""
    return _table("model_pool.toml")


def models(search: str | None = None) -> list[ModelRow]:
    """Give the models that have a name with every word of `search` in it, or all of them; the user's own first."""
    own = own_rows.model_index().search(search)
    hidden = {row.key for row in own}
    return [*own, *(row for row in _index().search(search) if row.key not in hidden)]


def model(name: str) -> ModelRow:
    """Give the model called `name`, a registry key included; raises `UnknownModelError` with suggestions.

    Of several published revisions it is the first of `TABLES`; `revisions` gives all.
    """
    found = own_rows.model_index().get(name) or published_model(name)
    if found is None:
        suggestions = [*own_rows.model_index().suggestions(name), *_index().suggestions(name)]
        message = f"no model is called {name!r}{did_you_mean(suggestions)}"
        raise UnknownModelError(message, name=name, suggestions=suggestions)
    return found


def published_model(name: str) -> ModelRow | None:
    """Give the model of that name without the user's own rows, or `None`."""
    return _index().get(name)


def revisions(name: str) -> list[ModelRow]:
    """Give every row of the model called `name`, in whatever document; raises `UnknownModelError`."""
    row = model(name)
    wanted = {fold(known) for known in (row.key, *names_of(row))}
    return [other for other in models() if wanted & {fold(known) for known in (other.key, *names_of(other))}]


def figures(
    name: str,
    *,
    library: str | None = None,
    library_version: str | None = None,
    backend: str | None = None,
    precision: str | None = None,
    device: str | None = None,
    os: str | None = None,
    metric: str | None = None,
) -> dict[FigureKey, Figure]:
    """Give every figure published of the model called `name`, by what it is known by.

    Each argument that is not `None` keeps the figures whose key has exactly that. Raises `UnknownModelError`.
    """
    wanted = {
        "library": library,
        "library_version": library_version,
        "backend": backend,
        "precision": precision,
        "device": device,
        "os": os,
        "metric": metric,
    }
    found = {row.key_of(figure): figure for row in revisions(name) for figure in row.figures}
    return {
        key: figure
        for key, figure in found.items()
        if all(value is None or getattr(key, part) == value for part, value in wanted.items())
    }
