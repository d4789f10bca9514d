"""Settings and options of a fold whose predictions have a schema at a registry."""

from stream_rnn.settings import Settings

SUBJECT = "delays-value"


def settings_of(bundle, registry=None, wire_format="avro", **more):
    """Make settings."""
    url = {"schema_registry_url": registry.url} if registry else {}
    return Settings.build(
        app="a",
        source="flights",
        predictions="delays",
        bundle=str(bundle),
        predictions_format=wire_format,
        **url,
        **more,
    ).of_fold()


def words(bundle, registry, *more, wire_format="avro"):
    """Return the options of a verb."""
    return (
        *("--predictions", "delays", "--bundle", str(bundle), "--predictions-format", wire_format),
        *("--schema-registry-url", registry.url, *more),
    )
