"""The values of the fields that the feature spec names, from the columns of Avro bodies.

A field has the value that validation gives the content of a body.  A body with a value for which
this is not certain is given up; validation then accepts it, or names the cause.
"""

from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.formats.avro_columns import Column
from stream_rnn.model.field import Field
from stream_rnn.model.values import read_boolean, read_number

Given = NDArray[np.bool_]


def field_values(field: Field, column: Column | None, given_up: Given) -> list[Any]:
    """Return a field's value in each of N bodies, ``None`` for a missing one.

    Args:
        field: Field of the feature spec.
        column: Values at the field's path; ``None`` if the schema has no such path.
        given_up: (N,) Bodies that are given up; this function adds to them.
    """
    count = len(given_up)
    if column is None:
        return [None] * count
    present = column.present
    values = column.values
    if isinstance(values, list):
        found = _of_list(field, values, given_up)
    elif values.dtype == bool:
        found = _of_booleans(field, values, given_up, present)
    else:
        found = _of_numbers(field, values, given_up, present)
    if present is None:
        return found
    return [
        value if is_present else None
        for value, is_present in zip(found, present.tolist(), strict=True)
    ]


def all_numbers(field: Field, column: Column | None) -> NDArray[Any] | None:
    """Return what :func:`field_values` returns as an array; ``None`` if some values are no numbers.

    Args:
        field: Field of the feature spec.
        column: Values at the field's path, of bodies of which none is given up.
    """
    if column is None or column.present is not None or field.is_label:
        return None
    if isinstance(column.values, list) or column.values.dtype == bool:
        return None
    return _numbers(field, column.values)


def _numbers(field: Field, values: NDArray[Any]) -> NDArray[Any]:
    keeps_integers = field.has_words or field.is_exact
    return values if keeps_integers else values.astype(np.float64, copy=False)


def _give_up(given_up: Given, which: Any, present: Given | None) -> None:
    given_up |= which if present is None else present & which


def _of_numbers(
    field: Field, values: NDArray[Any], given_up: Given, present: Given | None
) -> list[Any]:
    if values.dtype.kind == "f" and not (is_finite := np.isfinite(values)).all():
        if field.is_label:
            return [_finite(value) for value in values.tolist()]
        _give_up(given_up, ~is_finite, present)
    if field.is_label:
        return list(values.tolist())
    if "number" not in field.types:
        _give_up(given_up, True, present)  # of all bodies
    return list(_numbers(field, values).tolist())


def _of_booleans(
    field: Field, values: NDArray[Any], given_up: Given, present: Given | None
) -> list[Any]:
    if not field.is_label and "boolean" not in field.types:
        _give_up(given_up, True, present)  # of all bodies
    return list(values.tolist())


def _of_list(field: Field, values: list[Any], given_up: Given) -> list[Any]:
    """Return the values of a list of texts and decimals, with ``None`` for bodies without one."""
    is_text = next((isinstance(value, str) for value in values if value is not None), True)
    if field.is_label:
        return values if is_text else [_finite(value) for value in values]
    if is_text and "text" in field.types and not field.parse:
        return values
    convert = _converter(field, is_text=is_text)
    found: list[Any] = []
    for row, value in enumerate(values):
        try:
            found.append(None if value is None else convert(value))
        except ValueError:
            given_up[row] = True
            found.append(None)
    return found


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def _converter(field: Field, *, is_text: bool) -> Any:
    """Return a function that returns a value, or raises a ``ValueError`` to give up its body."""
    keeps_integers = field.has_words or field.is_exact
    is_number = "number" in field.types and not field.has_words

    def number(value: Any) -> Any:
        if isinstance(value, float) and not isfinite(value):
            raise ValueError
        if isinstance(value, int) and abs(value) >= 2**1000:
            raise ValueError
        return value if keeps_integers or value is None else float(value)

    def refuse(_value: Any) -> Any:
        raise ValueError

    if not is_text:
        return number if "number" in field.types else refuse
    if field.parse and field.types == {"boolean"}:
        return read_boolean
    return (lambda text: number(read_number(text))) if field.parse and is_number else refuse
