"""Why a value does not fit the feature spec, as the reason of a dead letter."""

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import ValidationError

from stream_rnn.errors import DecodeError
from stream_rnn.fold.record_limits import not_json
from stream_rnn.model.paths import join_path
from stream_rnn.model.values import read_boolean, read_number

_VALUE_ERROR = "value_error"  # of a function that reads a value for parse = true
_READABLE = {  # types of pydantic's errors, and the values that parse = true would read
    "float_type": (read_number, "a text that is a number"),
    "int_type": (read_number, "a text that is a number"),
    "bool_type": (read_boolean, "a number or a text that is a boolean"),
}


def schema_error(
    error: ValidationError,
    names: Collection[str],
    value: bytes,
    headers: Sequence[tuple[str, bytes | None]],
    value_format: str = "auto",
) -> DecodeError:
    """Return the error of a record, with the path, the cause, and a remedy in the spec.

    Args:
        error: Error of pydantic.
        names: Names of fields and objects that the spec names; a place has others, too.
        value: Value of the record.
        headers: Headers of the record.
        value_format: Format that the spec names.
    """
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return not_json(value, headers, value_format)
    path = join_path([str(part) for part in first["loc"] if part in names])
    if place := [part for part in first["loc"] if isinstance(part, int)]:  # in an array
        is_word = not isinstance(first["loc"][-1], int)  # the type of a union, of which none fits
        cause = "input should be a text, a number or a boolean" if is_word else first["msg"].lower()
        cause = f"place {place[0]}: {cause}"
        return DecodeError("wrong_schema", f"{path}: {cause}")
    return DecodeError("wrong_schema", f"{path or 'the value'}: {_cause(first)}")


def _cause(error: Any) -> str:
    kind, message, value = error["type"], error["msg"], error["input"]
    if kind == _VALUE_ERROR:
        return str(message).removeprefix("Value error, ")
    if kind == "dict_type":  # also if the value was JSON before
        return "input should be an object"
    if kind == "list_type":
        return "input should be an array"
    if kind in _READABLE and isinstance(value, str | int | float):
        read, cause = _READABLE[kind]
        try:
            if (result := read(value)) is not value and result is not None:
                return f"{cause}; set parse = true"
        except ValueError:
            pass
    return str(message).lower()
