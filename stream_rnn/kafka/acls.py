"""What Kafka refuses, in the words of its ACLs: which operation, on which resource."""

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTransactionTimeout,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from stream_rnn.errors import ConfigError, reason
from stream_rnn.settings import Settings


def refusal(error: BaseException, app: str | None, on_topics: str) -> ConfigError | None:
    """Return what a person must allow; ``None`` if the error is no refusal of rights.

    Args:
        error: of a Kafka client.
        app: the app id: name of the group, begin of transactional ids.
        on_topics: the right that a refused topic lacks, such as ``Read on topic flights``.
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


def refusal_of_outputs(error: BaseException, settings: Settings) -> ConfigError | None:
    """Return what a person must allow or set for what a producer with transactions does.

    A group offset of a topic that may not be read is refused too; aiokafka's sender then dies, and
    the refusal is the cause of what it says.
    """
    if isinstance(error, InvalidTransactionTimeout):
        return ConfigError(
            f"Kafka refuses transactions of {settings.transaction_timeout_ms} ms: set "
            "transaction_timeout_ms to the brokers' transaction.max.timeout.ms at most, or raise that"
        )
    if isinstance(error.__cause__, TopicAuthorizationFailedError):
        return refusal(error.__cause__, settings.app, f"Read on topic {settings.source}")
    outputs = f"Write on topics {settings.predictions} and {settings.dead_letters_topic}"
    return refusal(error, settings.app, outputs)
