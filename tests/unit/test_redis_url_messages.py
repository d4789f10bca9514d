"""Messages about a URL of Redis contain no part that may be a secret."""

import pytest
from redis.exceptions import AuthenticationError

from stream_rnn.errors import ConfigError
from stream_rnn.store.connection import connect_redis, has_password, safe_url
from stream_rnn.store.server_connection import UrlCredentials

AZURE = "h.redis.cache.windows.net:6380,password=S3cret,ssl=True,abortConnect=False"


@pytest.mark.parametrize(
    "url", [AZURE, "S3cret", "h:6379:S3cret", "http://u:S3cret@h", "S3cret://h"]
)
def test_a_text_without_a_scheme_of_redis_is_not_cited(url):
    with pytest.raises(ConfigError, match="must begin with redis://") as error:
        connect_redis(url, 1.0)
    assert "S3cret" not in str(error.value)
    assert ("rediss://:KEY@HOST:PORT/0" in str(error.value)) == (url == AZURE)
    assert "S3cret" not in safe_url(url)
    assert has_password(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h/0?password=X&foo=Y", "redis://h/0?password=***&foo=***"),
        ("redis://h/0?S3cret", "redis://h/0?***"),
        ("redis://S3cret@h", "redis://***@h"),
        ("redis://h:S3cret", "redis://h:***"),
        ("redis://h:S3cret/0?db=1", "redis://h:***"),
        ("redis://h:S3/cret", "redis://h:***"),
        ("redis://h:123456/0", "redis://h:***"),
        ("redis://:S3cret", "redis://:***"),
        ("redis+cluster://a:7000,b:S3cret", "redis+cluster://a:***"),
        ("redis+cluster://[::1]:7000,b,c:1", "redis+cluster://[::1]:7000,b,c:1"),
    ],
)
def test_only_the_names_of_options_and_no_lone_user_are_shown(url, shown):
    assert safe_url(url) == shown


@pytest.mark.parametrize(
    "url", ["redis://h:S3cret", "redis://h:S3cret/0", "rediss+cluster://h:S3cret"]
)
def test_a_password_without_its_user_is_not_cited(url):
    """The user and the sign ``@`` are missing, so that the text is where a port would be."""
    with pytest.raises(ConfigError, match="redis_url") as error:
        connect_redis(url, 1.0)
    assert "S3cret" not in str(error.value)
    assert has_password(url)


def test_an_option_without_a_secret_is_no_password():
    assert not has_password("rediss://h/0?ssl_ca_certs=/ca.pem")


def test_a_replaced_url_with_a_bad_option_is_refused_like_a_bad_file():
    credentials = UrlCredentials(lambda: "redis://:S3cret@h/0?protocol=S3cret")
    with pytest.raises(AuthenticationError, match="cannot be parsed") as error:
        credentials.get_credentials()
    assert "S3cret" not in str(error.value)
