"""The base of the tables of a feature spec, and of their dumps."""

from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

ARRAY = Field(strict=False)  # an array of TOML and JSON is a list in Python, not a tuple


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
