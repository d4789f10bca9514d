"""Errors about missing rights, in the words of Kafka's ACLs: an operation on a resource."""

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTransactionTimeout,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from stream_rnn.errors import ConfigError, reason
from stream_rnn.settings import Settings


def authorization_error(
    error: BaseException, app: str | None, on_topics: str
) -> ConfigError | None:
    """Return an error that names the missing right; ``None`` for an error about anything else.

    Args:
        error: Error of a Kafka client.
        app: App id, which is the name of the group and the prefix of transactional ids.
        on_topics: Right to name in an error about a topic, such as ``Read on topic flights``.
    """
    rights: dict[type[BaseException], str] = {
        TopicAuthorizationFailedError: on_topics,
        GroupAuthorizationFailedError: f"Read on group {app}",
        TransactionalIdAuthorizationFailed: f"Write on transactional ids with the prefix {app}/",
        ClusterAuthorizationFailedError: "IdempotentWrite on the cluster",
    }
    right = rights.get(type(error))
    if right is None:
        return None
    return ConfigError(
        f"Kafka refuses this user ({reason(error)}): it needs {right}; "
        "deploy/README.md lists the rights of a worker"
    )


def producer_authorization_error(error: BaseException, settings: Settings) -> ConfigError | None:
    """Return an error that names the right or setting that a producer of outputs needs.

    Kafka also refuses the group offset of a topic that the user has no right to read.  Then
    aiokafka's sender task ends, and the refusal is the cause of the producer's error.
    """
    if isinstance(error, InvalidTransactionTimeout):
        return ConfigError(
            f"Kafka refuses transactions of {settings.transaction_timeout_ms} ms: lower "
            "transaction_timeout_ms, or raise the brokers' transaction.max.timeout.ms"
        )
    if isinstance(error.__cause__, TopicAuthorizationFailedError):
        return authorization_error(
            error.__cause__, settings.app, f"Read on topic {settings.source}"
        )
    outputs = f"Write on topics {settings.predictions} and {settings.dead_letters_topic}"
    return authorization_error(error, settings.app, outputs)
