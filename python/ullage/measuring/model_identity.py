"""What makes two models the same for memory: the same tensors, wherever the file lies and whatever its values."""

import hashlib
import json

from ullage._core import Model

__all__ = ["fingerprint"]

EDITION = "ullage fingerprint 1"


def fingerprint(model: Model) -> str:
    """Give the SHA-256, in hexadecimal, of a model's format and of the name, dtype, shape and bytes of every tensor.

    It depends neither on path nor on the order in the file, nor on the weights' values: a fine-tuned model of the
    same layout has the fingerprint of its base, and takes the same memory. Of a model that is no file (a catalog row, a
    plain size) the name and the size stand in.
    """
    digest = hashlib.sha256()

    def add(*fields: object) -> None:
        digest.update(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n")

    tensors = model.tensors
    if model.path is not None or len(tensors) > 1:  # a plain size stands as one tensor that nobody stored
        add(EDITION, getattr(model, "format", "safetensors"))
        for row in sorted([tensor.name, tensor.dtype, tensor.shape, tensor.bytes] for tensor in tensors):
            add(*row)
    else:
        add(EDITION, "size", model.name, model.tensor_bytes)
    return digest.hexdigest()
