"""Avro bodies: the two readers agree on every body, and with fastavro on every valid one."""

import io
import json

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_rnn.formats.avro_columns import AvroColumns, NotColumnarError
from stream_rnn.formats.avro_content import content_reader
from stream_rnn.formats.avro_schema import parse_avro
from stream_rnn.formats.logical import Moment
from tests.avro_bodies import FRAME, cell, write

INTS = st.integers(-(2**31), 2**31 - 1)


LONGS = st.integers(-(2**63), 2**63 - 1)


TEXTS = st.text(max_size=8)


@st.composite
def scalars(draw, names):
    """Draw a scalar type and a strategy of its values."""
    names.append(len(names))
    name = f"N{len(names)}"
    kinds = [
        ("null", st.none()),
        ("boolean", st.booleans()),
        ("int", INTS),
        ("long", LONGS),
        ("float", st.floats(width=32, allow_nan=False)),
        ("double", st.floats(allow_nan=False)),
        ("string", TEXTS),
        ("bytes", st.binary(max_size=8)),
        ({"type": "fixed", "name": name, "size": 3}, st.binary(min_size=3, max_size=3)),
        ({"type": "enum", "name": name, "symbols": ["A", "B", "C"]}, st.sampled_from("ABC")),
    ]
    return draw(st.sampled_from(kinds))


@st.composite
def types(draw, names, depth=0):
    """Draw a type of Avro and a strategy of its values."""
    if depth > 2 or draw(st.booleans()):
        return draw(scalars(names))
    kind = draw(st.sampled_from(["null or", "union", "array", "map", "record"]))
    if kind == "record":
        return draw(records(names, depth + 1))
    inner, values = draw(types(names, depth + 1))
    if kind == "array":
        return {"type": "array", "items": inner}, st.lists(values, max_size=3)
    if kind == "map":
        return {"type": "map", "values": inner}, st.dictionaries(TEXTS, values, max_size=3)
    return draw(unions(kind, inner, values))


@st.composite
def unions(draw, kind, inner, values):
    """Draw a union with a type, or only the type where a union must not contain it."""
    if inner == "null" or isinstance(inner, list):
        return inner, values
    if kind == "null or":
        return draw(st.permutations(["null", inner])), st.none() | values
    if inner in ("string", "boolean"):
        return inner, values
    return ["string", inner, "boolean"], TEXTS | values | st.booleans()


@st.composite
def records(draw, names, depth=0):
    """Draw a record type and a strategy of its values."""
    names.append(len(names))
    name = f"R{len(names)}"
    members = draw(st.lists(types(names, depth), min_size=1, max_size=4))
    fields = [{"name": f"f{i}", "type": kind} for i, (kind, _) in enumerate(members)]
    values = st.fixed_dictionaries({f"f{i}": value for i, (_, value) in enumerate(members)})
    return {"type": "record", "name": name, "fields": fields}, values


def read(content, body):
    """Return the content of a framed body in a tuple, ``None`` if the body is bad."""
    try:
        return (content(FRAME + body, len(FRAME)),)
    except ValueError:
        return None


def as_content(value):
    """Return what the content of a value of fastavro is: bytes are texts of ISO 8859-1."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {name: as_content(item) for name, item in value.items()}
    return [as_content(item) for item in value] if isinstance(value, list) else value


def paths_of(schema, parents=()):
    """Return the paths of all fields of a record."""
    found = []
    for member in schema["fields"]:
        path = (*parents, member["name"])
        found.append(path)
        kind = member["type"]
        for inner in kind if isinstance(kind, list) else [kind]:
            if isinstance(inner, dict) and inner["type"] == "record":
                found += paths_of(inner, path)
    return found


def value_at(content, path):
    """Return the value at a path."""
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content


@st.composite
def logs(draw):
    """Draw a schema and bodies: valid ones, and ones that are cut, lengthened or changed."""
    schema, values = draw(records([]))
    parsed, bodies = fastavro.parse_schema(schema), []
    for value in draw(st.lists(values, min_size=1, max_size=12)):
        body = write(parsed, value)
        kind = draw(st.sampled_from(["valid", "valid", "cut", "longer", "changed", "random"]))
        at = draw(st.integers(0, max(0, len(body) - 1)))
        if kind == "cut":
            body = body[:at]
        elif kind == "longer":
            body += draw(st.binary(min_size=1, max_size=9))
        elif kind == "changed" and body:
            body = body[:at] + draw(st.binary(min_size=1, max_size=1)) + body[at + 1 :]
        elif kind == "random":
            body = draw(st.binary(max_size=20))
        bodies.append(body)
    return schema, draw(st.permutations(bodies))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(logs())
def test_no_body_depends_on_its_neighbours_and_both_readers_agree(log):
    """By columns, a body is given up or has the content's values; a bad one is given up."""
    schema, bodies = log
    root = parse_avro(json.dumps(schema))
    contents = [read(content_reader(root, Moment()), body) for body in bodies]
    for path in [*paths_of(schema), ("absent",)]:
        try:
            reader = AvroColumns(root, [path], Moment())
        except NotColumnarError:
            continue
        found, given_up = reader.read([FRAME + body for body in bodies], len(FRAME))
        for row, (content, body) in enumerate(zip(contents, bodies, strict=True)):
            alone, alone_given_up = reader.read([FRAME + body], len(FRAME))
            assert given_up[row] == alone_given_up[0]
            if content is None:
                assert given_up[row]
            elif not given_up[row]:
                expected = value_at(content[0], path)
                for column, at in ((found.get(path), row), (alone.get(path), 0)):
                    assert repr(cell(column, at)) == repr(expected)


NUMBERS = [0, -1, *(sign * (1 << bit) + more for bit in range(5, 63) for sign in (1, -1) for more in (-1, 0, 1)), 2**63 - 1, -(2**63)]  # fmt: skip


@pytest.mark.parametrize("kind", ["int", "long"])
@pytest.mark.parametrize("is_wanted", [True, False])
@given(sizes=st.sets(st.integers(1, 10), min_size=1))
def test_integers_of_any_sizes_are_read_together(kind, is_wanted, sizes):
    """Integers with the same number of bytes and with different ones; as an int, some are bad."""
    fields = [{"name": "v", "type": kind}, {"name": "last", "type": "string"}]
    root = parse_avro(json.dumps({"type": "record", "name": "R", "fields": fields}))
    parsed = fastavro.parse_schema({"type": "record", "name": "R", "fields": [{**fields[0], "type": "long"}, fields[1]]})  # fmt: skip
    bodies = [(number, write(parsed, {"v": number, "last": "ab"})) for number in NUMBERS]
    some = [(number, body) for number, body in bodies if len(body) - 3 in sizes]
    paths = [("v",), ("last",)] if is_wanted else [("last",)]
    found, given_up = AvroColumns(root, paths, Moment()).read([body for _, body in some], 0)
    is_int = [kind == "long" or -(2**31) <= number < 2**31 for number, _ in some]
    assert given_up.tolist() == [not one for one in is_int]
    for row, (number, _) in enumerate(some):
        if not given_up[row]:
            assert cell(found[("last",)], row) == "ab"
            assert not is_wanted or cell(found[("v",)], row) == number


@pytest.mark.parametrize("kept", [0, 7, 8, 100, 239, 240, 241])
def test_cursors_never_read_behind_the_buffer(kept):
    """The last body of thirty numbers is cut, so that its cursor is beyond the end for long."""
    fields = [{"name": f"f{i}", "type": "double"} for i in range(30)]
    root = parse_avro(json.dumps({"type": "record", "name": "R", "fields": fields}))
    bodies = [FRAME + bytes(240), FRAME + bytes(241)[:kept]]
    found, given_up = AvroColumns(root, [("f0",), ("f29",)], Moment()).read(bodies, len(FRAME))
    assert given_up.tolist() == [False, kept != 240]
    assert cell(found[("f29",)], 0) == 0.0


@st.composite
def long_logs(draw):
    """Draw a schema of many scalar fields and many bodies, of which some are cut or lengthened."""
    kinds = [draw(scalars([i])) for i in range(draw(st.integers(1, 12)))] * draw(st.integers(1, 5))
    fields = [
        {"name": f"f{i}", "type": {**kind, "name": f"N{i}"} if isinstance(kind, dict) else kind}
        for i, (kind, _) in enumerate(kinds)
    ]
    schema = {"type": "record", "name": "R", "fields": fields}
    parsed, bodies = fastavro.parse_schema(schema), []
    some = [draw(st.tuples(*(values for _, values in kinds))) for _ in range(3)]
    for number in draw(st.lists(st.integers(0, 2), min_size=1, max_size=40)):
        body = write(parsed, {f"f{i}": value for i, value in enumerate(some[number])})
        cut = draw(st.just(0) | st.integers(-9, len(body)))
        bodies.append(body + bytes(-cut) if cut < 0 else body[: len(body) - cut])
    return schema, bodies


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(long_logs())
def test_cursors_that_move_together_give_up_exactly_the_bad_bodies(log):
    """Bodies of many fields are given up if they end too early or too late, and only then."""
    schema, bodies = log
    root = parse_avro(json.dumps(schema))
    contents = [read(content_reader(root, Moment()), body) for body in bodies]
    path = (schema["fields"][-1]["name"],)
    try:
        reader = AvroColumns(root, [path], Moment())
    except NotColumnarError:
        reader = AvroColumns(root, [], Moment())
    found, given_up = reader.read([FRAME + body for body in bodies], len(FRAME))
    assert given_up.tolist() == [content is None for content in contents]
    for row, content in enumerate(contents):
        if content is not None and found:
            assert repr(cell(found[path], row)) == repr(value_at(content[0], path))


@given(st.data())
def test_a_valid_body_has_the_values_of_fastavro(data):
    """The content of what fastavro has written is what it was given."""
    schema, values = data.draw(records([]))
    body = write(schema, data.draw(values))
    expected = fastavro.schemaless_reader(io.BytesIO(body), fastavro.parse_schema(schema), None)
    root = parse_avro(json.dumps(schema))
    content = content_reader(root, Moment())(FRAME + body, len(FRAME))
    assert repr(content) == repr(as_content(expected))
    # By columns, only arrays and maps of many items are given up.
    _, given_up = AvroColumns(root, [], Moment()).read([FRAME + body] * 3, len(FRAME))
    assert not given_up.any()
