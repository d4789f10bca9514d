"""The settings of recovery and of roll-outs, as types; ``settings.py`` names them."""

from typing import Annotated, Literal

from pydantic import Field

AllowCompacted = Annotated[
    bool,
    Field(
        description="Whether to accept a compacted source, of which a rebuild folds fewer records."
    ),
]
OnLostHistory = Annotated[
    Literal["stop", "accept"],
    Field(
        description="Reaction if retention removed records that were not folded or published: `stop` exits, `accept` continues without them."
    ),
]
OnForeignOffset = Annotated[
    Literal["stop", "accept"],
    Field(
        description="Reaction to a group offset that stream_rnn has not written, if Redis has no states: `stop` exits, `accept` publishes from that offset on, and is to be removed after that start; with states, a worker stops in either case."
    ),
]
LookbackRecords = Annotated[
    int,
    Field(
        ge=1,
        le=1_000_000,
        description="Maximum number of committed records of an output partition in which to search backwards for the last output of the app; those of other apps count.",
    ),
]
LookbackTimeout = Annotated[
    float,
    Field(
        gt=0,
        le=3600,
        description="Deadline for the search of `lookback_records_max` in one output partition, in seconds; for a worker it must end within `recovery_timeout_s`.",
    ),
]
RecoveryTimeout = Annotated[
    float,
    Field(
        gt=0,
        le=3600,
        description="Deadline for positioning all partitions of an assignment, in seconds; at most 80 % of Faust's `broker_request_timeout` (90 s by default; `BROKER_REQUEST_TIMEOUT` in the environment sets it) takes effect.",
    ),
]
RolloutSilent = Annotated[
    bool,
    Field(
        description="Whether the candidate of a roll-out publishes nothing; otherwise its predictions go to `<predictions>.shadow`, for comparing."
    ),
]
RolloutShare = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        description="Maximum share of the time in which the candidates of a worker fold, one at a time, while a fold in charge of a partition has records to fold; 1 means that they never wait.",
    ),
]
RolloutPause = Annotated[
    float,
    Field(
        gt=0,
        le=60,
        description="Maximum seconds for which a promote pauses a partition until the candidate has reached the group offset; then the fold in charge goes on, and the promote is tried again.",
    ),
]
RolloutBundleBytes = Annotated[
    int,
    Field(
        ge=1000,
        le=500_000_000,
        description="Maximum size of a bundle that a roll-out keeps in Redis, in bytes; Redis stores no value above 512 MB.",
    ),
]
