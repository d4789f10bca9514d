"""A real broker with TLS, client certificates, SCRAM and ACLs, beside a plain listener for tests."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.processes import free_port
from tests.integration.certificates import make_certificates

PASSWORD = "a $ecret"
ALLOW, LITERAL, PREFIXED = 3, 3, 4
RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional": 5}
OPERATIONS = {
    "Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10, "IdempotentWrite": 12,
}  # fmt: skip


class SecureKafka(LocalKafka):
    """Its plain listener is a superuser's; the secure one asks for everything.

    Args:
        directory: for certificates.
        users: who may log in, with one password.
    """

    def __init__(self, directory, users) -> None:
        make_certificates(directory)
        self._secure_port = free_port()
        self._directory_of_keys = directory
        self._users = users
        super().__init__()

    def _config(self) -> str:
        lines = dict(line.split("=", 1) for line in super()._config().splitlines())
        at, secure = self._directory_of_keys, f",SECURE://{self.secure_servers}"
        lines["listeners"] += secure
        lines["advertised.listeners"] += secure
        lines["listener.security.protocol.map"] += ",SECURE:SASL_SSL"
        listener = "listener.name.secure."
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        lines |= {
            "inter.broker.listener.name": "PLAINTEXT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{listener}scram-sha-512.sasl.jaas.config": login,
            f"{listener}ssl.keystore.type": "PEM",
            f"{listener}ssl.keystore.location": f"{at}/server.pem",
            f"{listener}ssl.truststore.type": "PEM",
            f"{listener}ssl.truststore.location": f"{at}/ca.pem",
            f"{listener}ssl.client.auth": "required",
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    def _format_options(self) -> list[str]:
        logins = [f"--add-scram=SCRAM-SHA-512=[name={u},password={PASSWORD}]" for u in self._users]
        return [*super()._format_options(), *logins]

    @property
    def secure_servers(self) -> str:
        """Where workers connect."""
        return f"127.0.0.1:{self._secure_port}"

    def client_config(self, path, user, **more) -> str:
        """Write a file for --kafka-config, without the names that are None; return its path."""
        lines = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password": PASSWORD,
            "ssl_truststore_location": f"{self._directory_of_keys}/ca.pem",
            "ssl_keystore_location": f"{self._directory_of_keys}/client.pem",
            **more,
        }
        text = (f"{k.replace('_', '.')}={v}\n" for k, v in lines.items() if v is not None)
        path.write_text("".join(text))
        return str(path)

    async def allow(self, user, rights) -> None:
        """Give rights to a user: (resource type, name, whether it is a prefix, operation)."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            for kind, name, is_prefix, operation in rights:
                pattern = PREFIXED if is_prefix else LITERAL
                created = await admin._send_request(
                    CreateAclsRequest(
                        RESOURCES[kind],
                        name,
                        pattern,
                        f"User:{user}",
                        "*",
                        OPERATIONS[operation],
                        ALLOW,
                    )
                )
                assert all(code == 0 for code, *_ in created.creation_responses), created
        finally:
            await admin.close()
