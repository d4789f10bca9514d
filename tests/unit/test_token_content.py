"""Tokens as files and endpoints contain them, and how long they are valid."""

import base64
import json

import pytest

from stream_rnn.kafka.client_credentials import ClientCredentials
from stream_rnn.kafka.token_content import lifetime_s
from stream_rnn.kafka.tokens import (
    TokenError,
)


def token_in(path) -> str:
    """Return the token in a file, as a connection reads it."""
    return ClientCredentials(url=path.as_uri(), client_id="", client_secret="").fetch().text


@pytest.mark.parametrize(
    "content",
    [
        b"abc.def",
        b"\xef\xbb\xbfabc.def\r\n",
        b"Bearer abc.def\n",
        b"Authorization: bearer  abc.def",
        b'{"access_token": "abc.def", "expires_in": 3600}\n',
        b'\xef\xbb\xbf{"access_token": "Bearer abc.def"}',
        b'"abc.def"',
    ],
)
def test_a_token_in_a_file_may_have_more_around_it(content, tmp_path):
    """A byte order mark, the word before it in a header, or the answer of an endpoint."""
    path = tmp_path / "token"
    path.write_bytes(content)
    assert token_in(path) == "abc.def"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; write the token into it"),
        (b" \n", "is empty; write the token into it"),
        (b"Bearer \n", "is empty; write the token into it"),
        (b'{"error": "s3cret"}', "has no token: write the token alone, or a JSON object"),
        (b'{"access_token": "s3cret', "has no token: write the token alone, or a JSON object"),
        (b'{"access_token": 1}', "has no token"),
        (b'["s3cret"]', "has no token"),
        ("s3cret".encode("utf-16"), "it is UTF-16; write it as UTF-8"),
        (b"s3cret\xff", "invalid start byte"),
        (b"s3cret\nsecond", "is not a text of printable ASCII without blanks"),
        (b"<html>s3cret page</html>", "is not a text of printable ASCII without blanks"),
        (b"x" * 1_000_001, "it has over 1000000 bytes"),
    ],
)
def test_a_file_without_a_token_is_named(content, said, tmp_path):
    """Nothing of it is sent, and nothing is in the message."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(TokenError, match=said) as error:
        token_in(path)
    assert str(path) in str(error.value)
    assert "s3cret" not in str(error.value)


def test_the_shorter_lifetime_counts():
    """That of the answer, or that of the token's claims; a token that is no JWT has none."""

    def jwt(**claims):
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"h.{body}.s"

    assert lifetime_s(jwt(iat=100, exp=400)) == 300
    assert lifetime_s(jwt(iat=100, exp=400), 60) == 60
    assert lifetime_s(jwt(iat=100, exp=400), "3600") == 300
    assert lifetime_s("opaque", 60) == 60
    assert lifetime_s("opaque", "soon") is None
    assert lifetime_s("h.?.s") is None
    assert lifetime_s(jwt(exp=1)) == 0
