"""A real broker with a listener for OAUTHBEARER, which checks signed tokens by their public key.

The listener takes PLAIN, too.
"""

import os

from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.processes import free_port
from tests.integration.token_server import AUDIENCE, CLIENT, ISSUER, SCOPE, SECRET

OAUTH = "org.apache.kafka.common.security.oauthbearer"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
PASSWORD = "pl4in-s3cret"
ALLOWED = "org.apache.kafka.sasl.oauthbearer.allowed.urls"


class OAuthKafka(LocalKafka):
    """Its plain listener is the test's; the other one takes tokens only.

    Args:
        tokens: Server of the tokens.
        reauthenticate_ms: Lifetime of a session at most, in milliseconds.
    """

    def __init__(self, tokens, reauthenticate_ms) -> None:
        self._tokens = tokens
        self._reauthenticate_ms = reauthenticate_ms
        self._oauth_port = free_port()
        super().__init__()

    def start(self):
        """Start the broker, which may fetch keys from the server of the tokens."""
        before = os.environ.get("JDK_JAVA_OPTIONS")
        os.environ["JDK_JAVA_OPTIONS"] = f"-D{ALLOWED}={self._tokens.url}/jwks"
        try:
            return super().start()
        finally:
            del os.environ["JDK_JAVA_OPTIONS"]
            if before is not None:
                os.environ["JDK_JAVA_OPTIONS"] = before

    def _config(self) -> str:
        lines = dict(line.split("=", 1) for line in super()._config().splitlines())
        oauth = f",OAUTH://{self.oauth_servers}"
        lines["listeners"] += oauth
        lines["advertised.listeners"] += oauth
        lines["listener.security.protocol.map"] += ",OAUTH:SASL_PLAINTEXT"
        listener = "listener.name.oauth."
        lines |= {
            "inter.broker.listener.name": "PLAINTEXT",
            f"{listener}sasl.enabled.mechanisms": "OAUTHBEARER,PLAIN",
            f"{listener}plain.sasl.jaas.config": f"{PLAIN} required user_{CLIENT}={PASSWORD};",
            f"{listener}oauthbearer.sasl.jaas.config": f"{OAUTH}.OAuthBearerLoginModule required;",
            f"{listener}oauthbearer.sasl.server.callback.handler.class": f"{OAUTH}.OAuthBearerValidatorCallbackHandler",
            f"{listener}oauthbearer.connections.max.reauth.ms": str(self._reauthenticate_ms),
            f"{listener}sasl.oauthbearer.jwks.endpoint.url": f"{self._tokens.url}/jwks",
            f"{listener}sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{listener}sasl.oauthbearer.expected.issuer": ISSUER,
            f"{listener}sasl.oauthbearer.clock.skew.seconds": "0",
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    @property
    def oauth_servers(self) -> str:
        """Where workers connect."""
        return f"127.0.0.1:{self._oauth_port}"

    def password_config(self, path) -> str:
        """Write a file for --kafka-config with a password; return its path."""
        path.write_text(
            f"bootstrap.servers={self.oauth_servers}\n"
            "security.protocol=SASL_PLAINTEXT\n"
            "sasl.mechanism=PLAIN\n"
            f"sasl.jaas.config={PLAIN} required username={CLIENT} password={PASSWORD};\n"
        )
        return str(path)

    def client_config(self, path, secret=SECRET) -> str:
        """Write a file for --kafka-config, with Java's names; return its path."""
        jaas = f'{OAUTH}.OAuthBearerLoginModule required clientId="{CLIENT}" '
        jaas += f'clientSecret="{secret}" scope="{SCOPE}" extension_logicalCluster="lkc-1";'
        path.write_text(
            f"bootstrap.servers={self.oauth_servers}\n"
            "security.protocol=SASL_PLAINTEXT\n"
            "sasl.mechanism=OAUTHBEARER\n"
            f"sasl.oauthbearer.token.endpoint.url={self._tokens.url}/token\n"
            f"sasl.login.callback.handler.class={OAUTH}.secured.OAuthBearerLoginCallbackHandler\n"
            f"sasl.jaas.config={jaas}\n"
            "client.dns.lookup=use_all_dns_ips\n"
            "session.timeout.ms=45000\n"
        )
        return str(path)
