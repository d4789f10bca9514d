"""The plan of a roll-out: the two folds, and what a person has requested for each partition.

A roll-out has two folds of the same log, each with hidden states of its own.  The fold in charge of
a partition publishes; it is the one that the metadata of the group offset names, and nothing else
decides it.  The other one is the *candidate*, which folds what is already published.

A *cut-over* puts the candidate in charge at the group offset.  It has a number, which only grows:
a request is carried out only if its number is above that of the group offset, so a request that
comes back from an older state of Redis is not carried out again.

This module does no I/O; ``plan_store.py`` keeps plans.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.group_offsets import NUMBER_MAX, GroupOffset

PLAN_BYTES_MAX = 4_000_000  # of 10,000 partitions with two requests of 200 bytes each

FoldId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Number = Annotated[int, Field(ge=1, le=NUMBER_MAX)]
Kind = Literal["promote", "finish", "abandon"]
Stage = Literal["open", "dropping", "over"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FoldName(_Part):
    """A fold and the bundle that makes it."""

    fold_id: FoldId
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")


class Request(_Part):
    """What a person requested for one partition.

    Attributes:
        kind: ``promote`` a fold; ``finish`` with the fold in charge; ``abandon`` the fold in charge
            because no worker has its bundle any more.
        fold_id: Fold that is to be in charge.
        number: Number of the cut-over.
        origin: Origin that the person saw; states from another origin are not put in charge.
            ``None`` for any.
    """

    kind: Kind
    fold_id: FoldId
    number: Number
    origin: int | None = Field(None, ge=0)


class Plan(_Part):
    """The plan of a roll-out.

    Attributes:
        format: Version of the plan's content.
        folds: The two folds.
        stage: ``open``; ``dropping`` while the states of the candidate are dropped; then ``over``.
        since_ms: Time of the start in milliseconds since 1970, for people.
        started_by: Who has started the roll-out, for people.
        requests: Last request for each partition.
        promotes: Last request of the kind ``promote`` for each partition.  It stays, because it
            tells which fold is in charge when Kafka has lost the group offset.
    """

    format: Literal[1] = 1
    folds: tuple[FoldName, FoldName]
    stage: Stage = "open"
    since_ms: int = Field(0, ge=0)
    started_by: str = Field("", max_length=200)
    requests: dict[int, Request] = {}
    promotes: dict[int, Request] = {}

    @model_validator(mode="after")
    def _check_folds(self) -> Self:
        if len({fold.fold_id for fold in self.folds}) < 2:
            raise ValueError("the two folds are the same")
        return self

    @property
    def fold_ids(self) -> tuple[str, str]:
        """Ids of the two folds."""
        return self.folds[0].fold_id, self.folds[1].fold_id

    @property
    def needed_folds(self) -> frozenset[str]:
        """Ids of the folds that a worker must be able to run: after the end, those left in charge."""
        if self.stage == "open":
            return frozenset(self.fold_ids)
        return frozenset(request.fold_id for request in self.requests.values())

    def pending(self, partition: int, number: int) -> Request | None:
        """Return the request that is not carried out yet; ``None`` if there is none.

        Args:
            partition: Number of the source partition.
            number: Number of its last cut-over.
        """
        request = self.requests.get(partition)
        return request if request is not None and request.number > number else None

    def with_request(
        self,
        kind: Kind,
        partition: int,
        fold_id: str,
        known: GroupOffset,
        origin: int | None = None,
    ) -> Self:
        """Return the plan with a new request for a partition.

        A request for the fold in charge cancels a pending one, because it takes the next number.

        Args:
            kind: Kind of the request.
            partition: Number of the source partition.
            fold_id: Fold that is to be in charge.
            known: Group offset of the partition.
            origin: Origin of the fold that the person saw; ``None`` for any.

        Raises:
            ConfigError: The plan does not allow the request; the message says what to do.
        """
        if kind == "promote" and self.stage != "open":
            raise ConfigError(
                f"the roll-out is {self.stage}: a fold is promoted only in an open one; start a "
                "roll-out with this bundle"
            )
        if fold_id not in self.fold_ids and kind != "abandon":
            raise ConfigError(
                f"fold {fold_id} is not one of the roll-out's, {' and '.join(self.fold_ids)}; see "
                "its status"
            )
        if kind == "finish":
            self._check_finish(partition, fold_id, known)
        last = self.requests.get(partition)
        number = max(known.number, last.number if last is not None else 0) + 1
        request = Request(kind=kind, fold_id=fold_id, number=number, origin=origin)
        changes: dict[str, Mapping[int, Request]]
        changes = {"requests": {**self.requests, partition: request}}
        if kind == "promote":
            changes["promotes"] = {**self.promotes, partition: request}
        return self.model_copy(update=changes)

    def with_dropping(self, known: Mapping[int, GroupOffset]) -> Self:
        """Return the plan in the stage ``dropping``, in which nothing can be promoted.

        Args:
            known: Group offset of each partition.

        Raises:
            ConfigError: The last request of a partition is not a finish that was carried out.
        """
        for partition, offset in sorted(known.items()):
            request = self.requests.get(partition)
            done = request is not None and request.kind == "finish"
            if not done or request is None or request.number != offset.number:
                raise ConfigError(
                    f"partition {partition}: its last request is not a finish that was carried "
                    "out, so a promote may put either fold in charge; finish the roll-out again"
                )
        return self.model_copy(update={"stage": "dropping"})

    def with_end(self) -> Self:
        """Return the plan in the stage ``over``, after the states of one fold were dropped."""
        assert self.stage == "dropping", "the states are dropped in this stage"
        return self.model_copy(update={"stage": "over"})

    def followed_by(self, folds: tuple[FoldName, FoldName], since_ms: int, started_by: str) -> Self:
        """Return the plan of the next roll-out, with the requests and promotes of this one.

        Without the requests, the next number could be one that an older state of Redis contains.

        Raises:
            ConfigError: This roll-out is not over.
        """
        if self.stage != "over":
            raise ConfigError(
                f"a roll-out of the folds {' and '.join(self.fold_ids)} is {self.stage}; finish it "
                "before the next one"
            )
        changes = {"requests": self.requests, "promotes": self.promotes}
        plan = type(self)(folds=folds, since_ms=since_ms, started_by=started_by)
        return plan.model_copy(update=changes)

    def _check_finish(self, partition: int, fold_id: str, known: GroupOffset) -> None:
        if fold_id != known.fold_id:
            raise ConfigError(
                f"partition {partition}: fold {known.fold_id} is in charge and not {fold_id}; "
                "finish only drops the states of the fold that is not in charge"
            )
        pending = self.pending(partition, known.number)
        if pending is not None and pending.kind != "finish":
            raise ConfigError(
                f"partition {partition}: the request to {pending.kind} fold {pending.fold_id} is "
                "pending; wait for it, or cancel it by a promote of the fold in charge"
            )

    def encode(self) -> bytes:
        """Return the plan as JSON."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, content: bytes, place: str) -> Self:
        """Parse a plan.

        Args:
            content: JSON.
            place: Name of the place that it comes from, for the message.

        Raises:
            ConfigError: It is no plan of this version.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            message = f"{where}: {first['msg']}" if where else first["msg"]
            raise ConfigError(
                f"{place} contains no plan of a roll-out that this version writes ({message}); if "
                "a newer version has written it, run that one; otherwise another program writes "
                "to this key: stop it, delete the key, and start the roll-out again"
            ) from error
