"""Protobuf: no verdict on a body depends on its neighbours, and both readers agree on each."""

import math
import struct
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_rnn.formats.logical import Moment
from stream_rnn.formats.protobuf import Protobuf
from stream_rnn.formats.protobuf_columns import ProtobufColumns
from tests.property.test_avro import cell, value_at
from tests.protobuf_messages import EVENT, OLDER, PART, message_class

REFERENCES = (("parts/part.proto", PART),)
FRAME = b"\0\0\0\0\7"
MESSAGES = {b"\0": ("shop.Other", (0,)), b"\2\2": ("shop.Event", (1,))}
MESSAGES |= {
    b"\4\2\0": ("shop.Event.Inner", (1, 0)),
    b"\6\2\0\0": ("shop.Event.Inner.Deep", (1, 0, 0)),
}
LONGS, FLOATS = st.integers(-(2**63), 2**63 - 1), st.floats()
TEXTS = st.text(max_size=6)
PATHS = [
    *(("d",), ("f",), ("i",), ("l",), ("u",), ("ul",), ("b",), ("s",), ("y",), ("kind",)),
    *(("od",), ("ol",), ("ob",), ("os",), ("ok",), ("cs",), ("cl",), ("cp", "x"), ("cp", "name")),
    *(("part", "x"), ("inner", "deep", "x"), ("inner", "deep", "on"), ("self", "self", "ol")),
    *(("at",), ("self", "at"), ("wd",), ("ws",), ("wb",), ("wu",), ("absent",), ("part", "absent")),
    *(("deep", "x"), ("x",), ("name",), ("inner", "absent", "x")),
]
"""Paths of which at least one message has each; a message lacks many of them."""
PARTS = st.fixed_dictionaries({}, optional={"x": LONGS, "name": TEXTS})
SCALARS = {
    "d": FLOATS,
    "od": FLOATS,
    "f": st.floats(width=32),
    "i": st.integers(-(2**31), 2**31 - 1),
    "l": LONGS,
    "ol": LONGS,
    "cl": LONGS,
    "u": st.integers(0, 2**32 - 1),
    "ul": st.integers(0, 2**64 - 1),
    "b": st.booleans(),
    "ob": st.booleans(),
    "s": TEXTS,
    "os": TEXTS,
    "cs": TEXTS,
    "y": st.binary(max_size=4),
    "kind": st.integers(0, 4),
    "ok": st.integers(0, 4),
    "many": st.lists(LONGS, max_size=3),
}
NANOS = st.integers(-(2**31), 2**31 - 1)
KNOWN = {
    "at": st.fixed_dictionaries({"seconds": LONGS, "nanos": NANOS}),
    "span": st.fixed_dictionaries({"seconds": LONGS, "nanos": NANOS}),
    "wd": FLOATS,
    "ws": TEXTS,
    "wb": st.booleans(),
    "wu": st.integers(0, 2**64 - 1),
    "any": st.dictionaries(TEXTS, st.none() | FLOATS | TEXTS | st.lists(FLOATS, max_size=2)),
}
DEEP = st.fixed_dictionaries({}, optional={"x": LONGS, "on": st.booleans()})
INNER = st.fixed_dictionaries({}, optional={"notes": st.dictionaries(TEXTS, TEXTS), "deep": DEEP})
LEAF = st.fixed_dictionaries({}, optional=SCALARS | KNOWN | {"part": PARTS, "inner": INNER})
EVENTS = st.recursive(
    LEAF,
    lambda inner: st.fixed_dictionaries({"self": inner}, optional=SCALARS | {"cp": PARTS}),
    max_leaves=3,
)


@cache
def writer(name):
    """Return the class by which google's runtime writes a message."""
    return message_class(EVENT, name, REFERENCES)


@cache
def reader(path, unit="ms"):
    """Return both readers of a path, or of all fields."""
    messages = Protobuf(EVENT, REFERENCES, Moment(("at",), unit), [path] if path else [])
    return messages, ProtobufColumns(messages, [path])


def fill(message, values):
    """Set the fields of a message."""
    for name, value in values.items():
        inner = getattr(message, name)
        if name == "any":
            inner.SetInParent()
            inner.update(value)
        elif name in ("wd", "ws", "wb", "wu"):
            inner.SetInParent()
            inner.value = value
        elif isinstance(value, dict) and name == "notes":
            inner.update(value)
        elif isinstance(value, dict):
            inner.SetInParent()
            fill(inner, value)
        elif isinstance(value, list):
            inner.extend(value)
        else:
            setattr(message, name, value)
    return message


@st.composite
def bodies(draw):
    """Draw a message with the indexes that name it, as a writer writes it or damaged."""
    prefix = draw(st.sampled_from([b"\2\2", b"\2\2", b"\2\2", *MESSAGES]))
    name, _ = MESSAGES[prefix]
    values = {"shop.Other": st.just({"name": "x"}), "shop.Event": EVENTS}
    values |= {"shop.Event.Inner": INNER, "shop.Event.Inner.Deep": DEEP}
    body = fill(writer(name)(), draw(values[name])).SerializeToString()
    at = draw(st.integers(0, len(body)))
    damage = draw(st.sampled_from(["", "", "cut", "longer", "changed", "random", "swapped"]))
    if damage == "cut":
        body = body[:at]
    elif damage == "longer":
        body += draw(st.binary(min_size=1, max_size=9))
    elif damage == "changed":
        body = body[:at] + draw(st.binary(min_size=1, max_size=1)) + body[at + 1 :]
    elif damage == "random":
        prefix, body = b"", draw(st.binary(max_size=20))
    elif damage == "swapped":
        prefix = draw(st.sampled_from(list(MESSAGES)))
    return FRAME + prefix + body


def content_of(messages, value):
    """Return the content of a value in a tuple, ``None`` if the body is bad."""
    try:
        return (messages.content(value, len(FRAME), None),)
    except ValueError:
        return None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(bodies(), min_size=1, max_size=8), st.sampled_from(PATHS))
def test_no_body_depends_on_its_neighbours_and_both_readers_agree(values, path):
    """By columns, a body is given up or has the content's value; a bad one is given up."""
    messages, columns = reader(path)
    whole, _ = reader(None)
    found, given_up = columns.read(values, len(FRAME))
    for row, value in enumerate(values):
        content = content_of(messages, value)
        everything = content_of(whole, value)
        assert (content is None) == (everything is None)
        alone, alone_given_up = columns.read([value], len(FRAME))
        if content is None:
            assert given_up[row]
            assert alone_given_up[0]
            continue
        expected = repr(value_at(content[0], path))
        assert repr(value_at(everything[0], path)) == expected
        for column, is_given_up, at in ((found, given_up[row], row), (alone, alone_given_up[0], 0)):
            if not is_given_up:
                assert repr(cell(column.get(path), at)) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_a_message_of_the_runtime_has_the_values_that_it_was_given(values):
    """Fields without presence have their zero, all others are absent."""
    message = fill(writer("shop.Event")(), values)
    content = content_of(reader(None)[0], FRAME + b"\2\2" + message.SerializeToString())[0]
    for name in SCALARS:
        given = values.get(name)
        if name in ("od", "ol", "ob", "os", "ok", "cs", "cl") and not message.HasField(name):
            assert name not in content
            continue
        if name in ("kind", "ok"):
            assert content[name] == (given or 0 if (given or 0) > 2 else "ABC"[given or 0])
        elif name == "y":
            assert content[name] == (given or b"").decode("latin-1")
        elif name == "f":
            expected = struct.unpack("<f", struct.pack("<f", values.get(name, 0)))[0]
            assert repr(content[name]) == repr(expected)
        else:
            assert repr(content[name]) == repr(getattr(message, name)).replace("RepeatedScalar", "")
    assert ("self" in content) == ("self" in values)
    if "at" in values:
        total = values["at"]["seconds"] * 10**9 + values["at"]["nanos"]
        assert content["at"] == math.floor(total // 10**6)
    assert content.get("wu") == values.get("wu")
    assert content.get("any", {}).keys() == values.get("any", {}).keys()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(KNOWN["at"], min_size=1, max_size=4),
    st.sampled_from(["s", "ms", "us", "ns", "iso8601"]),
)
def test_timestamps_have_the_unit_of_the_spec_in_both_readers(times, unit):
    """Also beyond the calendar, and with nanoseconds outside of a second."""
    messages, columns = reader(("at",), unit)
    made = [fill(writer("shop.Event")(), {"at": time}).SerializeToString() for time in times]
    values = [FRAME + b"\2\2" + body for body in made]
    found, given_up = columns.read(values, len(FRAME))
    assert given_up.all() == (unit == "iso8601")
    for row, value in enumerate(values):
        if not given_up[row]:
            assert repr(cell(found["at",], row)) == repr(content_of(messages, value)[0]["at"])


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_a_message_of_the_older_syntax_or_a_bad_body(body):
    """Nothing else is raised, and a string that is no UTF-8 is a text."""
    messages, columns = older()
    content = content_of(messages, FRAME + b"\0" + body)
    found, given_up = columns.read([FRAME + b"\0" + body], len(FRAME))
    if content is None:
        assert given_up[0]
    else:
        assert repr(cell(found["s",], 0)) == repr(content[0].get("s"))
        assert isinstance(content[0].get("s", ""), str)


@cache
def older():
    """Return both readers of a schema of proto2."""
    messages = Protobuf(OLDER, (), Moment())
    return messages, ProtobufColumns(messages, [("s",), ("d",), ("inner", "x")])
