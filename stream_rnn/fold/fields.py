"""Which fields of an event are decoded, by which types, and how they become columns."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, reduce
from math import isfinite
from operator import itemgetter, or_
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict
from pydantic import Field as Limits
from typing_extensions import TypedDict

from stream_rnn.errors import SpecError
from stream_rnn.model.features import Field

# The integers that a float can be: where a number is one to something else, too.
_Integer = Annotated[int, Limits(gt=-(2**1024) + 2**970, lt=2**1024 - 2**970)]
_TYPES: Mapping[str, Any] = {"number": float, "text": str, "boolean": bool}


def column_of(field: Field) -> Callable[[Sequence[Any]], list[Any]]:
    """Return what takes a field's values out of events, ``None`` where there is none."""
    return _labels(field.path) if field.is_label else _column(field.path)


@lru_cache(maxsize=1024)
def value_getter(path: str, *, misplaced: Any = None) -> Callable[[Any], Any]:
    """Return what takes the value at a dotted path out of an event; ``None`` if there is none.

    Args:
        path: names of nested objects and of the field, with dots between them.
        misplaced: the value if something on the path is neither an object nor ``None``.

    Example:
        >>> get = value_getter("a.b")
        >>> get({"a": {"b": 1}}), get({"a": 1}), get({}), get([])
        (1, None, None, None)
    """
    parts = path.split(".")

    def get(value: Any) -> Any:
        for part in parts:
            if isinstance(value, dict):
                value = value.get(part)
            else:
                return None if value is None else misplaced
        return value

    return get


def _column(path: str) -> Callable[[Sequence[Any]], list[Any]]:
    """Return what takes the values at a dotted path out of events."""
    get, take = value_getter(path), itemgetter(path)

    def column(events: Sequence[Any]) -> list[Any]:
        try:
            return list(map(take, events))  # fast, if the path has no dot and every event the field
        except KeyError:
            return list(map(get, events))

    return column if "." not in path else lambda events: list(map(get, events))


def _labels(path: str) -> Callable[[Sequence[Any]], list[Any]]:
    """Return what takes plain values at a dotted path out of events, wherever they stand."""
    get = value_getter(path)

    def one(event: Any) -> Any:
        value = get(event)
        is_finite = not isinstance(value, float) or isfinite(value)
        return value if isinstance(value, str | int | float) and is_finite else None

    return lambda events: [one(event) for event in events]


def row_type(fields: Sequence[Field]) -> Any:
    """Build a TypedDict of the needed fields, nested by the dots of their paths.

    Raises:
        SpecError: a head's path is the parent of another one, or has a value for a parent.
    """
    tree: dict[str, Any] = {}
    # Those of labels come last: on their way nothing may become an object that need not be one.
    for field in sorted(fields, key=lambda field: field.is_label):
        *parents, leaf = field.path.split(".")
        node = tree
        for part in parents:
            inner = node.get(part, {})
            if not isinstance(inner, dict):
                if inner is Any:
                    break
                raise SpecError(f"path {field.path}: {part} is a value and a parent of values")
            if field.is_label and part not in node:
                node[part] = Any
                break
            node = node.setdefault(part, inner)
        else:
            if isinstance(node.get(leaf), dict):
                raise SpecError(f"path {field.path} is a value and a parent of values")
            node[leaf] = _leaf_type(field)
    return _typed_dict(tree)


def _leaf_type(field: Field) -> Any:
    if field.is_label:
        return Any
    names = [name for name in ("boolean", "number", "text") if name in field.types]
    union: Any = reduce(or_, (_TYPES[name] for name in names))
    if not field.has_words or "number" not in field.types:
        return union
    # A category may be an integer: as a float, 1 would read "1.0".
    return (int | union) if "text" in field.types else (_Integer | union)


def _typed_dict(tree: Mapping[str, Any]) -> Any:
    members = {
        key: NotRequired[(_typed_dict(node) if isinstance(node, dict) else node) | None]
        for key, node in tree.items()
    }
    # Not named by the field: a type's name may not hold all that a field's may.
    row = TypedDict("Event", members)  # type: ignore[misc]  # its members come from the feature spec
    row.__pydantic_config__ = ConfigDict(  # type: ignore[attr-defined]  # pydantic's own protocol
        strict=True, allow_inf_nan=False, extra="ignore"
    )
    return row
