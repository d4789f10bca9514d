"""Messages of Protobuf as google's own compiler and runtime write them."""

import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from stream_rnn.formats.protobuf_schema import KNOWN

PART = """
syntax = "proto3";
package parts;
message Part { int64 x = 1; optional string name = 2; }
"""
EVENT = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "parts/part.proto";
message Other { string name = 1; }
message Event {
  message Inner {
    map<string, string> notes = 1;
    message Deep { int64 x = 1; optional bool on = 2; }
    Deep deep = 2;
  }
  enum Kind { A = 0; B = 1; C = 2; }
  double d = 1; float f = 2; int32 i = 3; int64 l = 4; uint32 u = 5; uint64 ul = 6;
  bool b = 7; string s = 8; bytes y = 9; Kind kind = 10;
  optional double od = 11; optional int64 ol = 12; optional bool ob = 13;
  optional string os = 14; optional Kind ok = 15;
  oneof choice { string cs = 16; int64 cl = 17; parts.Part cp = 18; }
  repeated int64 many = 19; map<string, parts.Part> named = 20;
  parts.Part part = 21; Inner inner = 22; Event self = 23;
  google.protobuf.Timestamp at = 24; google.protobuf.Duration span = 25;
  google.protobuf.DoubleValue wd = 26; google.protobuf.StringValue ws = 27;
  google.protobuf.BoolValue wb = 28; google.protobuf.UInt64Value wu = 29;
  google.protobuf.Struct any = 30;
}
"""
OLDER = """
syntax = "proto2";
enum Kind { A = 1; B = 2; }
message Event {
  required double d = 1; optional string s = 2 [default = "none"]; optional Kind kind = 3;
  optional group Inner = 4 { optional int64 x = 1; }
  repeated int64 many = 5 [packed = true]; extensions 100 to 199;
}
extend Event { optional string extra = 100; }
"""


def message_class(text, name, references=()):
    """Return the class of a message.

    Args:
        text: Text of the schema.
        name: Full name of the message.
        references: Name and text of the files that it imports.
    """
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for file, content in (*references, ("main.proto", text)):
            (place / file).parent.mkdir(exist_ok=True)
            (place / file).write_text(content)
        known = descriptor_pb2.FileDescriptorSet()
        for module in KNOWN:
            found = __import__(module, fromlist=["DESCRIPTOR"]).DESCRIPTOR
            found.CopyToProto(known.file.add())
        (place / "known").write_bytes(known.SerializeToString())
        arguments = [f"-I{place}", f"--descriptor_set_in={place}/known"]
        arguments += [f"--descriptor_set_out={place}/made", "--include_imports", "main.proto"]
        assert protoc.main(["", *arguments]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString((place / "made").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
