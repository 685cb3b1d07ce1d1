"""What makes two models the same for memory: the same tensors, wherever the file lies and whatever its values."""

from ullage._core import Model

__all__ = ["fingerprint"]


def fingerprint(model: Model) -> str:
    """Give the SHA-256, in hexadecimal, of a model's format and of the name, dtype, shape and bytes of every tensor.

    It depends neither on path nor on the order in the file, nor on the weights' values: a fine-tuned model of the
    same layout has the fingerprint of its base, and takes the same memory. Of a model that is no file (a catalog row, a
    plain size) the name and the size stand in.
    """
    return model.fingerprint()
