"""Tokens of a file, of a provider of one's own and of AWS: when they are read, and what fails."""

import asyncio
import base64

import pytest
from aiokafka.abc import AbstractTokenProvider

from stream_rnn.errors import MissingExtraError
from stream_rnn.kafka.aws import AwsIdentity
from stream_rnn.kafka.client_credentials import ClientCredentials
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.tokens import (
    CachedTokens,
    OwnTokens,
    TokenError,
)


async def test_a_token_in_a_file_is_read_for_each_connection(tmp_path):
    """Kubernetes writes a new one before the old one expires."""
    path = tmp_path / "token"
    path.write_text("first\n")
    provider = CachedTokens(
        ClientCredentials(url=path.as_uri(), client_id="", client_secret="").fetch
    )
    assert await provider.token() == "first"
    path.write_text("second\n")
    assert await provider.token() == "second"
    path.unlink()
    with pytest.raises(TokenError, match=f"cannot read the token in {path}"):
        await provider.token()


class Own(AbstractTokenProvider):
    """A provider of a user.

    Args:
        answer: Called for each token.
    """

    def __init__(self, answer):
        self._answer = answer
        self.loops = []

    async def token(self):
        self.loops.append(asyncio.get_running_loop())
        return self._answer()

    def extensions(self):
        return {"logicalCluster": "lkc-1"}


async def test_a_provider_of_ones_own_is_called_on_one_loop():
    """That of the app, also for the connections of Faust's consumer."""
    own = Own(lambda: "t")
    provider = OwnTokens(own)
    provider.use_loop(asyncio.get_running_loop())
    texts = await asyncio.gather(provider.token(), asyncio.to_thread(asyncio.run, provider.token()))
    assert texts == ["t", "t"]
    assert own.loops == 2 * [asyncio.get_running_loop()]
    assert provider.extensions() == {"logicalCluster": "lkc-1"}


@pytest.mark.parametrize("answer", [lambda: 1 / 0, lambda: b"bytes", lambda: ""])
async def test_a_provider_that_fails_is_named(answer):
    """Whatever it raises or returns is an error of the connection, which is tried again."""
    with pytest.raises(TokenError, match=r"Own returned no token: |not a text of printable"):
        await OwnTokens(Own(answer)).token()


async def test_a_provider_that_does_not_answer_explains_the_wait():
    """A client's deadline may end before that of the provider."""
    own = Own(lambda: "t")
    provider = OwnTokens(own)
    assert await provider.token() == "t"
    assert provider.delay(5) is None
    own.token = asyncio.Event().wait
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await provider.token()
    assert "token_provider Own returned no token within 5 s" in str(provider.delay(5))


async def test_a_provider_that_returns_a_header_is_named():
    """The word Bearer belongs to HTTP; it is not sent as a part of the token."""
    with pytest.raises(TokenError, match=r"token_provider Own is .*without the word Bearer"):
        await OwnTokens(Own(lambda: "Bearer abc.def")).token()


MSK = "b-1.c.x1.c2.kafka.eu-central-1.amazonaws.com:9098"


IAM = "software.amazon.msk.auth.iam.IAMLoginModule required awsProfileName='p' awsRoleArn='r';"


@pytest.fixture
def signer():
    """Return the library of the extra."""
    return pytest.importorskip("aws_msk_iam_sasl_signer")


@pytest.mark.parametrize("mechanism", ["AWS_MSK_IAM", "OAUTHBEARER"])
async def test_msk_gets_a_token_that_its_library_signs(signer, mechanism, monkeypatch, tmp_path):
    """For the region that the broker's name has, with the credentials of the environment."""
    assert signer
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    path = tmp_path / "client.properties"
    path.write_text(
        f"security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\n"
        f"sasl.jaas.config={IAM.partition(' aws')[0]};\n"
        "sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMClientCallbackHandler\n"
    )
    options = kafka_options(MSK, str(path))
    assert options["sasl_mechanism"] == "OAUTHBEARER"
    provider = options["sasl_oauth_token_provider"]
    text = await provider.token()
    url = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    assert url.startswith(
        "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect"
    )
    assert "AKIATEST" in url
    assert 0 < provider._token.lifetime_s <= 900
    assert await provider.token() == text


def test_msk_needs_its_extra_and_a_region(monkeypatch):
    """Both are named before any connection."""
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(Exception, match="f: the region of the cluster is unknown; set AWS_REGION"):
        AwsIdentity.of({}, "broker:9098", "f")
    monkeypatch.setattr("stream_rnn.kafka.aws.SIGNER", "no_such_signer")
    with pytest.raises(MissingExtraError, match=r"pip install 'stream-rnn\[aws\]'"):
        AwsIdentity.of({}, MSK, "f")
