"""The cell of a bundle that is a class: its name, its config, and the distribution that it needs."""

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_serializer
from torch import nn

from stream_rnn.errors import CellError
from stream_rnn.model.package_cells.find import CELL_NAME, FoundCell, find_cell, translated
from stream_rnn.model.package_cells.interface import reads_since_previous

DISTRIBUTION = r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$"
VERSION = r"^[A-Za-z0-9.!+_-]*$"


class PackageCell(BaseModel):
    """A cell that is a class, by name.

    Attributes:
        kind: Name of the cell.
        config: Content of its ``Config``.
        distribution: Distribution that contains the class; empty for the cells of this package.
        version: Version of the distribution.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(pattern=CELL_NAME)
    config: dict[str, JsonValue]
    distribution: str = Field("", max_length=200, pattern=DISTRIBUTION)
    version: str = Field("", max_length=200, pattern=VERSION)

    @staticmethod
    def fields_of(kind: str) -> set[str]:
        """Return the names of the fields of a cell's ``Config``.

        Raises:
            CellError: The cell is not installed.
        """
        return {*config_class(find_cell(kind)).model_fields}

    @classmethod
    def of(cls, kind: str, config: Mapping[str, Any]) -> Self:
        """Return the cell of the installed package with a config, whose other fields are defaults.

        Raises:
            CellError: The cell is not installed, the config has other fields or values, or JSON
                cannot keep it.
        """
        found = find_cell(kind)
        content = _kept(kind, found, config_of(kind, found, config))
        return cls(
            kind=kind, config=content, distribution=found.distribution, version=found.version
        )

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        """Leave out the distribution of this package's cells, which is the same everywhere."""
        place = {"distribution": self.distribution, "version": self.version}
        return {**self.identity, **(place if self.distribution else {})}

    @property
    def identity(self) -> dict[str, Any]:
        """What the fingerprint covers: another version of the distribution is not another model."""
        return {"kind": self.kind, "config": self.config}

    @property
    def package(self) -> tuple[str, str] | None:
        """Distribution and version; ``None`` for the cells of this package."""
        return (self.distribution, self.version) if self.distribution else None

    @property
    def title(self) -> str:
        """The cell for messages: its name, and its package if that is another one."""
        return f"{self.kind} of {self.distribution} {self.version}" if self.package else self.kind

    @property
    def description(self) -> str:
        """The cell in a line of text."""
        options = [f"{name} {value}" for name, value in self.config.items()]
        return ", ".join([self.title, *options])

    @property
    def sizes(self) -> dict[str, int]:
        """Hidden size and number of layers, as far as the config has them."""
        values = {name: self.config.get(name) for name in ("hidden", "layers")}
        return {name: value for name, value in values.items() if isinstance(value, int)}

    def resized(self, sizes: Mapping[str, int]) -> Self:
        """Return the cell with other sizes."""
        return type(self).of(self.kind, {**self.config, **sizes})

    def build(self, inputs: int, since_previous: int | None) -> nn.Module:
        """Make the module of the cell.

        Args:
            inputs: Number of inputs, I.
            since_previous: Number of the input with the time since the previous event, if any.

        Raises:
            CellError: The package is not installed, has another version, or its class fails.
        """
        found = self._found()
        config = config_of(self.kind, found, self.config)
        return make_module(self.title, found, inputs, config, since_previous)

    @property
    def _place(self) -> tuple[str, str]:
        return self.distribution, self.version

    def _found(self) -> FoundCell:
        found = find_cell(self.kind, *self._place)
        if (found.distribution, found.version) != self._place:
            raise CellError(
                f"the cell {self.kind} is of {_named(*self._place)}, but that of "
                f"{_named(found.distribution, found.version)} is installed: install the other one, "
                "or write what is installed into bundle.json as cell.distribution and cell.version, "
                "which makes the bundle a new fold"
            )
        return found


def make_module(
    title: str, found: FoundCell, inputs: int, config: BaseModel, since_previous: int | None
) -> nn.Module:
    """Make the module of a class; see :meth:`PackageCell.build`.

    Raises:
        CellError: The class fails, or needs the time since the previous event, which x lacks.
    """
    more: tuple[int, ...] = ()
    if reads_since_previous(found.kind):
        if since_previous is None:
            raise CellError(
                f"the cell {title} needs the time since the previous event: add a feature of kind "
                '"since_previous" to the spec'
            )
        more = (since_previous,)
    with translated(f"the cell {title} cannot be made"):
        return found.kind(inputs, config, *more)


def _named(distribution: str, version: str) -> str:
    return f"{distribution} {version}" if distribution else "stream-rnn itself"


def config_class(found: FoundCell) -> type[BaseModel]:
    """Return the class of a cell's config."""
    config: type[BaseModel] = found.kind.Config  # type: ignore[attr-defined]  # checked when found
    return config


def config_of(kind: str, found: FoundCell, config: Mapping[str, Any]) -> BaseModel:
    """Return the config of a class from the content of some of its fields.

    Raises:
        CellError: The class has no such field, or a value is out of its bounds.
    """
    model = config_class(found)
    if unknown := sorted({*config} - {*model.model_fields}):
        names = ", ".join(model.model_fields) or "none"
        raise CellError(f"the cell {kind} has no option {unknown[0]}: its options are {names}")
    try:
        found_config = model.model_validate(dict(config))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CellError(
            f"option {where} of the cell {kind}: {first['msg']}, not {first['input']!r:.100}"
        ) from error
    if unread := sorted({*config} - found_config.model_fields_set):
        raise CellError(
            f"the cell {kind} does not read its option {unread[0]} under this name: remove the alias "
            "from its Config"
        )
    return found_config


def _kept(kind: str, found: FoundCell, config: BaseModel) -> dict[str, Any]:
    """Return the content of a config, which its class reads from ``bundle.json`` as it is.

    Raises:
        CellError: JSON does not keep a field, as it keeps no NaN.
    """
    what = f"the cell {kind}: a bundle cannot keep its option"
    with translated(f"{what}s"):
        content: dict[str, Any] = json.loads(config.model_dump_json())
        values = config.model_dump(mode="json")
    names = config_class(found).model_fields
    lost = [name for name in names if name not in content or content[name] != values[name]]
    if not lost:
        again = config_of(kind, found, content).model_dump(mode="json")
        lost = [name for name in names if again.get(name) != values[name]]
    if lost:
        raise CellError(f"{what} {lost[0]}, because JSON does not; choose another type or value")
    return content
