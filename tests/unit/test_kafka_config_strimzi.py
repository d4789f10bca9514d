"""The login options of Strimzi's OAuth library in a Kafka config."""

from pathlib import Path

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.tokens import CachedTokens
from tests.integration.certificates import make_certificates
from tests.integration.token_server import CLIENT, SCOPE, SECRET, TokenServer

HANDLER = "io.strimzi.kafka.oauth.client.JaasClientOauthLoginCallbackHandler"
MODULE = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
LOGIN = 'oauth.client.id="c" oauth.client.secret="s3cret" oauth.token.endpoint.uri="https://x/t"'


@pytest.fixture
def provider(tmp_path):
    """Return the provider of tokens for some login options."""

    def read(options) -> CachedTokens:
        path = tmp_path / "client.properties"
        path.write_text(
            "bootstrap.servers=a:9093\nsecurity.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n"
            f"sasl.login.callback.handler.class={HANDLER}\n"
            f"sasl.jaas.config={MODULE} required \\\n  {options} ;\n"
        )
        return kafka_options(None, str(path))["sasl_oauth_token_provider"]

    return read


async def test_strimzis_options_are_client_credentials(provider):
    """A token endpoint gets the client, its secret and the scope."""
    with TokenServer() as server:
        options = f"oauth.client.id='{CLIENT}' oauth.client.secret='{SECRET}'"
        tokens = provider(
            f"{options} oauth.scope='{SCOPE}' oauth.token.endpoint.uri='{server.url}/token'"
        )
        assert await tokens.token() == server.tokens[-1]


def test_each_option_of_strimzi_has_an_effect(provider, tmp_path):
    """Audience, extensions and trust for the endpoint; what does not matter here passes."""
    make_certificates(tmp_path)
    tokens = provider(
        f'{LOGIN} oauth.audience="kafka" oauth.sasl.extension.logicalCluster="lkc-1" '
        f'oauth.ssl.truststore.location="{tmp_path}/ca.pem" oauth.ssl.truststore.type="PEM" '
        'oauth.ssl.endpoint.identification.algorithm="" oauth.access.token.is.jwt="false" '
        'oauth.max.token.expiry.seconds="600" oauth.username.claim="sub"'
    )
    client = tokens._fetch.__self__
    assert (client.client_id, client.client_secret, client.audience) == ("c", "s3cret", "kafka")
    assert tokens.extensions() == {"logicalCluster": "lkc-1"}
    assert not client.context.check_hostname
    assert len(client.context.get_ca_certs()) == 1


async def test_a_token_in_a_file_of_strimzi_is_read(provider, tmp_path):
    """``oauth.access.token.location``; it needs no client."""
    path = tmp_path / "a token"
    path.write_text("abc.def\n")
    tokens = provider(f'oauth.access.token.location="{path}"')
    assert await tokens.token() == "abc.def"


@pytest.mark.parametrize(
    "option",
    ["oauth.access.token", "oauth.refresh.token", "oauth.password.grant.password"],
)
def test_another_login_of_strimzi_is_refused_by_its_name(provider, option):
    """The message has the logins that are taken, and no secret."""
    with pytest.raises(ConfigError, match=rf"sasl.jaas.config has {option}, a login that") as error:
        provider(f'{LOGIN} {option}="s3cret"')
    assert "oauth.client.id and oauth.client.secret" in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "needs oauth.token.endpoint.uri in sasl.jaas.config"),
        ('oauth.token.endpoint.uri="https://x/t"', "needs oauth.client.id and oauth.client.secret"),
        ('oauth.token.endpoint.uri="https://<keycloak>/t"', "has a placeholder, <...>"),
    ],
)
def test_what_strimzis_login_lacks_is_named_by_its_option(provider, options, said):
    """Its environment variables, such as OAUTH_CLIENT_SECRET, are not read."""
    with pytest.raises(ConfigError, match=said) as error:
        provider(options)
    assert Path(str(error.value).split(":")[0]).name == "client.properties"
