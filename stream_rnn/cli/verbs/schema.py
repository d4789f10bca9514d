"""The options of ``stream-rnn schema``."""

from typing import Any

import click

from stream_rnn.cli.shared.options import bundle_option, json_option, verb
from stream_rnn.cli.shared.settings_options import Choice, settings_options
from stream_rnn.cli.verbs import load_work

EXAMPLE = (
    "--predictions delays --bundle bundles/delay --predictions-format avro "
    "--schema-registry-url http://localhost:8081"
)
subject_options = settings_options(
    "predictions",
    "bundle",
    "predictions_format",
    "schema_registry_url",
    "schema_registry_config",
    "schema_registry_timeout_s",
    required=("predictions", "bundle"),
)


@click.group("schema")
def command() -> None:
    """Show, register and check the schema of predictions in Avro, Protobuf or JSON Schema."""


@verb("show", "--bundle bundles/delay --format avro", command)
@bundle_option
@click.option(
    "--format",
    "schema_format",
    type=Choice(["avro", "protobuf", "json_schema"]),
    default="avro",
    help="Format of the schema.",
)
def show(**options: Any) -> Any:
    """Print the schema of the predictions of a bundle.

    The command needs no registry. The schema depends on the names and kinds of the heads alone.
    """
    options["directory"] = options.pop("bundle")
    return load_work("schema").show(**options)


@verb("register", EXAMPLE, command)
@subject_options
@json_option()
def register(**options: Any) -> Any:
    """Register the schema of the predictions under the subject PREDICTIONS-value.

    Workers look the id of the schema up when they start. If the schema is registered already, the
    command prints its id and changes nothing.
    """
    return load_work("schema").register(**options)


@verb("check", EXAMPLE, command)
@subject_options
@json_option()
@click.pass_context
def check(ctx: click.Context, /, **options: Any) -> None:
    """Check whether the schema is compatible with the versions of its subject.

    The registry compares as the compatibility of the subject says. The command registers nothing.
    The exit status is 1 if the schema is not compatible with a version.
    """
    ctx.exit(load_work("schema").check(**options))
