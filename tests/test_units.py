"""Byte counts: what is read, what is refused, and that what is shown can be read back."""

import math
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullage import format_bytes, parse_bytes
from ullage.errors import QuantityError

MAX = 2**64 - 1
UNITS = {prefix + "B": 1000**power for power, prefix in enumerate(["", "k", "M", "G", "T", "P", "E"])} | {
    prefix + "iB": 1024**power for power, prefix in enumerate(["K", "M", "G", "T", "P", "E"], start=1)
}

REFUSED_TEXTS = ("", " ", "8G", "8Gb", "-1", "1e9", "nan", "8 apples", "18446744073709551616")
REFUSED_NUMBERS = (-1, MAX + 1, 0.5, -0.5, math.nan, math.inf, 2.0**60)
REFUSED: tuple[object, ...] = (*REFUSED_TEXTS, *REFUSED_NUMBERS, True, None, [], b"1")


@given(st.integers(0, MAX))
def test_a_plain_count_is_exact(count: int) -> None:
    assert parse_bytes(count) == parse_bytes(str(count)) == parse_bytes(f"{count} B") == count


@given(
    number=st.decimals(0, 10**6, places=6, allow_nan=False, allow_infinity=False),
    unit=st.sampled_from(sorted(UNITS)),
    space=st.sampled_from(["", " "]),
)
def test_a_text_is_the_number_times_the_unit_rounded_up(number: Decimal, unit: str, space: str) -> None:
    exact = math.ceil(Fraction(number) * UNITS[unit])
    text = f"{number:f}{space}{unit}"
    if exact > MAX:
        with pytest.raises(QuantityError, match="larger than"):
            parse_bytes(text)
    else:
        assert parse_bytes(text) == exact


@given(st.integers(1, 2**63), st.booleans())
def test_what_is_shown_is_close_to_what_it_shows(count: int, binary: bool) -> None:  # noqa: FBT001 - hypothesis fills it
    shown = format_bytes(count, binary=binary)
    assert re.fullmatch(r"\d{1,4}(\.\d\d)? [kKMGTPE]?i?B", shown), shown
    assert ("i" in shown) <= binary
    assert abs(parse_bytes(shown) - count) <= count // 190


@given(st.integers(0, 2**53))
def test_a_whole_float_is_taken(count: int) -> None:
    assert parse_bytes(float(count)) == count


@pytest.mark.parametrize("value", [np.int64(1500), np.uint64(1500), np.int8(15), np.float64(1500.0)])
def test_a_number_of_numpy_is_taken(value: int) -> None:
    assert parse_bytes(value) == int(value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        count = parse_bytes(text)
    except QuantityError as error:
        assert error.reason  # noqa: PT017 - both outcomes are allowed
    else:
        assert 0 <= count <= MAX


@pytest.mark.parametrize("value", REFUSED)
def test_what_is_no_count_is_refused_by_name(value: object) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_bytes(value)  # type: ignore[arg-type]
    assert caught.value.reason
    assert caught.value.input == (value if isinstance(value, str) else repr(value))


def test_decimal_and_binary_are_never_confused() -> None:
    assert parse_bytes("1 kB") == 1000
    assert parse_bytes("1 KiB") == 1024
    assert format_bytes(4_198_400_000) == "4.20 GB"
    assert format_bytes("4.1984GB", binary=True) == "3.91 GiB"
