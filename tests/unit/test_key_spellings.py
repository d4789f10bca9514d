"""Near spellings: what serializers and people make of a key, in both directions."""

import base64
import struct
import unicodedata
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.errors import ConfigError
from stream_rnn.key_spellings import (
    CANDIDATES_MAX,
    FRAMES_MAX,
    NearKey,
    Spellings,
    format_partitions,
    list_near_keys,
)
from stream_rnn.keys import describe_key, parse_key

CONNECT = b'{"schema":{"type":"struct","fields":[{"type":"int64","field":"id"}]},"payload":%b}'
WRAPPED = (  # stored keys of other values
    *(b'{"id":1}', b'{"id": "b"}', b'{"key":1}', CONNECT % b'{"id":1}', CONNECT % b"1"),
    *(b"Struct{id=1}", b"user:1", b"x/1", b"urn:dev:1"),
)
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("text", "other", "how"),
    [
        (b"7", b'"7"', "as JSON text"),
        (b"7", struct.pack(">q", 7), "as a Java Long"),
        (b"-7", struct.pack(">q", -7), "as a Java Long"),
        (b"7", struct.pack(">i", 7), "as a Java Integer"),
        (b"7", struct.pack("<q", 7), "as a little-endian integer"),
        (b"7", b"007", "with leading zeros"),
        (b"1.1", b"1.10", "with more decimals"),
        (b"UA-EWR", b"ua-ewr", "in lower case"),
        (b"ua-ewr", b"UA-EWR", "in upper case"),
        (b"a", b"a ", "with a blank"),
        (b"a", b" a", "with a blank"),
        (b"a", b"a\n", "with a line end"),
        (b"a", b"a\r\n", "with a line end"),
        (b"a", b"a\0", "NUL"),
        (b"a", b"'a'", "in single quotes"),
        (b"a-b", b"a\\-b", "with escapes"),
        (b"1-2-3", b"1\\-2-3", "composite"),
        (b"ab", "ab".encode("utf-16-le"), "in UTF-16"),
        (b"ab", "ab".encode("utf-16-be"), "in UTF-16"),
        ("Zürich".encode(), "Zürich".encode("latin-1"), "in latin-1"),
        ("Zürich".encode(), unicodedata.normalize("NFD", "Zürich").encode(), "form NFD"),
        (b"ab", b"6162", "in hexadecimal"),
        (b"ab", base64.b64encode(b"ab"), "in base64"),
        (UUID.encode(), uuid.UUID(UUID).bytes, "16 bytes of a UUID"),
        (b"ab", b"\0\0\0\0\7\x04ab", "schema id 7"),
        (b"7", b"\0\0\1\0\0\x0e", "schema id 65536"),
        (b"ab", b'\0\0\0\0\7"ab"', "schema id 7"),
        (b"7", b"\0\0\0\0\7" + struct.pack(">q", 7), "schema id 7"),
        (b"7", struct.pack(">d", 7), "as a Java Double"),
        (b"-7.25", struct.pack(">d", -7.25), "as a Java Double"),
        (b"7.5", struct.pack(">f", 7.5), "as a Java Float"),
        (b"17", b"b'17'", "as Python writes bytes"),
        (b"7", b'{"id":7}', "in an object of JSON"),
        (b"7", b'{"id": "7"}', "in an object of JSON"),
        (b"7", CONNECT % b'{"id":7}', "as Kafka Connect writes it"),
        (b"7", CONNECT % b"7", "as Kafka Connect writes it"),
        (b"21", b"Struct{id=21}", "Struct of Kafka Connect"),
        (b"11", b"user:11", "after user:"),
        (b'{"id":7}', b'{"key":7}', "in an object of JSON"),
        (b"a:b", b"x/a:b", "after x/"),
        (b"55", b"urn:dev:55", "after urn:dev:"),
        (b"dev:55", b"urn:dev:55", "after urn:"),
        (b"7", b"%020d" % 7, "with leading zeros"),
        (b"%020d" % 7, b"7", "without leading zeros"),
        (b"55", "\uff15\uff15".encode(), "in full-width digits"),
        (b"ab", "ab\u200b".encode(), "with an invisible character"),
        (b"ab", "\u2060ab".encode(), "with an invisible character"),
    ],
)
def test_a_spelling_is_near(text, other, how):
    """Its difference is named, and it is among the candidates once a stored key shows the frame."""
    spellings = Spellings(text)
    assert how in spellings.describe(other)
    assert other in spellings.candidates([b"\0\0\0\0\7x", b"\0\0\1\0\0x", *WRAPPED])
    assert text not in spellings.candidates()
    assert spellings.describe(text) is None


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b'"7"', b"7"),
        (struct.pack(">q", 7), b"7"),
        (struct.pack(">i", -7), b"-7"),
        (b"a\n", b"a"),
        (b" a ", b"a"),
        (b"'a'", b"a"),
        (b"007", b"7"),
        (b"1.10", b"1.1"),
        (b"a\\-b", b"a-b"),
        ("ab".encode("utf-16-le"), b"ab"),
        (b"6162", b"ab"),
        (b"0x0000000000000007", struct.pack(">q", 7)),
        (rb'"\x00\x00\x00\x00\x00\x00\x00\a"', struct.pack(">q", 7)),
        (b"YWI=", b"ab"),
        (b"a%20b", b"a b"),
        (b"\0\0\0\0\7\x04ab", b"ab"),
        (b"\0\0\0\0\7ab", b"ab"),
        (struct.pack(">d", 7), b"7"),
        (struct.pack(">d", -0.1), b"-0.1"),
        (struct.pack(">f", 1.1), b"1.1"),
        (b"b'17'", b"17"),
        (b'{"id":9}', b"9"),
        (CONNECT % b'{"id":"a"}', b"a"),
        (b"Struct{id=21}", b"21"),
        (b"user:11", b"11"),
        (b"urn:dev:55", b"55"),
        ("\uff15\uff15".encode(), b"55"),
        ("a\u200bb\ufeff".encode(), b"ab"),
    ],
)
def test_the_text_is_near_to_its_spellings(key, text):
    """As somebody types what redis-cli, a file or a console shows."""
    assert Spellings(key).describe(text)


def test_a_key_with_invisible_or_wide_characters_is_near_to_its_plain_text():
    """Wherever in the key they are; a sample of the stored keys shows them."""
    spellings = Spellings(b"dev-55")
    for other in ("dev\u200b-5\u200d5", "dev-\uff155", "\uff44ev-55"):
        assert spellings.describe(other.encode())
    assert spellings.describe("dev-\uff156".encode()) is None


def test_a_number_is_not_named_as_another_number():
    """33 is the hexadecimal text of 3, and nobody means it."""
    for other in (struct.pack(">d", 3.0), struct.pack(">q", 3), b"3", b"3333"):
        assert Spellings(b"33").describe(other) is None
    near = NearKey(struct.pack(">d", 3.0), "")
    assert str(near) == f"'{near.name}' (the number 3.0)"
    assert "the number 3.0" in str(NearKey(near.key, Spellings(b"3").describe(near.key)))
    assert str(NearKey(b"@AAAAAAA", "")) == "'@AAAAAAA'"


def test_other_keys_are_not_near():
    """A difference in what the text says is none in its spelling."""
    spellings = Spellings(b"7")
    wrapped = (b'{"id":8}', b'{"id":7,"part":8}', b'{"id":[7]}', b"user:8", b"Struct{id=7,a=8}")
    for other in (b"8", b"70", struct.pack(">q", 8), b'"8"', b"\0\0\0\0\7\x028", *wrapped):
        assert spellings.describe(other) is None
        assert other not in spellings.candidates([b"\0\0\0\0\7x", *wrapped])


@given(st.binary(max_size=300), st.lists(st.binary(max_size=20), max_size=30))
def test_candidates_are_few(key, stored):
    """Whatever the key is, their number has a bound, and each has a difference."""
    spellings = Spellings(key)
    candidates = spellings.candidates([*stored, *WRAPPED])
    assert len(candidates) <= 2 * CANDIDATES_MAX
    assert len(set(candidates)) == len(candidates)
    assert all(spellings.describe(other) for other in candidates)


def test_only_a_few_schema_ids_are_tried():
    """The bound of the candidates does not depend on the number of schema ids."""
    spellings, stored = Spellings(b"7"), [struct.pack(">bi", 0, i) + b"x" for i in range(1, 1000)]
    more = len(spellings.candidates(stored)) - len(spellings.candidates())
    assert more == len(spellings.candidates(stored[:FRAMES_MAX])) - len(spellings.candidates())
    assert more > 0


@given(st.binary(min_size=4, max_size=8))
def test_the_name_of_a_near_key_can_be_typed(key):
    """An integer is named as a number if that is its difference."""
    for size in (4, 8):
        integer = key[:4] if size == 4 else key.ljust(8, b"\1")
        text = str(int.from_bytes(integer, "big", signed=True)).encode()
        near = NearKey(integer, Spellings(text).describe(integer) or "")
        assert near.name == f"int{8 * size}:{text.decode()}"
        assert parse_key(near.name) == integer


def test_near_keys_are_listed_with_their_partitions():
    """At most five, then their number."""
    near = [NearKey(b"a%d" % i, "in lower case", (0, 1, 2, 5)) for i in range(7)]
    text = list_near_keys(near)
    assert text.startswith("'a0' (in lower case) in partitions 0 to 2 and 5; 'a1'")
    assert text.endswith("'a4' (in lower case) in partitions 0 to 2 and 5; and 2 more")
    assert str(NearKey(b"a", "")) == "'a'"
    assert format_partitions([0, 1, 2]) == "partitions 0 to 2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hex:0g", "hex: is not hexadecimal"),
        ("int32:2147483648", "int32: is not an integer of 4 bytes"),
        ("int64:seven", "write base64:aW50NjQ6c2V2ZW4="),
        ("int64:1_0", "int64: is not an integer of 8 bytes"),
        ("int64:", "int64: is not an integer of 8 bytes"),
    ],
)
def test_a_key_that_is_not_in_its_form_is_refused(text, message):
    """With the way to name a key that is this text itself."""
    with pytest.raises(ConfigError, match=message):
        parse_key(text)


@pytest.mark.parametrize("text", ["hex:00", "int32:7", "int64:7", "base64:"])
def test_a_text_that_looks_like_a_form_is_shown_as_base64(text):
    """So that what is shown can be typed."""
    assert describe_key(text.encode()).startswith("base64:")
    assert parse_key(describe_key(text.encode())) == text.encode()
