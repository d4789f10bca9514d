"""Schemas of Protobuf as descriptors.

The compiler of Protobuf runs once per schema, in a process of its own with limits, because a
schema is foreign text.  A schema that needs more than a limit cannot be used; a machine that is so
slow that the compiler does not end is unavailable, which is no verdict on the schema.
"""

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError as BadMessage

from stream_rnn.errors import DecodeError, UnavailableError, reason
from stream_rnn.formats.avro_schema import SCHEMA_BYTES_MAX
from stream_rnn.formats.protobuf_serialized import serialized_files

COMPILE_CPU_S = 10
"""Processor time of the compiler; a schema of :data:`SCHEMA_BYTES_MAX` needs less than one."""
COMPILE_S = 60.0
"""Deadline for the compiler, which only a machine without time for it exceeds."""
COMPILE_BYTES_MAX = 2_000_000_000
DESCRIPTOR_BYTES_MAX = 32_000_000
CAUSE_CHARS_MAX = 500
NAME_BYTES_MAX = 200
COMPILED_MAX = 256
MAIN = "stream_rnn_schema.proto"
KNOWN = (
    *(f"google.protobuf.{name}_pb2" for name in ("any", "source_context", "type", "api")),
    *(f"google.protobuf.{name}_pb2" for name in ("timestamp", "duration", "struct", "wrappers")),
    *(f"google.protobuf.{name}_pb2" for name in ("empty", "field_mask", "descriptor")),
    *(f"confluent_kafka.schema_registry.confluent.{name}_pb2" for name in ("meta", "type.decimal")),
)
"""Modules of the files that a schema may import without a reference in the registry."""
_COMMAND = """\
import resource, sys
for name, limit in (("CPU", {cpu}), ("AS", {memory}), ("FSIZE", {file}), ("CORE", 0)):
    try:
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
    except (ValueError, OSError):
        pass  # a lower limit holds, or the system has none
from grpc_tools import protoc
sys.exit(protoc.main(sys.argv))
"""

Compiled = tuple[descriptor_pb2.FileDescriptorProto, descriptor_pool.DescriptorPool]
References = tuple[tuple[str, str], ...]


@lru_cache(maxsize=COMPILED_MAX)
def compile_schema(text: str, references: References) -> Compiled:
    """Compile a schema; all partitions of a process share the result.

    Args:
        text: Text of the schema, a file of Protobuf.
        references: Name and text of the files that it imports, each after its own imports.

    Returns:
        Descriptor of the schema, and a pool with all of its types.

    Raises:
        DecodeError: The schema does not compile, or exceeds a limit.
        UnavailableError: The compiler cannot run, or did not end within :data:`COMPILE_S`.
    """
    if sum(len(one) for _, one in references) + len(text) > SCHEMA_BYTES_MAX:
        raise refused(f"it has more than {SCHEMA_BYTES_MAX} characters")
    try:
        serialized = serialized_files(text, references, MAIN)
    except ValueError as error:
        raise refused(reason(error)) from None
    if serialized is not None:
        known = descriptor_pb2.FileDescriptorSet.FromString(_known_types()[0]).file
        return _pool([*(file for file in known), *serialized])
    try:
        with tempfile.TemporaryDirectory(prefix="stream-rnn-protobuf-") as name:
            made = _run_compiler(text, references, Path(name))
    except OSError as error:
        raise UnavailableError(f"the compiler of Protobuf cannot run: {reason(error)}") from error
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(made).file
    except BadMessage as error:
        raise refused(reason(error)) from error
    return _pool(files)


def _pool(files: Sequence[descriptor_pb2.FileDescriptorProto]) -> Compiled:
    """Return the last of some files, and a pool with the types of all."""
    try:
        pool = descriptor_pool.DescriptorPool()
        for file in files:
            pool.Add(file)
            pool.FindFileByName(file.name)
    except (TypeError, KeyError) as error:
        raise refused(reason(error)) from error
    return files[-1], pool


def is_known_file(name: str) -> bool:
    """Return whether a file is one that every schema may import."""
    return name in _known_types()[1]


def refused(why: str) -> DecodeError:
    """Return the error of a schema that cannot be used."""
    return DecodeError("unsupported_schema", f"the schema cannot be used: {why}")


def _run_compiler(text: str, references: References, directory: Path) -> bytes:
    """Return the descriptors of a schema and of all that it imports, the schema last."""
    known, known_names = _known_types()
    try:
        # Another text would give a known type other fields.
        files = {p: t.encode() for p, t in (*references, (MAIN, text)) if p not in known_names}
        _check_names(list(files))
    except UnicodeEncodeError:
        raise refused("its text has surrogates, which are no characters") from None
    for place, content in files.items():
        file = directory / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    descriptors, made, log = (
        directory / f"stream_rnn.{name}" for name in ("known", "made", "messages")
    )
    descriptors.write_bytes(known)
    limits = {"cpu": COMPILE_CPU_S, "memory": COMPILE_BYTES_MAX, "file": DESCRIPTOR_BYTES_MAX}
    command = [
        *(sys.executable, "-P", "-c", _COMMAND.format(**limits), f"--proto_path={directory}"),
        *(f"--descriptor_set_in={descriptors}", f"--descriptor_set_out={made}"),
        *("--include_imports", MAIN),
    ]
    try:
        with log.open("wb") as messages:
            done = subprocess.run(  # noqa: S603  # a fixed command
                command,
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                timeout=COMPILE_S,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            f"the compiler of Protobuf did not end within {COMPILE_S:g} s; is the machine overloaded?"
        ) from None
    if done.returncode < 0:
        raise refused(f"its compiler needs more than {COMPILE_CPU_S} s or 2 GB")
    if done.returncode:
        with log.open("rb") as messages:
            why = messages.read(CAUSE_CHARS_MAX).decode("utf-8", "replace")
        raise refused(f"it does not compile ({why.replace(f'{directory}/', '').strip()})")
    return made.read_bytes()


def _check_names(places: Sequence[str]) -> None:
    """Check that the names of files can stand beside each other in a directory."""
    files = [PurePosixPath(place) for place in places]
    folders = {folder for file in files for folder in file.parents}
    for place, file in zip(places, files, strict=True):
        is_inside = bool(file.parts) and not file.is_absolute() and ".." not in file.parts
        is_short = len(place.encode()) <= NAME_BYTES_MAX
        if not (is_inside and is_short and place.isprintable()) or file in folders:
            raise refused(f"{place[:NAME_BYTES_MAX]!r} is no name of a file beside the others")


@cache
def _known_types() -> tuple[bytes, frozenset[str]]:
    """Return the descriptors and the names of the files that every schema may import."""
    files = descriptor_pb2.FileDescriptorSet()
    for name in KNOWN:
        importlib.import_module(name).DESCRIPTOR.CopyToProto(files.file.add())
    return bytes(files.SerializeToString()), frozenset(file.name for file in files.file)
