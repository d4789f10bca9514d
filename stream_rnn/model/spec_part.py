"""The base of the tables of a feature spec, and of their dumps."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

ARRAY = Field(strict=False)  # an array of TOML and JSON is a list in Python, not a tuple

_EXAMPLES = {
    "in": '["sensor"]',
    "only": '[{path = "type", in = ["sensor"]}]',
    "forget_when": '{path = "op", equals = "d"}',
    "time": '{path = "at", unit = "ms"}',
    "key": '["device"]',
}
_SHAPES = {"tuple_type": "an array", "list_type": "an array", "model_type": "a table"}
_SHAPES |= {"dict_type": "a table", "model_attributes_type": "a table"}


def describe_type(kind: str, place: Sequence[str | int]) -> str:
    """Return what a value should be in the words of TOML, with an example; empty if it is unclear.

    Args:
        kind: Type of pydantic's error.
        place: Place of the value in the spec.
    """
    shape = _SHAPES.get(kind)
    if shape is None:
        return ""
    name = next((str(part) for part in reversed(place) if isinstance(part, str)), "")
    example = _EXAMPLES.get(name, "")
    if place and isinstance(place[-1], int):
        example = example[1:-1]
    return f"Input should be {shape}" + (f", such as {example}" if example else "")


class SpecPart(BaseModel):
    """A table of a feature spec.

    Attributes:
        OMITTED_DEFAULTS: Options that a dump leaves out while they have their defaults.  An option
            that is added to a table belongs here: the fingerprint of a bundle is a hash of the
            dump, and the fingerprints of existing bundles must not change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _dump(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        for name in self.OMITTED_DEFAULTS:
            default = type(self).model_fields[name].get_default(call_default_factory=True)
            if getattr(self, name) == default:
                content.pop(name, None)
        return content
