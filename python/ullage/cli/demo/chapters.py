"""The first three chapters: what a model needs, whether it fits, and where twelve of them go. Facts only."""

from pathlib import Path
from typing import Any

import ullage
from ullage import catalog

TOKENS = 128
"""Context of the footprint: the length that the checkpoint's own tokenizer cuts texts to."""

MODEL = "all-minilm-l6-v2"
POOL_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PHONE = "iphone-15-pro-max"
EMBEDDINGS = "embeddings.word_embeddings"

HOST_BYTES = 768 * 10**9
"""An ordinary server's memory, less what its system keeps: a round figure, not a device of the catalog."""

GPUS = ("h100-sxm-80-gb", "rtx-4090", "rtx-3060-12-gb")


def footprint(directory: Path) -> dict[str, Any]:
    """Give the model's footprint by part, beside the figures published for it."""
    needs = ullage.footprint(directory, context=TOKENS)
    published = [
        {
            "where": f"{figure.platform or 'pool table'}{f', {figure.backend}' if figure.backend else ''}",
            "document": row.document.title,
            "bytes": figure.bytes,
            "within_interval": needs.total.lo <= figure.bytes <= needs.total.hi,
        }
        for row in (catalog.model(MODEL), catalog.model(POOL_MODEL))
        for figure in row.figures
    ]
    return {
        **needs.as_dict(),
        "published": published,
        "without_embedding_table": needs.total.best - needs.model.parts.get(EMBEDDINGS, 0),
    }


def fit() -> dict[str, Any]:
    """Answer whether 12 GB fit in an 8 GB phone, and what makes them fit."""
    device = catalog.device(PHONE)
    return {
        "phone": device.name,
        "memory": device.memory_bytes,
        "basis": device.usable.basis,
        **ullage.fit("12GB", device).as_dict(),
    }


def pack() -> dict[str, Any]:
    """Place the twelve models of the pool table on a set of machines, and have the plan checked."""
    models = {row.key: row.memory().best for row in catalog.models() if row.registry_key}
    machines = {"host-768gb": HOST_BYTES} | {name: catalog.device(name).usable.best for name in GPUS}
    greedy = ullage.pack(models, machines, strategy="best_fit_decreasing")
    best = ullage.pack(models, machines, strategy="exact", time_limit=10.0)
    for plan in (greedy, best):
        ullage.validate(plan)
    return {
        "models": models,
        "total": sum(models.values()),
        "greedy_bins_used": greedy.bins_used,
        "greedy_status": greedy.status,
        **best.as_dict(),
        "machines": [
            {"name": bin_.name, "capacity": bin_.capacity, "load": bin_.load, "models": list(bin_.items)}
            for bin_ in best.bins
        ],
        "validated": True,
    }
