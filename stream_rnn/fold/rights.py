"""What Kafka refuses, in the words of its ACLs: which operation, on which resource."""

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from stream_rnn.errors import ConfigError


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
        TransactionalIdAuthorizationFailed: f"Write on transactional ids with the prefix {app}-",
        ClusterAuthorizationFailedError: "IdempotentWrite on the cluster",
    }
    right = rights.get(type(error))
    if right is None:
        return None
    return ConfigError(
        f"Kafka refuses this user ({type(error).__name__} {error}): it needs {right}; "
        "deploy/README.md lists the rights of a worker"
    )
