"""Whether an assignment is still ours: the coordinator of the group knows, this process may not.

A process that was frozen believes that it is a member until its next heartbeat is answered.  So
whoever is about to throw another worker out asks first.
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

ASK_AGAIN_S = 0.1
ELSEWHERE = (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError)
"""What a broker says that is not the group's coordinator any more."""


async def check_generation(coordinator: Any, place: str, generation: int, timeout_s: float) -> None:
    """Ask by a heartbeat of that generation whether its assignment still counts.

    A group that is about to rebalance gives nobody a partition before its owner has given it back
    or is late for it, so that the assignment still counts then.

    Args:
        coordinator: of aiokafka's consumer; called in its thread.
        place: how messages name the partition.
        generation: of the assignment.
        timeout_s: for all tries; a coordinator that moves is looked for again.

    Raises:
        FencedError: the group has a newer generation, or this process is no member of it.
        KafkaError: the question was refused.
        TimeoutError: no coordinator answered.
    """
    async with asyncio.timeout(timeout_s):  # the thread goes on if who asked is cancelled
        while True:
            error = await _ask(coordinator, generation)
            if error in (NoError, RebalanceInProgressError):
                return
            if error in (IllegalGenerationError, UnknownMemberIdError):
                raise FencedError(
                    f"{place}: generation {generation} of group {coordinator.group_id} is over; "
                    "the partition's owner of now is left alone"
                )
            if error in ELSEWHERE:
                coordinator.coordinator_dead()
            elif error is not GroupLoadInProgressError:
                raise error(coordinator.group_id)
            await asyncio.sleep(ASK_AGAIN_S)


async def _ask(coordinator: Any, generation: int) -> Any:
    """Return the class of the answer's error."""
    await coordinator.ensure_coordinator_known()
    request = HeartbeatRequest(coordinator.group_id, generation, coordinator.member_id)
    try:
        answer = await coordinator._send_req(request)  # noqa: SLF001  # no public way
    except KafkaError as error:
        if error.retriable:
            return GroupCoordinatorNotAvailableError
        raise
    return for_code(answer.error_code)
