"""The membership of this process in its group, and the check that its assignment is still valid.

A process that was frozen believes that it is still a member of the group until it gets an answer
to its next heartbeat.  A worker that is about to fence another producer therefore makes this check first.
"""

import asyncio
from typing import Any

from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    IllegalGenerationError,
    KafkaError,
    NoError,
    NotCoordinatorForGroupError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.protocol.group import HeartbeatRequest

from stream_rnn.errors import FencedError

RETRY_AFTER_S = 0.1
COORDINATOR_MOVED = (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError)
"""Errors that a broker returns if it is not, or no longer, the coordinator of the group."""


def member_id(consumer: Any) -> str:
    """Return the id by which the group knows this process; empty before it has joined.

    Args:
        consumer: Consumer of the Faust app.
    """
    thread = getattr(consumer, "_thread", None)
    coordinator = getattr(getattr(thread, "_consumer", None), "_coordinator", None)
    return getattr(coordinator, "member_id", None) or ""


async def check_generation(coordinator: Any, place: str, generation: int, timeout_s: float) -> None:
    """Send a heartbeat of a generation, to check that its assignment is still valid.

    The assignment is also valid while the group prepares a rebalance: no other member gets the
    partition before its owner has released it or has missed the deadline for that.

    Args:
        coordinator: Coordinator object of aiokafka's consumer; use it in the consumer's thread.
        place: Name of the partition in messages.
        generation: Generation of the group in which the partition was assigned.
        timeout_s: Deadline for all attempts, in seconds; each attempt looks up the coordinator.

    Raises:
        FencedError: The group has a newer generation, or this process is not a member of it.
        KafkaError: The broker refused the heartbeat.
        TimeoutError: No coordinator answered within the deadline.
    """
    async with asyncio.timeout(timeout_s):  # the thread continues if its caller is cancelled
        while True:
            error = await _send_heartbeat(coordinator, generation)
            if error in (NoError, RebalanceInProgressError):
                return
            if error in (IllegalGenerationError, UnknownMemberIdError):
                raise FencedError(
                    f"{place}: generation {generation} of group {coordinator.group_id} is over; "
                    "another worker may own the partition now"
                )
            if error in COORDINATOR_MOVED:
                coordinator.coordinator_dead()
            elif error is not GroupLoadInProgressError:
                raise error(coordinator.group_id)
            await asyncio.sleep(RETRY_AFTER_S)


async def _send_heartbeat(coordinator: Any, generation: int) -> Any:
    """Return the error class that the answer stands for; ``NoError`` for success."""
    await coordinator.ensure_coordinator_known()
    request = HeartbeatRequest(coordinator.group_id, generation, coordinator.member_id)
    try:
        answer = await coordinator._send_req(request)  # noqa: SLF001  # no public way
    except KafkaError as error:
        if error.retriable:
            return GroupCoordinatorNotAvailableError
        raise
    return for_code(answer.error_code)
