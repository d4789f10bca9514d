"""The types and the columns of the event fields that the spec names."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial, reduce
from math import isfinite
from operator import itemgetter, or_
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, BeforeValidator, ConfigDict
from pydantic import Field as Limits
from typing_extensions import TypedDict

from stream_rnn.errors import SpecError
from stream_rnn.model.field import Field
from stream_rnn.model.paths import split_path
from stream_rnn.model.values import read_boolean, read_number

# Integers within the range of a float, for a category that another input reads as a number.
_Integer = Annotated[int, Limits(gt=-(2**1024) + 2**970, lt=2**1024 - 2**970)]
_TYPES: Mapping[str, Any] = {"number": float, "text": str, "boolean": bool}


def column_reader(field: Field) -> Callable[[Sequence[Any]], list[Any]]:
    """Return a function that returns a field's value in each event, ``None`` for a missing one."""
    return _make_label_reader(field.path) if field.is_label else _make_column_reader(field.path)


@lru_cache(maxsize=1024)
def value_getter(path: str, *, misplaced: Any = None) -> Callable[[Any], Any]:
    """Return a function that returns the value at a dotted path of an event, or ``None``.

    Args:
        path: Path of the field.
        misplaced: Value to return if a parent on the path is neither an object nor ``None``.

    Example:
        >>> get = value_getter("a.b")
        >>> get({"a": {"b": 1}}), get({"a": 1}), get({}), get([])
        (1, None, None, None)
    """
    parts = split_path(path)

    def get(value: Any) -> Any:
        for part in parts:
            if isinstance(value, dict):
                value = value.get(part)
            else:
                return None if value is None else misplaced
        return value

    return get


def key_element_getter(element: str | tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a function that returns an element of the key of an object, or ``None``.

    Args:
        element: Path, or alternative paths of which the first counts whose value is not null.

    Example:
        >>> get = key_element_getter(("after.id", "before.id"))
        >>> get({"after": None, "before": {"id": 7}}), get({"after": {"id": 0}, "before": None})
        (7, 0)
    """
    if isinstance(element, str):
        return value_getter(element)
    getters = [value_getter(path) for path in element]

    def get(record: Any) -> Any:
        values = (get_value(record) for get_value in getters)
        return next((value for value in values if value is not None), None)

    return get


def _make_column_reader(path: str) -> Callable[[Sequence[Any]], list[Any]]:
    """Return a function that returns the value at a dotted path of each event."""
    names = split_path(path)
    get, get_item = value_getter(path), itemgetter(names[0])

    def column(events: Sequence[Any]) -> list[Any]:
        try:
            return list(map(get_item, events))  # fast, but only if every event has the field
        except KeyError:
            return list(map(get, events))

    return column if len(names) == 1 else lambda events: list(map(get, events))


def _make_label_reader(path: str) -> Callable[[Sequence[Any]], list[Any]]:
    """Return a function that returns the label at a dotted path of each event.

    A label is a string, a boolean or a finite number; any other value is ``None``.
    """
    get = value_getter(path)

    def label(event: Any) -> Any:
        value = get(event)
        is_finite = not isinstance(value, float) or isfinite(value)
        return value if isinstance(value, str | int | float) and is_finite else None

    return lambda events: [label(event) for event in events]


def build_row_type(fields: Sequence[Field]) -> Any:
    """Build a TypedDict of the fields, nested by the dots of their paths.

    Raises:
        SpecError: The path of a head is the parent of another path, or passes through a value.
    """
    tree: dict[str, Any] = {}
    # Labels come last, because a label does not require that the parents on its path are objects.
    for field in sorted(fields, key=lambda field: field.is_label):
        *parents, leaf = split_path(field.path)
        node = tree
        for part in parents:
            inner = node.get(part, {})
            if not isinstance(inner, dict):
                if inner is Any:
                    break
                raise SpecError(f"path {field.path}: {part} is also a path, so it is no object")
            if field.is_label and part not in node:
                node[part] = Any
                break
            node = node.setdefault(part, inner)
        else:
            if isinstance(node.get(leaf), dict):
                raise SpecError(f"path {field.path} is also the parent of another path")
            node[leaf] = _leaf_type(field)
    return _typed_dict(tree)


def _leaf_type(field: Field) -> Any:
    if field.is_label:
        return Any
    if field.length is not None:
        return _array_type(field, *field.length)
    names = [name for name in ("boolean", "number", "text") if name in field.types]
    union: Any = reduce(or_, (_TYPES[name] for name in names))
    if (field.has_words or field.is_exact) and "number" in field.types:
        # A category may be an integer; as a float, 1 would become the word "1.0".
        union = (int | union) if "text" in field.types else (_Integer | union)
    if not field.parse:
        return union
    read = read_boolean if "boolean" in field.types else read_number
    return Annotated[union | None, BeforeValidator(read)]


def _array_type(field: Field, least: int, greatest: int) -> Any:
    element: Any = int | bool | float | str if field.has_words else float
    array = Annotated[list[element | None], AfterValidator(_length_check(least, greatest))]
    if field.separator is None:
        return array
    return Annotated[array, BeforeValidator(partial(split_words, separator=field.separator))]


def split_words(value: Any, separator: str) -> Any:
    """Return the words of a text without blanks around them; return every other value as it is.

    Example:
        >>> split_words("a | b||", "|"), split_words(["a|b"], "|")
        (['a', 'b'], ['a|b'])
    """
    if not isinstance(value, str):
        return value
    words = map(str.strip, value.split(separator))
    return [word for word in words if word]


def _length_check(least: int, greatest: int) -> Callable[[list[Any]], list[Any] | None]:
    """Return a function that returns an array of the right length, ``None`` for an empty one.

    Protobuf cannot tell an empty field from a missing one, so the two are the same in all formats.
    """
    wanted = f"its length must be {greatest}"
    if least < greatest:
        wanted = f"max_length is {greatest}"

    def check(array: list[Any]) -> list[Any] | None:
        if not array:
            return None
        if not least <= len(array) <= greatest:
            raise ValueError(f"an array of {len(array)} values; {wanted}")
        return array

    return check


def _typed_dict(tree: Mapping[str, Any]) -> Any:
    members = {
        key: NotRequired[(_typed_dict(node) if isinstance(node, dict) else node) | None]
        for key, node in tree.items()
    }
    # The name is fixed: a field may have a name that is not valid for a type.
    row = TypedDict("Event", members)  # type: ignore[misc]  # its members come from the spec
    row.__pydantic_config__ = ConfigDict(  # type: ignore[attr-defined]  # pydantic's own protocol
        strict=True, allow_inf_nan=False, extra="ignore"
    )
    return row
