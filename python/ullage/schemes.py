"""Compression schemes as objects: each is a text such as `palettized:4,group=16`, which the core reads and checks."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ullage._core import scheme_text

__all__ = ["Dense", "Gguf", "Linear", "Lossless", "Palettized", "Scheme", "Sparse"]


class _Texted:
    """What all schemes have in common."""

    __slots__ = ()

    def _text(self) -> str:
        raise NotImplementedError

    def __post_init__(self) -> None:
        """Refuse what is no scheme."""
        scheme_text(self._text())

    def __str__(self) -> str:
        """Give the text in its plainest form."""
        return scheme_text(self._text())


@dataclass(frozen=True, slots=True)
class Dense(_Texted):
    """Every number in one format: `f16`, `bf16`, `f32`, `f64`, `f8_e4m3` or `f8_e5m2`."""

    dtype: str = "f16"

    __str__ = _Texted.__str__

    def _text(self) -> str:
        return f"dense:{self.dtype}"


@dataclass(frozen=True, slots=True)
class Gguf(_Texted):
    """Blocks of a GGML type, such as `q4_k`."""

    type: str

    __str__ = _Texted.__str__

    def _text(self) -> str:
        return f"gguf:{self.type}"


@dataclass(frozen=True, slots=True)
class Linear(_Texted):
    """Integers of 4 or 8 bits with a scale for each tensor, each output channel, or `block` input channels of one."""

    bits: int = 8
    mode: Literal["symmetric", "affine"] = "symmetric"
    granularity: Literal["tensor", "channel"] = "channel"
    block: int | None = None

    __str__ = _Texted.__str__

    def _text(self) -> str:
        shared = self.granularity if self.block is None else f"block={self.block}"
        return f"linear:{self.bits},{self.mode},{shared}"


@dataclass(frozen=True, slots=True)
class Palettized(_Texted):
    """Indices of 1, 2, 3, 4, 6 or 8 bits into a table of values for each tensor or `group_size` output channels.

    `vector` elements share an index; `per_channel_scale` is coremltools' `enable_per_channel_scale`; `lut` says what
    table entries are.
    """

    bits: int = 4
    group_size: int | None = None
    vector: int = 1
    per_channel_scale: bool = False
    lut: Literal["f16", "int8"] = "f16"

    __str__ = _Texted.__str__

    def _text(self) -> str:
        group = "" if self.group_size is None else f",group={self.group_size}"
        scale = ",scale" if self.per_channel_scale else ""
        return f"palettized:{self.bits}{group},vector={self.vector}{scale},lut={self.lut}"


@dataclass(frozen=True, slots=True)
class Sparse(_Texted):
    """A mask and the numbers that are not zero: a share of zeros, or a pattern such as `"2:4"`.

    `kept` says how those numbers are stored: as they are, palettized or linear.
    """

    sparsity: float | str
    kept: Palettized | Linear | None = None

    __str__ = _Texted.__str__

    def _text(self) -> str:
        share = self.sparsity if isinstance(self.sparsity, str) else _decimal(self.sparsity)
        return f"sparse:{share}" if self.kept is None else f"sparse:{share}+{self.kept}"


@dataclass(frozen=True, slots=True)
class Lossless(_Texted):
    """Exponents of BF16, F16 and F32 in fewer bits, and nothing lost: `entropy` bits each, or four if `fixed`.

    The entropy is that of the weights; without one, 2.65 bits, which trained networks are near to. `lz4` compresses
    planes of bytes instead, of any dtype; its size is not known before, and is taken to be that of the weights.
    """

    entropy: float | None = None
    fixed: bool = False
    lz4: bool = False

    __str__ = _Texted.__str__

    def _text(self) -> str:
        if self.fixed:
            return "lossless:fixed"
        if self.lz4:
            return "lossless:lz4"
        return "lossless" if self.entropy is None else f"lossless:entropy={_decimal(self.entropy)}"


Scheme: TypeAlias = Dense | Gguf | Linear | Lossless | Palettized | Sparse
"""Any scheme."""


def _decimal(number: float) -> str:
    """Give `number` as schemes are written, never with an exponent."""
    return f"{number:.9f}".rstrip("0").rstrip(".")
