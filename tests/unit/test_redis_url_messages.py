"""Messages about a URL of Redis contain no part that may be a secret."""

import base64

import pytest
from redis.exceptions import AuthenticationError

from stream_rnn.errors import ConfigError
from stream_rnn.settings import Settings
from stream_rnn.store.connection import (
    connect_by_settings,
    connect_redis,
    has_password,
    safe_url,
)
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


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("valkey://h:6379/0", "begins with valkey://; write redis:// instead"),
        ("valkeys://h:6379/0", "begins with valkeys://; write rediss:// instead"),
        ("redis-sentinel://h:26379/0", "write redis+sentinel:// instead"),
        ("localhost:36379", "has a host and a port alone; write redis://HOST:PORT/0"),
        ("[::1]:6379/0", "has a host and a port alone"),
        ('"redis://h:6379/0"', "has quotation marks around the URL"),
        ("'redis://h:6379/0'", "has quotation marks around the URL"),
        ("REDIS://h:6379/0", "has capitals in its scheme"),
    ],
)
def test_a_text_without_a_password_names_the_form_and_warns_of_none(url, said):
    """A URL for another program, an address, or a URL in quotation marks; with a password, it warns."""
    with pytest.raises(ConfigError, match="must begin with redis://") as error:
        connect_redis(url, 1.0)
    assert f"; it {said}" in str(error.value) or said in str(error.value)
    assert not has_password(url)
    assert has_password(url.replace("://", "://:S3cret@")) == ("://" in url)


def test_an_option_without_a_secret_is_no_password():
    assert not has_password("rediss://h/0?ssl_ca_certs=/ca.pem")


def test_a_replaced_url_with_a_bad_option_is_refused_like_a_bad_file():
    credentials = UrlCredentials(lambda: "redis://:S3cret@h/0?protocol=S3cret", "redis://h/0")
    with pytest.raises(AuthenticationError, match="cannot be parsed") as error:
        credentials.get_credentials()
    assert "S3cret" not in str(error.value)


def test_a_url_file_that_is_not_utf8_is_named_without_a_byte_of_it(tmp_path):
    path = tmp_path / "url"
    path.write_bytes(b"redis://:S\xe4cret@h:6379/0")
    with pytest.raises(ConfigError, match="is not UTF-8; write it as UTF-8") as error:
        connect_by_settings(Settings.build(redis_url_file=str(path)))
    assert "e4" not in str(error.value).removeprefix(f"redis_url_file {path}")


URL = "redis://:S3cret@h:6379/0"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (f'"{URL}"'.encode(), "has quotation marks around the URL"),
        (f"STREAM_RNN_REDIS_URL={URL}".encode(), "has a name before the URL"),
        (f'export REDIS_URL="{URL}"'.encode(), "has a name before the URL"),
        (f"redis_url: {URL}".encode(), "has a name before the URL"),
        (base64.b64encode(URL.encode()), "contains the URL as base64"),
        (base64.b64encode(f"{URL}\n".encode()) + b"\n", "contains the URL as base64"),
        (b"S3cret", "contains no URL, but perhaps the password alone"),
        (AZURE.encode(), "write rediss://:KEY@HOST:PORT/0"),
        (b"http://:S3cret@h", "begins with http://; write redis:// instead"),
        (b"amqp://:S3cret@h", "must begin with redis://"),
        (URL.encode("utf-16"), "is UTF-16 or binary; write it as UTF-8"),
        (URL.encode("utf-16-le"), "is UTF-16 or binary; write it as UTF-8"),
        (f"{URL}?protocol=9".encode(), ": redis_url redis://***@h:6379/0?protocol=***"),
    ],
)
def test_a_file_without_a_url_is_named_with_what_is_wrong_and_not_cited(tmp_path, data, said):
    path = tmp_path / "redis-url"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as error:
        connect_by_settings(Settings.build(redis_url_file=str(path)))
    assert f"redis_url_file {path}" in str(error.value)
    assert said in str(error.value).replace("redis://:***@", "redis://***@")
    assert "S3cret" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["redis://:new@h/1", "redis://:new@g/0", "rediss://:new@h/0", "redis://:new@h/0?db=0"]
)
def test_a_host_or_database_that_changes_in_the_file_is_a_warning(caplog, url):
    """Only user and password are read again, and an ignored change must not be silent."""
    urls = ["redis://u:old@h/0", "redis://:new@h/0", url, url]
    credentials = UrlCredentials(lambda: urls.pop(0), "redis://h/0")
    credentials.get_credentials()
    credentials.get_credentials()
    assert not caplog.records
    assert credentials.get_credentials() == credentials.get_credentials() == ("new",)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "restart the process" in caplog.text
