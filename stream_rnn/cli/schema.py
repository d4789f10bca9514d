"""``stream-rnn schema``: the schema of a bundle's predictions, and its subject at a registry."""

from pathlib import Path

from stream_rnn.cli.shared.printing import print_json
from stream_rnn.predictions.subject import open_subject
from stream_rnn.predictions.wire_schema import read_bundle_heads, schema_text
from stream_rnn.settings import FoldSettings


def show(directory: Path, schema_format: str) -> None:
    """Print the schema of a bundle's predictions."""
    text = schema_text(schema_format, read_bundle_heads(directory).fields)
    print(text.rstrip("\n"))


def register(settings: FoldSettings, as_json: bool) -> None:
    """Register the schema of a bundle's predictions, unless it is registered."""
    subject = open_subject(settings, read_bundle_heads(settings.bundle).fields)
    schema_id = subject.find()
    is_new = schema_id is None
    if schema_id is None:
        schema_id = subject.register()
    if as_json:
        print_json({"subject": subject.name, "schema_id": schema_id, "registered": is_new})
    else:
        print(f"{subject.name}: schema id {schema_id}{'' if is_new else ', registered before'}")


def check(settings: FoldSettings, as_json: bool) -> int:
    """Check the schema of a bundle's predictions against the versions of the subject."""
    subject = open_subject(settings, read_bundle_heads(settings.bundle).fields)
    schema_id, versions = subject.find(), subject.versions()
    incompatible = subject.incompatible_versions()
    if as_json:
        print_json(
            {
                "subject": subject.name,
                "schema_id": schema_id,
                "versions": versions,
                "incompatible": incompatible,
            }
        )
        return 1 if incompatible else 0
    where = "not registered" if schema_id is None else f"registered with schema id {schema_id}"
    print(f"{subject.name}: {where}")
    if not versions:
        print("the subject has no version yet: run stream-rnn schema register")
    elif incompatible:
        listed = ", ".join(map(str, incompatible))
        print(
            f"not compatible with version {listed}, as the subject's compatibility requires: "
            "publish to another topic, or change the compatibility of the subject"
        )
    else:
        print(f"compatible with all versions ({', '.join(map(str, versions))})")
    return 1 if incompatible else 0
