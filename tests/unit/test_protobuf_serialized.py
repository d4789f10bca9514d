"""Schemas of Protobuf that a registry returns as serialized descriptors."""

import base64

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from stream_rnn.errors import DecodeError
from stream_rnn.formats.logical import Moment
from stream_rnn.formats.protobuf import Protobuf
from stream_rnn.model.features import FeatureSpec
from tests import models

MOMENT = Moment.of(FeatureSpec.model_validate(models.SPEC).event)
TYPES = descriptor_pb2.FieldDescriptorProto


def files():
    """Return a file, and one that imports it and a known one."""
    inner = descriptor_pb2.FileDescriptorProto(name="inner.proto", package="p", syntax="proto3")
    kind = inner.message_type.add(name="Inner")
    kind.field.add(name="x", number=1, type=TYPES.TYPE_DOUBLE, label=TYPES.LABEL_OPTIONAL)
    outer = descriptor_pb2.FileDescriptorProto(name="outer.proto", package="p", syntax="proto3")
    outer.dependency.extend(["inner.proto", "google/protobuf/wrappers.proto"])
    event = outer.message_type.add(name="Event")
    for number, name in enumerate((".p.Inner", ".google.protobuf.DoubleValue"), 1):
        event.field.add(
            name=f"f{number}",
            number=number,
            type=TYPES.TYPE_MESSAGE,
            type_name=name,
            label=TYPES.LABEL_OPTIONAL,
        )
    return inner, outer


def serialized(file):
    """Return a file as a registry has it."""
    return base64.b64encode(file.SerializeToString()).decode()


def test_a_serialized_schema_reads_as_its_text_would():
    """With a reference and a known file, whatever the names in the descriptors are."""
    inner, outer = files()
    messages = Protobuf(serialized(outer), [("inner.proto", serialized(inner))], MOMENT)
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    from google.protobuf import wrappers_pb2

    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    for file in (wrappers, inner, outer):
        pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Event"))
    value = kind(f1={"x": 1.5}, f2={"value": 2.5}).SerializeToString()
    assert messages.content(b"\0" + value, 0, None) == {"f1": {"x": 1.5}, "f2": 2.5}


def test_a_serialized_schema_that_is_not_whole_is_refused():
    """An import that is text, or that is missing."""
    inner, outer = files()
    text = 'syntax = "proto3"; package p; message Inner { double x = 1; }'
    for references in ([("inner.proto", text)], []):
        with pytest.raises(DecodeError) as error:
            Protobuf(serialized(outer), references, MOMENT)
        assert error.value.code == "unsupported_schema"
    inner.message_type[0].field[0].type_name = ".no.such"
    with pytest.raises(DecodeError):
        Protobuf(serialized(inner), [], MOMENT).content(b"\0\0", 0, None)
