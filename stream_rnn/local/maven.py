"""What is fetched from Maven Central by jgo."""

from collections.abc import Iterator
from contextlib import contextmanager

from stream_rnn.errors import ConfigError, reason


@contextmanager
def fetching(what: str, remedy: str) -> Iterator[None]:
    """Report whatever goes wrong in the block as one error.

    Args:
        what: What is fetched.
        remedy: What to do if it cannot be fetched.

    Raises:
        ConfigError: It cannot be fetched.
    """
    try:
        yield
    except Exception as error:  # jgo raises any error of requests and of Maven metadata
        raise ConfigError(f"cannot fetch {what}: {reason(error)}; {remedy}") from error
