"""Models: the memory that public documents say they take."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ullage.catalog.name_index import NameIndex
from ullage.catalog.range import Range
from ullage.catalog.toml_row import TomlRow, read_catalog
from ullage.errors import ArgumentError

__all__ = [
    "Document",
    "Figure",
    "FigureKey",
    "ModelRow",
    "ModelTable",
    "PoolTerms",
    "PublishedFile",
    "Weights",
    "names_of",
    "read_models",
]

UNIT_BYTES = {"MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
PLATFORMS = frozenset({"android", "ios", "ipados", "linux", "macos", "windows"})
BACKENDS = frozenset({"core-ml", "cpu", "cuda", "metal", "rocm", "vulkan", "xnnpack"})
ORIGINS = frozenset({"formula", "measured"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The document that a row is taken from."""

    key: str
    title: str
    citation: str
    date: str
    """ISO date of the revision, to the day or to the month."""
    library: str
    library_version: str
    origin: str
    """`measured`, or `formula` where the document computed its figures."""
    metric: str
    """What the figures count."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureKey:
    """What a figure is known by, beside its model: two figures of one key would contradict each other."""

    library: str
    library_version: str
    backend: str | None
    precision: str | None
    device: str | None
    os: str | None
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One published figure."""

    bytes: int
    """The figure as read."""
    published: str
    """The figure as printed."""
    unit: str
    """The unit as printed."""
    unit_read_as: str
    """The unit it was read as; the document's notes say why where the two differ."""
    platform: str | None
    """`android`, `ios`, or `None` where the document names none."""
    backend: str | None
    """`xnnpack`, `core-ml`, or `None` where the document names none."""
    precision: str | None = None
    """Number format of the weights as run, where it is known."""
    device: str | None = None
    """Catalog key of the device, where the document names one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """The model's file as published."""

    bytes: int
    published: str
    unit: str
    unit_read_as: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights behind a booked figure, from the page of the model."""

    bytes: int
    """The published text read literally: MB = 10^6, GB = 10^9."""
    published: str
    unit: str
    precision: str
    real_bytes: int | None
    """What the file or the loading code really holds, where that differs."""
    page: str
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model as published."""

    key: str
    name: str
    """The name as printed."""
    aliases: tuple[str, ...]
    task: str
    quantization: str | None
    """As the document states it, or `None`."""
    registry_key: str | None
    figures: tuple[Figure, ...]
    weights: Weights | None
    document: Document
    file: PublishedFile | None = None
    """The model's file, where its size was published."""

    @property
    def is_own(self) -> bool:
        """Whether the user added the row."""
        return self.document.key == "own"

    def key_of(self, figure: Figure) -> FigureKey:
        """Give what a figure of this row is known by."""
        return FigureKey(
            library=self.document.library,
            library_version=self.document.library_version,
            backend=figure.backend,
            precision=figure.precision or self.quantization,
            device=figure.device,
            os=figure.platform,
            metric=self.document.metric,
        )

    def memory(self, platform: str | None = None) -> Range:
        """Give the published bytes, on one platform or over all of them.

        Over several figures the most likely is the largest: to book too little is the worse mistake. Raises
        `ArgumentError` where nothing was published for `platform`.
        """
        sizes = [figure.bytes for figure in self.figures if platform in (None, figure.platform)]
        if not sizes:
            known = ", ".join(sorted({figure.platform for figure in self.figures if figure.platform})) or "none"
            reason = f"no figure for {platform!r}; {self.key} has {known}"
            raise ArgumentError(f"platform: {reason}", name="platform", reason=reason)
        basis = f"{self.document.title}, {self.document.date}: {self.document.metric}"
        return Range(lo=min(sizes), best=max(sizes), hi=max(sizes), origin=self.document.origin, basis=basis)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTerms:
    """What a table of bookings says of itself."""

    total_bytes: int
    least_overhead_percent: int
    most_overhead_percent: int
    rounded_up_to_bytes: int
    subtotal_bytes: dict[str, int]
    """By task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTable:
    """One file of models."""

    rows: tuple[ModelRow, ...]
    terms: PoolTerms | None


def read_models(path: Path) -> ModelTable:
    """Read a file like `phone_memory.toml`; raises `CatalogError` that names the row and key at fault."""
    file = read_catalog(path)
    document = _document(file.row("document"))
    terms = _terms(file.row("terms")) if file.has("terms") else None
    models = file.rows("model")
    file.finish()
    index: NameIndex[ModelRow] = NameIndex()
    rows: list[ModelRow] = []
    for row in models:
        found = _model(row, document)
        taken = index.add(found, found.key, names_of(found))
        if taken is not None or found.key in {other.key for other in rows}:
            row.fail("key", f"the name {taken or found.key!r} is already that of another model")
        rows.append(found)
    return ModelTable(rows=tuple(rows), terms=terms)


def _document(row: TomlRow) -> Document:
    document = Document(
        key=row.text("key"),
        title=row.text("title"),
        citation=row.text("citation"),
        date=row.text("date"),
        library=row.text("library"),
        library_version=row.text("library_version"),
        origin=row.word("origin", ORIGINS),
        metric=row.text("metric"),
        notes=row.texts("notes"),
    )
    row.finish()
    return document


def _terms(row: TomlRow) -> PoolTerms:
    groups = {}
    for group in row.rows("group"):
        groups[group.text("task")] = group.count("subtotal_mb") * UNIT_BYTES["MB"]
        group.finish()
    terms = PoolTerms(
        total_bytes=row.count("total_mb") * UNIT_BYTES["MB"],
        least_overhead_percent=row.count("least_overhead_percent"),
        most_overhead_percent=row.count("most_overhead_percent"),
        rounded_up_to_bytes=row.count("rounded_up_to_mb") * UNIT_BYTES["MB"],
        subtotal_bytes=groups,
    )
    row.finish()
    if terms.rounded_up_to_bytes == 0:
        row.fail("rounded_up_to_mb", "nothing is rounded up to 0")
    return terms


def _model(row: TomlRow, document: Document) -> ModelRow:
    found = ModelRow(
        key=row.text("key"),
        name=row.text("name"),
        aliases=row.texts("aliases"),
        task=row.text("task"),
        quantization=row.text_or_none("quantization"),
        registry_key=row.text_or_none("registry_key"),
        figures=tuple(_figure(figure) for figure in row.rows("figures")),
        weights=_weights(row.row("weights")) if row.has("weights") else None,
        document=document,
        file=_file(row.row("file")) if row.has("file") else None,
    )
    row.finish()
    if len({found.key_of(figure) for figure in found.figures}) < len(found.figures):
        row.fail("figures", "two of them have the same platform, backend, precision and device")
    return found


def _file(row: TomlRow) -> PublishedFile:
    file = PublishedFile(
        bytes=row.count("bytes"),
        published=row.text("published"),
        unit=row.word("unit", UNIT_BYTES),
        unit_read_as=row.word("unit_read_as", UNIT_BYTES),
    )
    row.finish()
    _check_bytes(row, file.published, file.unit_read_as, file.bytes)
    return file


def _figure(row: TomlRow) -> Figure:
    figure = Figure(
        bytes=row.count("bytes"),
        published=row.text("published"),
        unit=row.word("unit", UNIT_BYTES),
        unit_read_as=row.word("unit_read_as", UNIT_BYTES),
        platform=row.word("platform", PLATFORMS) if row.has("platform") else None,
        backend=row.word("backend", BACKENDS) if row.has("backend") else None,
        precision=row.text_or_none("precision"),
        device=row.text_or_none("device"),
    )
    row.finish()
    _check_bytes(row, figure.published, figure.unit_read_as, figure.bytes)
    return figure


def _weights(row: TomlRow) -> Weights:
    weights = Weights(
        bytes=row.count("bytes"),
        published=row.text("published"),
        unit=row.word("unit", UNIT_BYTES),
        precision=row.text("precision"),
        real_bytes=row.count_or_none("real_bytes"),
        page=row.text("page"),
        note=row.text_or_none("note"),
    )
    row.finish()
    _check_bytes(row, weights.published, weights.unit, weights.bytes)
    return weights


def _check_bytes(row: TomlRow, published: str, unit: str, stated: int) -> None:
    try:
        expected = round(Decimal(published) * UNIT_BYTES[unit])
    except (InvalidOperation, OverflowError, ValueError):
        row.fail("published", f"{published!r} is no number")
    if stated != expected:
        row.fail("bytes", f"{published} {unit} are {expected} bytes, not {stated}")


def names_of(row: ModelRow) -> tuple[str, ...]:
    """Give the names that a row answers to beside its key."""
    return (row.name, *row.aliases, *((row.registry_key,) if row.registry_key else ()))
