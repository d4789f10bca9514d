"""The one place that connects the settings with a source of schemas."""

from functools import lru_cache

from stream_rnn.extras import explain
from stream_rnn.formats.schemas import Schemas
from stream_rnn.settings import Settings

SOURCES_MAX = 16


def open_schemas(settings: Settings) -> Schemas | None:
    """Return the schemas of the registry that the settings name, ``None`` if they name none.

    All callers in a process share the schemas of one registry.

    Raises:
        ConfigError: The URL is not valid, or the extra ``registry`` is not installed.
    """
    url = settings.schema_registry_url
    if url is None:
        return None
    return _open(url.get_secret_value(), settings.schema_registry_timeout_s)


@lru_cache(maxsize=SOURCES_MAX)
def _open(url: str, timeout_s: float) -> Schemas:
    try:
        from stream_rnn.formats.registry import Registry  # noqa: PLC0415  # of an extra
    except ModuleNotFoundError as error:
        explain(error, "schema_registry_url")
        raise
    return Schemas(Registry({"url": url}, timeout_s))
