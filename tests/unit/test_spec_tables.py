"""The tables [file] and [event] of a feature spec, paths, and the dump that a fingerprint hashes."""

import json
import tomllib

import numpy as np
import pytest

from stream_rnn.errors import SpecError
from stream_rnn.model.bundle import fingerprint_of
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.file_format import MISSING_WORDS
from stream_rnn.model.paths import is_prefix, join_path, split_path

FINGERPRINT = "3f85152854c2a7ff401216c77d79d0425730c0a4ffbb0532295c0aad70fd21b3"
"""Of ``PINNED``, computed before any option of ``OMITTED_DEFAULTS`` existed."""
PINNED = {
    "format": 1,
    "name": "pinned",
    "event": {"key": ["a.b", "driver's"], "time": {"path": "at", "unit": "s"}},
    "features": [
        {"name": "n", "kind": "numeric", "path": "x.y"},
        {"name": "c", "kind": "categorical", "path": "word", "vocabulary": ["A"]},
        {"name": "b", "kind": "boolean", "path": "flag"},
        {"name": "s", "kind": "since_previous"},
        {"name": "h", "kind": "calendar", "unit": "hour"},
    ],
    "heads": [
        {"name": "r", "kind": "regression", "path": "x.y"},
        {"name": "y", "kind": "binary", "path": "flag"},
        {"name": "m", "kind": "multiclass", "path": "word", "classes": ["A", "B"]},
        {"name": "t", "kind": "time_to_next"},
    ],
}
EVERYTHING = """
name = "all"
[file]
delimiter = "whitespace"
decimal = ","
thousands = "."
encoding = "cp1252"
missing = ["", "?"]
columns = ["unit", "cycle"]
[event]
key = ["a", ["payload.after.id", "payload.before.id"]]
unwrap = "payload.after"
forget_when = { path = "payload.op", equals = "d" }
only = [{ path = 'attributes."http.type"', in = ["sensor", 7, 1.5, true] }]
time = { path = "at", unit = "text", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }
[[features]]
name = "x"
kind = "numeric"
path = "x"
parse = true
[[features]]
name = "b"
kind = "boolean"
path = "b"
parse = true
[[heads]]
name = "r"
kind = "regression"
path = "x"
parse = true
[[heads]]
name = "y"
kind = "binary"
path = "b"
parse = true
"""


def fingerprint(spec):
    """Return the fingerprint of a bundle with a spec."""
    tensors = {"w": np.zeros((2, 2), np.float32)}
    return fingerprint_of(spec, CellSpec(kind="gru", hidden=8, layers=1), tensors)


def parse(toml):
    """Parse the tables of a spec, with a feature and a head if there are none."""
    content = {"name": "t", **tomllib.loads(toml)}
    content.setdefault("features", [{"name": "x", "kind": "numeric", "path": "x"}])
    content.setdefault("heads", [{"name": "w", "kind": "time_to_next"}])
    return FeatureSpec.parse(content, "t.toml")


def test_a_new_option_does_not_change_the_fingerprint_of_an_existing_bundle():
    """An option with its default is not in the dump, so the fold id stays, too."""
    spec = FeatureSpec.model_validate(PINNED)

    assert fingerprint(spec) == FINGERPRINT
    dump = json.dumps(spec.model_dump(mode="json"))
    assert not any(f'"{name}"' in dump for name in ("file", "unwrap", "only", "zone", "parse"))


def test_what_changes_the_fold_changes_the_fingerprint():
    """Each option of the event is part of the fold id."""
    base = fingerprint(parse(""))

    for event in (
        'unwrap = "a"',
        'forget_when = {path = "a", equals = 1}',
        'only = [{path = "a", in = [1]}]',
        'time = {path = "t", unit = "us"}',
        'time = {path = "t", unit = "iso8601", zone = "Europe/Berlin"}',
        'time = {path = "t", parse = true}',
        'key = [["a", "b"]]',
    ):
        assert fingerprint(parse(f"[event]\n{event}")) != base, event
    assert fingerprint(parse('[file]\ndelimiter = ";"')) != base


def test_a_spec_with_every_option_survives_a_bundle():
    """The dump of a spec is a spec that equals it, also as JSON."""
    spec = parse(EVERYTHING)

    dump = spec.model_dump(mode="json")
    assert FeatureSpec.model_validate(dump) == spec
    assert FeatureSpec.model_validate_json(spec.model_dump_json()) == spec
    assert dump["event"]["only"] == [
        {"path": 'attributes."http.type"', "in": ["sensor", 7, 1.5, True]}
    ]
    assert [type(value) for value in spec.event.only[0].values] == [str, int, float, bool]
    assert spec.event.key_paths == ("a", "payload.after.id", "payload.before.id")
    assert spec.file.delimiter == "whitespace"
    assert parse("").file.missing == MISSING_WORDS


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[file]\ndelimiter = ";;"', "one character"),
        ('[file]\ndelimiter = "\\n"', "one character"),
        ('[file]\ndecimal = ","\nthousands = ","', "decimal and thousands are both ','"),
        ('[file]\nthousands = "."', "decimal and thousands are both '.'"),
        ('[file]\nthousands = "1"', "cannot separate thousands"),
        ('[file]\nencoding = "utf8x"', "'utf8x' is no encoding"),
        ('[file]\nencoding = "base64"', "'base64' is no encoding"),
        ('[file]\nencoding = ""', "'' is no encoding"),
        ('[file]\ncolumns = ["a", "a"]', "twice"),
        ('[file]\ncolumns = [""]', "an empty name"),
        ('[event]\ntime = {path = "t", unit = "text"}', 'format and unit = "text" belong together'),
        ('[event]\ntime = {path = "t", format = "%Y-%m-%d"}', "belong together"),
        ('[event]\ntime = {path = "t", unit = "text", format = "%Q"}', "no format of strptime"),
        ('[event]\ntime = {path = "t", unit = "text", format = "%H:%M"}', "does not determine"),
        ('[event]\ntime = {path = "t", unit = "text", format = "%d.%m. %H"}', "does not determine"),
        ('[event]\ntime = {path = "t", unit = "text", format = "%Y-%m-%d %Z"}', "zone names"),
        ('[event]\ntime = {path = "t", unit = "iso8601", zone = "Berlin"}', "is no time zone"),
        ('[event]\ntime = {path = "t", unit = "iso8601", zone = "Europe"}', "is no time zone"),
        ('[event]\ntime = {path = "t", unit = "iso8601", zone = ""}', "is no time zone"),
        ('[event]\ntime = {path = "t", unit = "iso8601", zone = "/etc/x"}', "is no time zone"),
        ('[event]\ntime = {path = "t", unit = "ms", zone = "Europe/Berlin"}', "zone is for texts"),
        ('[event]\ntime = {path = "t", unit = "iso8601", parse = true}', "parse reads numbers"),
        ('[event]\nonly = [{path = "t", in = []}]', "at least 1 item"),
        ("[event]\nkey = [[]]", "at least 1 item"),
        ('[event]\nunwrap = "a..b"', "a name is empty"),
        ('[event]\nunwrap = "a."', "a name is empty"),
        ("[event]\nunwrap = 'a.\"b'", "not closed"),
        ("[event]\nunwrap = '\"a\"b'", "a dot must follow"),
        ("[event]\nunwrap = '\"\\x\"'", "unknown escape"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_is_refused_with_its_remedy(toml, message):
    """The message names the table, the value, and what would be right."""
    with pytest.raises(SpecError, match=r"feature spec t.toml: (file|event)") as caught:
        parse(toml)

    assert message in str(caught.value)


def test_a_format_of_every_common_kind_is_accepted():
    """Two digits of the year, the day of the year, ISO weeks, offsets and 12 hours are formats."""
    for layout in (
        "%d.%m.%y %H:%M",
        "%Y%j",
        "%G-W%V-%u",
        "%Y-%m-%d %H:%M:%S.%f%z",
        "%m/%d/%Y %I %p",
    ):
        time = parse(
            f'[event]\ntime = {{path = "t", unit = "text", format = "{layout}"}}'
        ).event.time
        assert time.format == layout


def test_a_path_is_split_and_joined_without_loss():
    """A name with a dot or a quotation mark is quoted; every other path stays what it was."""
    for names in (
        ("a", "b"),
        ("http.status_code",),
        ("attributes", "http.status_code", "x"),
        ('"quoted"', "'single'"),
        ("",),
        ("back\\slash.", 'in"side'),
        ("line\nbreak.",),
    ):
        assert split_path(join_path(names)) == names
    for path in ("a.b.c", "driver's", 'in"side', "back\\slash", "Grüße.x y"):
        assert join_path(split_path(path)) == path
    assert split_path("a.'b.c'") == split_path('a."b.c"') == ("a", "b.c")
    assert parse("[event]\nunwrap = \"a.'b.c'\"").event.unwrap == 'a."b.c"'
    assert is_prefix("a", 'a."b.c"')
    assert not is_prefix("a", '"a.b"')
