"""The one place that connects the settings with a source of schemas."""

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from stream_rnn.errors import DecodeError
from stream_rnn.extras import explain
from stream_rnn.formats.schema_file import read_schemas
from stream_rnn.formats.schemas import Schema, Schemas, SchemaSource
from stream_rnn.settings import Settings

if TYPE_CHECKING:
    from stream_rnn.formats.registry import Registry

SOURCES_MAX = 256


class NoSchemas:
    """A source without schemas, for a file that has all of them.

    Args:
        path: Path of the file, for messages.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def fetch(self, schema_id: str) -> Schema:
        """Return no schema; see :class:`SchemaSource`."""
        raise DecodeError("unknown_schema", f"{self._path} has no schema with id {schema_id}")


def open_schemas(settings: Settings, scope: str = "") -> Schemas | None:
    """Return the schemas that the settings name, ``None`` if framed records are no events.

    All callers in a process share the schemas of one scope.

    Args:
        settings: Settings with the registry.
        scope: Name of the place where the schemas are kept; empty for none.

    Raises:
        ConfigError: The address, the login or the file is not valid, or the extra ``registry`` is
            not installed.
    """
    if not settings.reads_frames:
        return None
    url = settings.schema_registry_url
    return _open(
        None if url is None else url.get_secret_value(),
        settings.schema_registry_config,
        settings.schemas,
        settings.schema_registry_timeout_s,
        settings.on_unknown_schema == "stop",
        scope,
    )


def open_registry(settings: Settings) -> "Registry | None":
    """Return a registry of the caller's own; ``None`` if the settings name none.

    Raises:
        ConfigError: See :func:`open_schemas`.
    """
    url, config = settings.schema_registry_url, settings.schema_registry_config
    if url is None and config is None:
        return None
    plain = None if url is None else url.get_secret_value()
    return open_registry_at(plain, config, settings.schema_registry_timeout_s)


def open_registry_at(url: str | None, config: str | None, timeout_s: float) -> "Registry":
    """Return a registry of the caller's own.

    Args:
        url: URL of the registry; ``None`` for that of the config.
        config: Path of the file with the login; ``None`` for none.
        timeout_s: Deadline for one answer, in seconds.

    Raises:
        ConfigError: See :func:`open_schemas`.
    """
    try:
        from stream_rnn.formats.registry import Registry  # noqa: PLC0415  # of an extra
        from stream_rnn.formats.registry_config import make_registry_config  # noqa: PLC0415
    except ModuleNotFoundError as error:
        explain(error, "schema_registry_url")
        raise
    return Registry(partial(make_registry_config, url, config), timeout_s)


@lru_cache(maxsize=SOURCES_MAX)
def _open(
    url: str | None,
    config: str | None,
    file: str | None,
    timeout_s: float,
    stops: bool,
    scope: str,  # noqa: ARG001  # only the cache needs it
) -> Schemas:
    source: SchemaSource = NoSchemas(file or "")
    if url is not None or config is not None:
        source = open_registry_at(url, config, timeout_s)
    schemas = Schemas(source, stops_at_unknown=stops)
    for schema_id, verdict in ({} if file is None else read_schemas(file)).items():
        schemas.add(schema_id, verdict)
    return schemas
