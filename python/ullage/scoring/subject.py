"""Which model a truth row speaks of, in the form of weights that it states."""

import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ullage import catalog
from ullage._core import Model, Tensor, open_model
from ullage.catalog.name_index import fold
from ullage.scoring.truth import TruthRow

__all__ = ["Subject", "subject"]


class Subject(NamedTuple):
    """A model, and how it was found."""

    model: Model
    basis: str
    has_known_weights: bool
    """Whether its weights are those of the row: read from a file, or in a format that is exact."""
    unknown_form: str = ""
    """The format that the row names and nothing is known of."""


VENDORS = ("meta", "google", "microsoft", "mistralai", "qwen")
BLOCKS = ("Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "MXFP4", "Q3_K", "Q2_K")
DENSE = {"F16": "dense:f16"}
AS_STORED = ("BF16", "FP8", "SAFETENSORS", "FP32")
MIXTURE = re.compile(r"(Q[45]_K)_M")
LEFT_OUT = ("vision_tower.", "model.vision_tower.", "visual.", "multi_modal_projector.", "model.multi_modal_projector.")
"""What a GGUF of a language model does not hold: towers are files of their own."""
EXCEPTION = re.compile(r"(output|kv_b) (\w+)")
LATENT_ROPE = 64
"""Elements of the rotary key of every published model with latent attention."""


def subject(row: TruthRow, models: Path | None) -> Subject | None:
    """Find the model of `row`: a file in `models`, the catalog, the row's own columns, or its file's size alone."""
    of_catalog = _of_catalog(row.model, row.weight_format, row.file_bytes)
    return _of_file(row, models) or of_catalog or _of_columns(row) or _of_size(row)


def _of_file(row: TruthRow, models: Path | None) -> Subject | None:
    if models is None or not row.model:
        return None
    for name in (f"{row.model}.gguf", f"{row.model}.safetensors", f"{row.model}.onnx", f"{row.model}.pte", row.model):
        path = models / name
        if path.exists():
            return Subject(open_model(path), f"file {name}", has_known_weights=True)
    return None


@cache
def _of_catalog(name: str, form: str, file_bytes: int | None) -> Subject | None:
    found = _row_of_catalog(name)
    if found is None:
        return None
    model, basis = found.model(), f"catalog {found.key}"
    encoded = _encoded(model, form)
    if encoded is not None:
        return Subject(encoded, f"{basis} as {form}", has_known_weights=True)
    size = file_bytes or _published_file(name)
    if size is not None:
        return Subject(model.sized(size), f"{basis}, weights of the published file", has_known_weights=False)
    if "FP32" in f"{name} {form}".upper() and model.parameters:
        return Subject(model.sized(4 * model.parameters), f"{basis} in 32 bits", has_known_weights=True)
    is_stored = not form or any(word in form.upper() for word in AS_STORED)
    unknown = "" if is_stored else form
    return Subject(model, basis, has_known_weights=is_stored, unknown_form=unknown)


def _row_of_catalog(name: str) -> catalog.ArchitectureRow | None:
    """Give the row with the longest name that `name` begins with, its vendor's name left out."""
    folded = fold(name)
    starts = [folded, *(folded.removeprefix(vendor) for vendor in VENDORS if folded.startswith(vendor))]
    names = {
        fold(written): row
        for row in catalog.architectures()
        for written in (row.key, row.name, *row.aliases)
        if any(start.startswith(fold(written)) for start in starts)
    }
    return names[max(names, key=len)] if names else None


def _published_file(name: str) -> int | None:
    rows = [row for row in catalog.models() if fold(row.name) == fold(name) and row.file is not None]
    return rows[0].file.bytes if rows and rows[0].file else None


def _encoded(model: Model, written: str) -> Model | None:
    """Give `model` as a GGUF of the format `written`, such as `Q4_K (output Q6_K)` or `Q4_K_M`; `None` for another."""
    words = written.replace(",", " ").split()
    mixed = MIXTURE.fullmatch(words[0]) if words else None
    base = mixed[1] if mixed else (words[0] if words else "")
    if base not in BLOCKS and base not in DENSE:
        return None
    exceptions = {part: block for part, block in EXCEPTION.findall(written) if block in BLOCKS}
    if mixed:
        exceptions["output"] = "Q6_K"
    forms = {base, *exceptions.values(), *(["Q6_K"] if mixed else [])}
    sizes = {form: model.encoded(DENSE.get(form) or f"gguf:{form.lower()}").tensors for form in forms}
    layers = 1 + max((_layer(tensor) for tensor in model.tensors), default=0)
    total = 0
    for index, tensor in enumerate(model.tensors):
        if tensor.name.startswith(LEFT_OUT) or ".pooler." in f".{tensor.name}":
            continue
        if _stays_wide(tensor):
            total += 4 * tensor.parameters
            continue
        form = next((form for part, form in exceptions.items() if _is_part(tensor, part)), base)
        if mixed and _is_sensitive(tensor) and _uses_more_bits(_layer(tensor), layers):
            form = "Q6_K"
        total += sizes[form][index].bytes
    return model.sized(total)


def _stays_wide(tensor: Tensor) -> bool:
    """Tell what llama.cpp's converter leaves in 32-bit floats: vectors, routers of experts, positions and kinds."""
    names = (".gate.weight", "router", "position_embeddings", "token_type_embeddings")
    return len(tensor.shape) < 2 or any(name in tensor.name for name in names)  # noqa: PLR2004 - matrices


def _is_sensitive(tensor: Tensor) -> bool:
    return any(name in tensor.name for name in ("v_proj", "down_proj"))


def _uses_more_bits(layer: int, layers: int) -> bool:
    """Tell the layers that a mixture called `_M` gives six bits: the first and last eighth, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2  # noqa: PLR2004 - llama.cpp's rule


def _layer(tensor: Tensor) -> int:
    found = re.search(r"\.(\d+)\.", tensor.name)
    return int(found[1]) if found else 0


def _is_part(tensor: Tensor, part: str) -> bool:
    return "lm_head" in tensor.name if part == "output" else "kv_b" in tensor.name


def _of_columns(row: TruthRow) -> Subject | None:
    """Make a model of the numbers that the row itself states: enough for its caches."""
    if not row.layers or not (row.latent or (row.kv_heads and row.key)):
        return None
    hidden = row.hidden or 4096
    config: dict[str, object] = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_hidden_layers": row.layers,
        "num_attention_heads": row.kv_heads or 1,
        "num_key_value_heads": row.kv_heads or 1,
        "head_dim": row.key or 1,
        "vocab_size": row.vocabulary or 32_000,
    }
    if row.latent:
        return None
    if row.window and row.window_layers:
        full = row.layers - row.window_layers
        config["layer_types"] = ["sliding_attention"] * row.window_layers + ["full_attention"] * full
        config["sliding_window"] = row.window
    model = Model.from_config(row.model, json.dumps(config))
    return Subject(model, "the row's own columns", has_known_weights=False)


def _of_size(row: TruthRow) -> Subject | None:
    size = row.file_bytes or _published_file(row.model)
    if size is None:
        return None
    return Subject(Model.of_size(row.model, size), "the size of its file alone", has_known_weights=False)
