"""Schemas of Protobuf that a registry returns as they were registered: a serialized descriptor.

Confluent's serializer for Python registers the descriptor of a file, in base64.  Confluent's
registry makes text of it, and others return it as it is.
"""

import base64
from collections.abc import Sequence

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError as BadMessage


def serialized_files(
    text: str, references: Sequence[tuple[str, str]], name: str
) -> list[FileDescriptorProto] | None:
    """Return the files of a serialized schema, the schema last; ``None`` if it is text.

    Args:
        text: Schema.
        references: Name and content of the files that it imports, each after its own imports.
        name: Name that the schema gets.

    Raises:
        ValueError: A file that it imports is not serialized.
    """
    main = _parse(text)
    if main is None:
        return None
    files = []
    for place, content in references:
        file = _parse(content)
        if file is None:
            raise ValueError(f"it is serialized, and {place}, which it imports, is not")
        file.name = place
        files.append(file)
    main.name = name
    return [*files, main]


def _parse(text: str) -> FileDescriptorProto | None:
    try:
        file = FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (ValueError, BadMessage):  # the text of a file has blanks or quotes, which base64 lacks
        return None
    return file if file.message_type or file.enum_type else None
