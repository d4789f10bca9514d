"""How settings are built: from explicit values, the environment and the defaults."""

from typing import Any, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream_rnn.errors import ConfigError


class SettingsBase(BaseSettings):
    """Builds and changes settings; ``settings.py`` lists them."""

    model_config = SettingsConfigDict(
        env_prefix="STREAM_RNN_", frozen=True, extra="forbid", validate_default=True
    )

    @classmethod
    def build(cls, **values: Any) -> Self:
        """Build settings from explicit values, the environment and the defaults, in this precedence.

        A value of ``None`` counts as not set.

        Raises:
            ConfigError: A value is out of its bounds, or has an unknown name.
        """
        explicit = {name: value for name, value in values.items() if value is not None}
        if "redis_url" in explicit and "redis_url_file" in explicit:
            raise ConfigError("set either --redis-url or --redis-url-file, not both")
        try:
            settings = cls(**explicit)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part) for part in first["loc"]) or "settings"
            option = f"--{name.replace('_', '-')} or STREAM_RNN_{name.upper()}"
            raise ConfigError(f"setting {name}: {first['msg']}; set {option}") from error
        if "redis_url" in explicit and _url_file(settings):  # of the environment
            return cls(**{**explicit, "redis_url_file": None})
        return settings

    def replace(self, **values: Any) -> Self:
        """Return a validated copy with changed values; ``None`` leaves a value unchanged."""
        changed = {name: value for name, value in values.items() if value is not None}
        current = self.model_dump(exclude_unset=True)
        if _url_file(self) or "redis_url_file" in changed:
            current.pop("redis_url", None)
        if not _url_file(self) or "redis_url" in changed:
            current.pop("redis_url_file", None)
        return type(self).build(**{**current, **changed})


def _url_file(settings: SettingsBase) -> str | None:
    return getattr(settings, "redis_url_file", None)
