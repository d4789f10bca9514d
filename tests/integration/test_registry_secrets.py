"""Planted secrets of a schema registry: no log, metric, page, message or traceback has one."""

import asyncio
import base64
import io
import json
import logging
import secrets
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization

from stream_rnn.cli import main
from stream_rnn.errors import StreamRNNError
from stream_rnn.formats.registry_config import make_registry_config
from stream_rnn.settings import Settings
from stream_rnn.worker.app import make_app
from tests.integration.certificates import make_certificates
from tests.integration.predicted import wait_until
from tests.integration.streams import mixed_records
from tests.integration.token_server import CLIENT, SCOPE, SECRET, TokenServer
from tests.registry_server import RegistryServer

pytestmark = pytest.mark.timeout(240)
USER = "reader"
PASSWORD = f"p@ss:{secrets.token_hex(4)}"
TOKEN = f"t0ken-{secrets.token_hex(8)}"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
KEY_PASSWORD = f"k3y-{secrets.token_hex(8)}"
CLIENT_BASIC = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
PLANTED = (
    *(PASSWORD, quote(PASSWORD, safe=""), BASIC, TOKEN, KEY_PASSWORD),
    *(SECRET, quote(SECRET, safe=""), CLIENT_BASIC),
)
SENT = {"token": TOKEN, "client": f"{SECRET} {CLIENT_BASIC}", "key": KEY_PASSWORD}
"""What the registry repeats in a message; otherwise the login."""


@pytest.fixture
def kind(request):
    """Return the kind of login."""
    return request.param


@pytest.fixture
def registry(request, tmp_path):
    """Run a registry, with TLS for a login with a key."""
    has_key = "kind" in request.fixturenames and request.getfixturevalue("kind") == "key"
    if has_key:
        make_certificates(tmp_path)
    with RegistryServer(certificate=tmp_path / "server.pem" if has_key else None) as server:
        yield server


@pytest.fixture
def tokens():
    """Run a token endpoint."""
    with TokenServer() as server:
        yield server


def locked(path) -> None:
    """Encrypt the key in a PEM file, whose certificates stay."""
    pem = path.read_bytes()
    _, _, certificates = pem.partition(b"-----END PRIVATE KEY-----\n")
    key = serialization.load_pem_private_key(pem, None)
    lock = serialization.BestAvailableEncryption(KEY_PASSWORD.encode())
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(*plain, lock) + certificates)


async def verb(*words) -> str:
    """Return everything that a verb prints, whether it succeeds or fails."""

    def call():
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(out), suppress(SystemExit):
            main(list(words))
        return out.getvalue()

    return await asyncio.to_thread(call)


def login_of(kind, registry, tokens, tmp_path):
    """Demand a login, and return the options that give it."""
    path = tmp_path / "registry.properties"
    lines = [f"schema.registry.url={registry.url}"]
    if kind == "token":
        registry.login = f"Bearer {TOKEN}"
        lines += ["bearer.auth.credentials.source=STATIC_TOKEN", f"bearer.auth.token={TOKEN}"]
    elif kind == "client":
        lines += ["bearer.auth.credentials.source=OAUTHBEARER", f"bearer.auth.scope={SCOPE}"]
        lines += [f"bearer.auth.issuer.endpoint.url={tokens.url}/token"]
        lines += [f"bearer.auth.client.id={CLIENT}", f"bearer.auth.client.secret={SECRET}"]
    elif kind == "key":
        locked(tmp_path / "client.pem")
        lines += [f"ssl.ca.location={tmp_path / 'ca.pem'}", f"ssl.key.password={KEY_PASSWORD}"]
        lines += [
            f"ssl.{name}.location={tmp_path / 'client.pem'}" for name in ("certificate", "key")
        ]
    else:
        registry.demand(USER, PASSWORD)
        lines += ["basic.auth.credentials.source=USER_INFO"]
        lines += [f"basic.auth.user.info={USER}:{PASSWORD}"]
    path.write_text("\n".join(lines) + "\n")
    if kind == "url":
        address = registry.url.replace("//", f"//{USER}:{quote(PASSWORD, safe='')}@")
        return {"schema_registry_url": address}
    return {"schema_registry_config": str(path)}


@pytest.mark.parametrize("kind", ["password", "token", "url", "client", "key"], indirect=True)
async def test_a_secret_of_the_registry_is_nowhere(
    kind, stream, registry, tokens, tmp_path, caplog
):
    """While a worker runs at every level, while verbs print, and while logins are refused."""
    login = login_of(kind, registry, tokens, tmp_path)
    made = await stream(predictions_format="avro", **login)
    names = ("predictions", "bundle", "predictions_format")
    words = [f"--{n.replace('_', '-')}={getattr(made.settings, n)}" for n in names]
    place = [*words, *(f"--{n.replace('_', '-')}={value}" for n, value in login.items())]
    fold = [f"--{n.replace('_', '-')}={getattr(made.settings, n)}" for n in ("app", "source")]
    servers = ("bootstrap_servers", "redis_url")
    options = made.options()
    fold += [f"--{n.replace('_', '-')}={options[n]}" for n in servers]
    seen = [await verb("schema", "register", *place)]
    await made.produce(mixed_records(60, seed=5))
    caplog.set_level(logging.DEBUG)
    rnn = make_app(made.settings)
    async with rnn.app:
        await made.until_published()
    seen += [repr(rnn), repr(rnn.app), repr(made.settings), made.settings.model_dump_json()]
    settings = Settings.build(app="a", source="s", **login)
    seen += [repr(settings), settings.model_dump_json(), str(settings.model_dump())]
    for words in (("schema", "check"), ("doctor", "--json", *fold)):
        seen.append(await verb(*words, *place))
    sent = SENT.get(kind, f"{USER}:{PASSWORD} {BASIC}")
    echo = {"error_code": 42201, "message": f"login {sent} is odd"}
    raw = json.dumps(echo)
    head = "HTTP/1.1 422 Oops\r\nContent-Type: application/json\r\nConnection: close\r\n"
    registry.raw = f"{head}Content-Length: {len(raw)}\r\n\r\n{raw}".encode()
    seen.append(await verb("schema", "check", *place))
    registry.raw, registry.login = b"", "Basic other"
    seen.append(await verb("schema", "register", *place))
    seen.append(await verb("doctor", "--json", *place, *fold))
    refused = made.start("refused", **login)
    await wait_until(lambda: not refused.is_alive, "the worker without a login has ended")
    seen.append(refused.log.read_text())
    tokens.secret, before = "another", tokens.refused
    seen.append(await verb("schema", "check", *place))
    assert (tokens.refused > before) == (kind == "client")
    text = "\n".join([caplog.text, *seen])
    assert "DEBUG" in caplog.text
    assert "refuses the login" in text
    assert "(login *** " in " ".join(text.split()), "the message of the registry is shown"
    assert not [secret for secret in (*PLANTED, *tokens.tokens) if secret in text]


@pytest.mark.parametrize(
    "url",
    [
        f"https://{USER}:{PASSWORD}@[half",
        f"ftp://{USER}:{quote(PASSWORD)}@host",
        f"https://{USER}:{quote(PASSWORD)}@host:port",
        f"https://{USER}:{quote(PASSWORD)}@host?x=1",
    ],
    ids=["host", "scheme", "port", "query"],
)
def test_a_wrong_address_is_refused_without_its_login(url):
    """Whatever is wrong with it."""
    with pytest.raises(StreamRNNError) as refused:
        make_registry_config(url)
    text = "".join(traceback.format_exception(refused.value))
    assert not [secret for secret in PLANTED if secret in text]
