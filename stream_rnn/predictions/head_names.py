"""The heads that the fields of a schema of predictions stand for; ``wire_schema.py`` writes it."""

import json
import re
from collections.abc import Mapping
from typing import NamedTuple


class HeadNames(NamedTuple):
    """The name of the head of each field in a schema.

    Attributes:
        outputs: Names of the fields of the outputs.
        surprise: Names of the fields of the surprise.
    """

    outputs: Mapping[str, str]
    surprise: Mapping[str, str]


def avro_head_names(text: str) -> HeadNames:
    """Return the names of the heads in a schema of Avro."""
    kinds = {field["name"]: field["type"] for field in json.loads(text)["fields"]}
    surprise = kinds.get("surprise", ["null", {"fields": ()}])[1]
    outputs = kinds.get("outputs", {"fields": ()})
    return HeadNames(
        *(
            {str(one["name"]): str(one.get("head", one["name"])) for one in kind["fields"]}
            for kind in (outputs, surprise)
        )
    )


def protobuf_head_names(text: str) -> HeadNames:
    """Return the names of the heads in a schema of Protobuf."""
    uncommented = re.sub(r"//[^\n]*", "", text)
    names = []
    for message in ("message Outputs", "message Surprise"):
        members = uncommented.partition(message)[2].partition("{")[2].partition("}")[0]
        pairs = re.findall(r'(\w+)\s*=\s*\d+\s*\[[^\]]*json_name\s*=\s*"([^"]+)"', members)
        names.append(dict(pairs))
    return HeadNames(*names)
