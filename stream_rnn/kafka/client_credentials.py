"""Tokens from an HTTP endpoint by the client credentials grant, or from a file.

Source: RFC 6749, sections 2.3.1 and 4.4.  Requests look like those of Kafka's Java clients, which
send the credentials in a header; an endpoint that refuses them there gets them in the body, too.
No message contains the secret or a token.
"""

import base64
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import BadStatusLine, HTTPException
from typing import Any

from stream_rnn.errors import reason
from stream_rnn.kafka.http_deadline import Deadline
from stream_rnn.kafka.token_content import json_object, lifetime_s, read_token_file
from stream_rnn.kafka.tokens import TOKEN_WITHIN_S, Token, TokenError, TokenRefusedError

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 1_000_000
DETAIL_LENGTH_MAX = 200
RETRIED_STATUS = {408, 425, 429}
NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
"""Reasons of OpenSSL for an answer that is not TLS."""
URL_NAME = "sasl.oauthbearer.token.endpoint.url"
_PLACES = {False: "in the header", True: "in the body"}
CHECK_URL = f"check {URL_NAME}"


class ClientRefusedError(TokenRefusedError):
    """The endpoint refuses the credentials, or the place of the request where they are.

    Attributes:
        answer: What the endpoint answers, without the remedy.
    """

    def __init__(self, answer: str, remedy: str) -> None:
        super().__init__(f"{answer}; {remedy}")
        self.answer = answer


@dataclass(slots=True)
class _Place:
    """Where an endpoint takes the credentials: in the body of a request, or in its header."""

    is_body: bool = False


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A client of a token endpoint.

    Attributes:
        url: URL of the endpoint, ``https``, ``http``, or ``file`` for a token in a file.
        client_id: Client identifier; empty for a file.
        client_secret: Secret of the client.
        scope: Requested scope; ``None`` for the endpoint's default.
        audience: Requested audience, for endpoints such as Auth0's; ``None`` for the default.
        context: TLS options for the endpoint; ``None`` for those of the system.
        timeout_s: Deadline of each network operation in seconds.
        within_s: Deadline of the whole answer in seconds, also of one that comes byte by byte.
        is_url_encoded: Whether identifier and secret are URL-encoded in the header, as RFC 6749
            demands and many servers do not.
    """

    url: str
    client_id: str
    client_secret: str
    scope: str | None = None
    audience: str | None = None
    context: ssl.SSLContext | None = None
    timeout_s: float = TIMEOUT_S
    within_s: float = TOKEN_WITHIN_S
    is_url_encoded: bool = False
    _place: _Place = field(default_factory=_Place, init=False, compare=False)

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return f"ClientCredentials(url={self.shown_url!r}, client_id={self.client_id!r})"

    @property
    def _credentials_remedy(self) -> str:
        return f"check client id {self.client_id!r}, secret and scope"

    @property
    def shown_url(self) -> str:
        """URL without login and query, which may contain a secret."""
        return _without_secrets(self.url)

    def fetch(self) -> Token:
        """Request a new token.

        Raises:
            TokenRefusedError: The endpoint refuses the client.
            TokenError: The endpoint does not answer now.
        """
        if self.url.startswith("file:"):
            return read_token_file(
                urllib.request.url2pathname(urllib.parse.urlsplit(self.url).path)
            )
        answer = self._request_in_either_place()
        text = answer.get("access_token")
        if not isinstance(text, str):
            raise TokenRefusedError(
                f"the token endpoint {self.shown_url} answers JSON without an access_token; {CHECK_URL}"
            )
        return Token(text, lifetime_s(text, answer.get("expires_in")))

    def _request_in_either_place(self) -> dict[str, Any]:
        """Return the answer to the credentials where the endpoint took them last, or else elsewhere.

        An endpoint that takes them in the body only (``client_secret_post``) refuses those in the
        header with the words for a wrong secret.
        """
        is_body = self._place.is_body
        first = self._try(is_body)
        if isinstance(first, dict):
            return first
        if not isinstance(first, ClientRefusedError):
            raise first
        second = self._try(not is_body)
        if isinstance(second, dict):
            self._place.is_body = not is_body
            return second
        places = "in the header and in the body"
        if not isinstance(second, ClientRefusedError):
            places = f"{_PLACES[is_body]}; and with the credentials {_PLACES[not is_body]}, {second.args[0]}"
        raise TokenRefusedError(
            f"{first.answer}, with the credentials {places}; {self._credentials_remedy}"
        )

    def _try(self, is_body: bool) -> dict[str, Any] | TokenRefusedError:
        """Return the answer to a request, or the refusal."""
        try:
            return self._request(is_body)
        except TokenRefusedError as error:
            return error

    def _request(self, is_body: bool) -> dict[str, Any]:
        form = {
            "grant_type": "client_credentials",
            "scope": self.scope,
            "audience": self.audience,
        }
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if is_body:
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        else:
            headers["Authorization"] = f"Basic {self._login()}"
        filled = {name: value for name, value in form.items() if value}
        request = urllib.request.Request(  # noqa: S310  # the scheme is checked with the config
            self.url, urllib.parse.urlencode(filled).encode(), headers
        )
        answer, failure = {}, None
        with Deadline(self.within_s) as deadline:
            try:
                opener = urllib.request.build_opener(NoRedirect, *deadline.handlers(self.context))
                with opener.open(request, timeout=self.timeout_s) as response:
                    answer = self._parse(response)
            except TokenError as error:
                failure = error
            except urllib.error.HTTPError as error:
                with error:
                    failure = self._refusal(error, error.code)
            except (OSError, HTTPException) as error:
                failure = self._no_answer(error)
        if deadline.is_over:
            message = (
                f"the token endpoint {self.shown_url} does not answer within {self.within_s:g} s"
            )
            raise TokenError(message)
        if failure is not None:
            raise failure
        return answer

    def _parse(self, response: Any) -> dict[str, Any]:
        """Return the JSON object of an answer of success.

        Raises:
            TokenRefusedError: It is none, or reports an error.
        """
        body = response.read(ANSWER_BYTES_MAX)
        try:
            answer = json_object(body)
        except ValueError:
            kind = self._shorten(response.headers.get("Content-Type") or "no content type")
            raise TokenRefusedError(
                f"the token endpoint {self.shown_url} answers {response.status} with {kind}, which is "
                f"no JSON object; {CHECK_URL}"
            ) from None
        if "error" in answer and "access_token" not in answer:
            raise self._refused(response, response.status, answer)
        return answer

    def _no_answer(self, error: Exception) -> TokenError:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        why = reason(cause) if isinstance(cause, BaseException) else str(cause)
        message = f"the token endpoint {self.shown_url} does not answer: {self._mask(why)}"
        is_tls = self.url.startswith("https:")
        if isinstance(cause, ssl.SSLCertVerificationError):
            remedy = "name its authority with ssl.truststore.location in sasl.jaas.config"
            return TokenRefusedError(f"{message}; {remedy}")
        if is_tls and getattr(cause, "reason", None) in NO_TLS:
            return TokenRefusedError(
                f"{message}; the port does not speak TLS: write http:// in {URL_NAME}, or correct its port"
            )
        if is_tls and "handshake" in why:
            return TokenError(f"{message}; a port without TLS may do so: check {URL_NAME}")
        if not is_tls and isinstance(cause, BadStatusLine | ConnectionResetError):
            return TokenRefusedError(
                f"{message}; a port of TLS does so: write https:// in {URL_NAME}, or correct its port"
            )
        return TokenError(message)

    def _login(self) -> str:
        return self._encoded_login(self.is_url_encoded)

    def _encoded_login(self, is_url_encoded: bool) -> str:
        pair = [self.client_id, self.client_secret]
        if is_url_encoded:
            pair = [urllib.parse.quote_plus(part) for part in pair]
        return base64.b64encode(":".join(pair).encode()).decode()

    def _mask(self, text: str) -> str:
        """Return a text without the query, and the secret in each form that a request may have."""
        text = text.replace(urllib.parse.urlsplit(self.url).query or "\0", "***")
        if not self.client_secret:
            return text
        logins = [self._encoded_login(is_url_encoded) for is_url_encoded in (False, True)]
        quoted = [
            urllib.parse.quote_plus(self.client_secret),
            urllib.parse.quote(self.client_secret, safe=""),
            urllib.parse.quote(self.client_secret),
        ]
        for form in (*(login.rstrip("=") for login in logins), *quoted, self.client_secret):
            text = text.replace(form, "***")
        return text

    def _refusal(self, answer: Any, status: int) -> TokenError:
        """Return the error for an answer with a status of failure."""
        try:
            fields = json_object(answer.read(ANSWER_BYTES_MAX))
        except (OSError, HTTPException, ValueError):
            fields = {}
        return self._refused(answer, status, fields)

    def _refused(self, answer: Any, status: int, fields: Mapping[str, Any]) -> TokenError:
        details = [str(fields[name]) for name in ("error", "error_description") if name in fields]
        message = (
            f"the token endpoint {self.shown_url} answers {status} {self._mask(str(answer.reason))}"
        )
        if shown := self._shorten(": ".join(details)):
            message += f" ({shown})"
        if status >= 500 or status in RETRIED_STATUS:
            return TokenError(message)
        word = fields.get("error")
        if status == 401 or word == "invalid_client":
            return ClientRefusedError(message, self._credentials_remedy)
        if word == "unauthorized_client":
            remedy = self._credentials_remedy
        elif word == "invalid_scope":
            remedy = "check the scope"
        elif 300 <= status < 400:
            place = _without_secrets(answer.headers.get("Location") or "")
            to = f", which redirects to {self._shorten(place)}" if place else ""
            message, remedy = f"{message}{to}", CHECK_URL
        elif word is not None and status == 400:
            remedy = "check the scope, and the grants of the client"
        else:
            remedy = CHECK_URL
        return TokenRefusedError(f"{message}; {remedy}")

    def _shorten(self, text: str) -> str:
        """Return a text of the endpoint on one line, bounded and without the secret."""
        masked = self._mask(text)
        shown = "".join(letter if letter.isprintable() else " " for letter in masked)
        return shown[:DETAIL_LENGTH_MAX]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirection, which would send the secret to another server."""

    def redirect_request(self, *_arguments: Any) -> None:
        """Return no request, so that the status becomes an error."""


def _without_secrets(url: str) -> str:
    """Return a URL without login, query and fragment."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else parts.path
