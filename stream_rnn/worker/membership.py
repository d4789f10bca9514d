"""The membership of a worker in its group: why the group refuses it, and who else is in it.

A member that is no worker takes partitions that nobody folds then, and may commit group offsets.  A
worker does not join a group with such a member.  If one joins later, the worker goes on with its
partitions, because to stop would add to the harm, and names the member in its log and on ``/ready``.
"""

import logging
from contextlib import suppress

from aiokafka.errors import InconsistentGroupProtocolError, InvalidSessionTimeoutError

from stream_rnn.errors import ConfigError, FencedError, StreamRNNError, reason
from stream_rnn.kafka.acls import authorization_error
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_members import GroupMembers, read_group_members
from stream_rnn.settings import FoldSettings

logger = logging.getLogger(__name__)

REMEDY = (
    "stop it, or give the fold an app id of its own, which names the group; a member that was "
    "killed leaves the group after its session timeout"
)


class Membership:
    """Checks the group of a fold.

    Args:
        cluster: Clients of Kafka.
        settings: Settings of the fold.
        client_id: Client id of this worker.

    Attributes:
        stranger: Description of the members that are no workers; empty if there are none.
    """

    def __init__(self, cluster: KafkaCluster, settings: FoldSettings, client_id: str) -> None:
        self._cluster = cluster
        self._settings = settings
        self._client_id = client_id
        self._is_checked = False
        self.stranger = ""

    async def require_no_stranger(self) -> None:
        """Check the group before this worker joins it.

        Raises:
            ConfigError: The group has a member that is no worker.
            FencedError: Kafka does not answer.
        """
        await self._check()
        if self.stranger:
            raise ConfigError(f"{self.stranger}; {REMEDY}")
        self._is_checked = False

    def assign(self) -> None:
        """Check the group again at the next refresh, because its members have changed."""
        self._is_checked = False

    async def refresh(self) -> None:
        """Look for strangers, once after each assignment."""
        if self._is_checked:
            return
        earlier = self.stranger
        with suppress(StreamRNNError):  # the next refresh tries again
            await self._check()
        if self.stranger and self.stranger != earlier:
            logger.error("%s; nobody folds its partitions: %s", self.stranger, REMEDY)

    async def _check(self) -> None:
        members = await self._read()
        strangers = members.strangers(self._settings.source, self._client_id)
        self.stranger = ""
        if strangers:
            self.stranger = (
                f"group {self._settings.app} has a member that is no worker and takes partitions "
                f"of {self._settings.source}: {members.describe(strangers)}"
            )
        self._is_checked = all(member.is_marked is not None for member in members.members)

    async def _read(self) -> GroupMembers:
        admin, group = self._cluster.admin, self._settings.app
        assert admin is not None, "the cluster is open"
        return await self._cluster.await_admin_answer(
            lambda: read_group_members(admin, group), f"group {group}"
        )

    async def explain(self, error: BaseException) -> StreamRNNError:
        """Return the error to fail with if the group refuses this worker."""
        settings = self._settings
        group = settings.app
        message = f"group {group}: {reason(error)}"
        access_error = authorization_error(error, group, f"Read on topic {settings.source}")
        if access_error is not None:
            return access_error
        if isinstance(error, InvalidSessionTimeoutError):
            return ConfigError(
                f"{message}; set BROKER_SESSION_TIMEOUT, in seconds, within the broker's "
                "group.min.session.timeout.ms and group.max.session.timeout.ms"
            )
        if isinstance(error, InconsistentGroupProtocolError):
            with suppress(StreamRNNError):
                members = await self._read()
                others = [member for member in members.members if not member.is_marked]
                if others:
                    return ConfigError(
                        f"group {group} refuses this worker, because it has a member with another "
                        f"protocol ({members.protocol}): {members.describe(others)}; {REMEDY}"
                    )
        return FencedError(message)
