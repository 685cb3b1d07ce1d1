"""One tree of exceptions: what they are, what they carry, and that they survive a process boundary."""

import inspect
import json
import pickle

import pytest

import ullage
from ullage import errors
from ullage.errors import BudgetExceeded, Holder, InputError, QuantityError, UllageError

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception) and not issubclass(value, Warning)
]


def refusal() -> BudgetExceeded:
    """Make a refusal with every field that the ledger gives one."""
    return BudgetExceeded(
        "no room",
        account="gpu0",
        requested=200,
        available=100,
        limit=1000,
        holders=[Holder("gpu0/resnet", "weights", 900)],
    )


def test_there_are_exceptions_to_speak_of() -> None:
    assert {UllageError, BudgetExceeded, QuantityError} <= set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_exception_is_in_the_tree_and_exported(kind: type[Exception]) -> None:
    assert issubclass(kind, UllageError)
    assert kind.__name__ in errors.__all__


@pytest.mark.parametrize("kind", CLASSES)
def test_every_exception_survives_pickling(kind: type[UllageError]) -> None:
    fields = {name: f"some {name}" for name in inspect.get_annotations(kind)}
    copy = pickle.loads(pickle.dumps(kind("what happened", **fields)))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert str(copy) == "what happened"
    assert copy.fields == fields
    assert {name: getattr(copy, name) for name in fields} == fields


@pytest.mark.parametrize("kind", CLASSES)
def test_every_exception_speaks_its_message(kind: type[UllageError]) -> None:
    assert str(kind("what happened")) == "what happened"
    assert str(kind()) == ""


def test_bad_input_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)
    with pytest.raises(ValueError, match="is not a byte count"):
        ullage.parse_bytes("8 apples")


def test_a_refusal_is_a_memory_error_with_its_numbers() -> None:
    with pytest.raises(MemoryError) as caught:
        raise refusal()
    assert isinstance(caught.value, BudgetExceeded)
    assert caught.value.requested > caught.value.available
    assert caught.value.holders[0].bytes == 900


def test_a_refusal_is_ready_for_json() -> None:
    assert json.loads(json.dumps(refusal().as_dict())) == {
        "error": "BudgetExceeded",
        "message": "no room",
        "account": "gpu0",
        "requested": 200,
        "available": 100,
        "limit": 1000,
        "holders": [{"account": "gpu0/resnet", "label": "weights", "bytes": 900}],
    }


def test_an_error_of_the_core_carries_its_fields() -> None:
    with pytest.raises(QuantityError) as caught:
        ullage.parse_bytes("8G")
    assert caught.value.input == "8G"
    assert "ambiguous" in caught.value.reason
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert copy.as_dict() == caught.value.as_dict()
