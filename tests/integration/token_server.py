"""A token endpoint for tests: client credentials in, signed tokens out, and its public key."""

import base64
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.http_json import send_json

ISSUER, AUDIENCE, KEY_ID = "https://issuer.test", "kafka-of-tests", "key-1"
CLIENT, SECRET, SCOPE = "worker-client", "s3cr%t+of:tokens", "kafka write"


class TokenServer:
    """Serves ``/token`` and ``/jwks`` on 127.0.0.1.

    Attributes:
        lifetime_s: Lifetime of the tokens that are issued from now on.
        secret: Secret of the client.
        takes_body: Whether it takes the credentials in the body of a request only.
        is_down: Whether every request for a token is answered 503.
        claims: Claims that differ in the tokens that are issued from now on.
        is_forged: Whether tokens are signed by another key than the public one.
        key_id: Key id that the tokens name from now on; the brokers know ``KEY_ID`` only.
        issued: Number of tokens so far.
        refused: Number of refused requests so far.
        tokens: The tokens, in order.
    """

    def __init__(self, lifetime_s=300) -> None:
        self.lifetime_s, self.secret, self.is_down = lifetime_s, SECRET, False
        self.claims, self.is_forged, self.key_id = {}, False, KEY_ID
        self.takes_body = False
        self.issued = self.refused = 0
        self.tokens: list[str] = []
        self._key, self._other_key = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)
        )
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                send_json(self, 200, owner.jwks())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                send_json(self, *owner.answer(self.headers["Authorization"], body))

            def log_message(self, *_arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exception):
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Base of the addresses."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def jwks(self):
        """Return the public key as brokers read it."""
        numbers = self._key.public_key().public_numbers()
        return {"keys": [{"kty": "RSA", "kid": KEY_ID, "use": "sig", "alg": "RS256",
                          "n": _number(numbers.n), "e": _number(numbers.e)}]}  # fmt: skip

    def answer(self, authorization, body):
        """Return status and content for a request for a token."""
        if self.is_down:
            return 503, {"error": "temporarily_unavailable"}
        form = urllib.parse.parse_qs(body)
        basic = (authorization or "").removeprefix("Basic ")
        login = base64.b64decode(basic).decode()
        if self.takes_body:
            login = ":".join(form.get(name, [""])[0] for name in ("client_id", "client_secret"))
        if login != f"{CLIENT}:{self.secret}" or form["grant_type"] != ["client_credentials"]:
            self.refused += 1
            return 401, {"error": "invalid_client", "error_description": f"not {login}"}
        assert form["scope"] == [SCOPE]
        self.issued += 1
        self.tokens.append(self.token(**self.claims))
        return 200, {"access_token": self.tokens[-1], "expires_in": self.lifetime_s,
                     "token_type": "Bearer"}  # fmt: skip

    def token(self, **more) -> str:
        """Return a signed token."""
        now = time.time()  # noqa: TID251  # a token states absolute times
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": CLIENT, "iat": int(now),
            "exp": int(now) + self.lifetime_s, "scope": SCOPE, **more,
        }  # fmt: skip
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        key = self._other_key if self.is_forged else self._key
        signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + _encoded(signature)).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _number(number: int) -> str:
    return _encoded(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()
