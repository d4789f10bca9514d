"""One frozen object for every setting; a limit for everything.

A setting has one name: ``redis_url`` as an argument, ``--redis-url`` on the command line and
``STREAM_RNN_REDIS_URL`` in the environment.  An explicit argument wins over the environment,
the environment over the default.  The table of deploy/SETTINGS.md is generated from this file.
"""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream_rnn.errors import ConfigError

Delivery = Literal["exactly_once", "at_least_once"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]

FOLD_NAMES = ("app", "source", "predictions", "bundle")
"""What names a fold, its outputs and its model."""
# Names of settings that several verbs and functions take
FOLD = ("state_ttl", "event_time_ahead_max_s", "value_bytes_max", "key_bytes_max", "top_k")
CLUSTER = ("bootstrap_servers", "kafka_config")

Name = Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]


class Settings(BaseSettings):
    """Everything that can be set; each field has a unit, a bound and one line of description."""

    model_config = SettingsConfigDict(
        env_prefix="STREAM_RNN_", frozen=True, extra="forbid", validate_default=True
    )

    # What runs where
    app: Name | None = Field(
        None, description="app id: the consumer group and the prefix of every key in Redis"
    )
    source: Name | None = Field(None, description="topic of events; its keys own the hidden states")
    predictions: Name | None = Field(
        None, description="topic that receives one prediction per valid event"
    )
    dead_letters: Name | None = Field(
        None, description="topic of skipped records; default: `<predictions>.dead-letters`"
    )
    bundle: str | None = Field(
        None, description="directory of the model: `bundle.json` and `model.safetensors`"
    )
    bootstrap_servers: str = Field(
        "127.0.0.1:9092", description="Kafka brokers, `host:port`, comma-separated"
    )
    kafka_config: str | None = Field(
        None, description="java.properties file with `security.protocol`, `sasl.*`, `ssl.*`"
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="`redis://`, `rediss://` (TLS), `unix://`, `redis+cluster://`, `redis+sentinel://`; with ACL user and password",
    )
    delivery: Delivery = Field(
        "exactly_once",
        description="`exactly_once` (a transaction per micro-batch) or `at_least_once`",
    )
    compression: Compression = Field("none", description="of predictions and dead letters")

    # What changes the fold (all of these are in the fold id)
    state_ttl: float | None = Field(
        None,
        gt=0,
        le=3.2e9,
        description="seconds of stream time after which an untouched hidden state expires; none: never",
    )
    event_time_ahead_max_s: float = Field(
        3600,
        ge=0,
        le=3.2e9,
        description="an event later than its record's timestamp by more is skipped",
    )
    value_bytes_max: int = Field(
        1_000_000, ge=2, le=100_000_000, description="a record with a larger value is skipped"
    )
    key_bytes_max: int = Field(
        4096, ge=1, le=1_000_000, description="a record with a larger key is skipped"
    )
    top_k: int = Field(5, ge=1, le=100, description="classes in a multi-class output's `top`")

    # Recovery
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        "earliest", description="origin of a new fold: log start or log end"
    )
    on_lost_history: Literal["stop", "accept"] = Field(
        "stop", description="when the log no longer holds records that were not folded or published"
    )
    allow_compacted: bool = Field(
        False, description="accept a compacted source: a rebuild then folds fewer records"
    )
    allow_short_retention: bool = Field(
        False, description="accept output topics with less retention than the source"
    )
    lookback_records_max: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="records read backwards in the predictions topic to find the last prediction",
    )

    # Bounds
    batch_events_max: int = Field(16_384, ge=1, le=100_000, description="records in a micro-batch")
    commit_bytes_max: int = Field(
        8_000_000,
        ge=1,
        le=1_000_000_000,
        description="bytes of hidden states in one commit; Redis serves nobody else meanwhile",
    )
    batch_bytes_max: int = Field(
        8_000_000,
        ge=1024,
        le=1_000_000_000,
        description="bytes of keys and values in a micro-batch",
    )
    rounds_max: int = Field(
        4096, ge=1, le=100_000, description="events of one key in a micro-batch"
    )
    queue_messages_max: int = Field(
        16, ge=1, le=1024, description="fetches that wait in Faust's queue"
    )
    pending_records_max: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description="fetched records of one partition that wait for the processor",
    )
    cache_bytes_max: int = Field(
        512_000_000,
        ge=0,
        le=1_000_000_000_000,
        description="hidden states kept in the worker, all partitions together; 0: none",
    )
    partitions_max: int = Field(64, ge=1, le=4096, description="source partitions of one worker")
    output_batch_bytes_max: int = Field(
        900_000,
        ge=16_384,
        le=1_000_000_000,
        description="bytes of one record batch sent to Kafka; below the topic's `max.message.bytes`",
    )
    dead_letter_bytes_max: int = Field(
        65_536,
        ge=0,
        le=800_000,
        description="bytes of a skipped record's value that its dead letter keeps",
    )
    sweep_fields_max: int = Field(
        200, ge=1, le=10_000, description="hidden states looked at per sweep for expired ones"
    )
    sweep_interval_s: float = Field(
        1, gt=0, le=86_400, description="least time between two sweeps of a partition"
    )

    # Looking after it
    health_address: str = Field(
        "127.0.0.1:9464",
        max_length=255,
        description="`host:port` of `/live`, `/ready` and `/metrics`, without authentication; the default takes the next free port; empty: none",
    )
    facts_interval_s: float = Field(
        10,
        gt=0,
        le=3600,
        description="how often log ends, retention and Redis' memory are asked for metrics",
    )

    # Deadlines
    redis_timeout_s: float = Field(5, gt=0, le=600, description="one answer of Redis")
    redis_retry_s: float = Field(
        60,
        ge=0,
        le=86_400,
        description="time without Redis after which a running worker exits; at its start it exits at once",
    )
    kafka_timeout_s: float = Field(30, ge=0.5, le=600, description="one answer of Kafka")
    transaction_timeout_ms: int = Field(
        10_000,
        ge=1000,
        le=900_000,
        description="after which the broker aborts the transaction of a dead worker",
    )
    recovery_timeout_s: float = Field(
        60, gt=0, le=3600, description="finding where to start, all partitions of an assignment"
    )
    revoke_timeout_s: float = Field(
        5,
        gt=0,
        le=600,
        description="finishing the batch in hand when a partition is lost or the worker stops",
    )
    idle_check_s: float = Field(
        60,
        gt=0,
        le=86_400,
        description="an idle partition looks at Redis and at holes of the log this often",
    )
    watchdog_s: float = Field(
        120,
        gt=0,
        le=86_400,
        description="without progress for this long with work to do, the worker exits",
    )
    yield_ms: float = Field(
        20,
        gt=0,
        le=1000,
        description="longest computation without letting heartbeats and other partitions run",
    )

    @classmethod
    def build(cls, **values: Any) -> Self:
        """Build from explicit values over the environment over the defaults.

        Values that are ``None`` count as not given.

        Raises:
            ConfigError: a value is out of its bounds or has an unknown name.
        """
        given = {name: value for name, value in values.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part) for part in first["loc"]) or "settings"
            message = (
                f"setting {name}: {first['msg']}; "
                f"set --{name.replace('_', '-')} or STREAM_RNN_{name.upper()}"
            )
            raise ConfigError(message) from error

    def replace(self, **values: Any) -> Self:
        """Return a copy with some values changed, ``None`` for unchanged; validated again."""
        changed = {name: value for name, value in values.items() if value is not None}
        return type(self).build(**{**self.model_dump(exclude_unset=True), **changed})

    @property
    def dead_letters_topic(self) -> str:
        """Name of the dead-letter topic."""
        return self.dead_letters or f"{self.predictions}.dead-letters"

    @property
    def state_ttl_ms(self) -> float | None:
        """``state_ttl`` in milliseconds of event time, or ``None`` if memories never expire."""
        return None if self.state_ttl is None else self.state_ttl * 1000

    def of_fold(self, needs: Collection[str] = FOLD_NAMES) -> "FoldSettings":
        """Return the settings of a fold, whose names are there.

        Args:
            needs: names that must be given.  Another one may be empty: a replay in memory writes
                nothing under its names.

        Raises:
            ConfigError: a name is missing, or two topics are the same.
        """
        for name in needs:
            if not getattr(self, name):
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(f"give {option}, or set STREAM_RNN_{name.upper()}")
        topics = (self.source, self.predictions, self.dead_letters_topic)
        if needs and None not in topics and len({*topics}) < len(topics):
            raise ConfigError(
                f"source {self.source}, predictions {self.predictions} and dead letters "
                f"{self.dead_letters_topic} must be three topics"
            )
        empty = {name: "" for name in FOLD_NAMES if getattr(self, name) is None}
        return FoldSettings.model_construct(self.model_fields_set, **{**dict(self), **empty})


class FoldSettings(Settings):
    """The settings of a fold: what names it is there.  :meth:`Settings.of_fold` makes them."""

    app: Name
    source: Name
    predictions: Name
    bundle: str
