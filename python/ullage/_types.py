"""Names for what arguments take."""

from typing import SupportsIndex, TypeAlias

ByteCount: TypeAlias = SupportsIndex | float | str
"""A byte count: an int, an integral float, or a text such as `"24GiB"`."""
