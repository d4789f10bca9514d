"""The settings, as one frozen object with a bound for every value.

A setting has one name: ``redis_url`` as an argument, ``--redis-url`` on the command line and
``STREAM_RNN_REDIS_URL`` in the environment; precedence is in this order, then comes the default.
The table in deploy/SETTINGS.md is generated from this file.
"""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from stream_rnn.errors import ConfigError
from stream_rnn.settings_base import SettingsBase
from stream_rnn.settings_folds import (
    AllowCompacted,
    LookbackRecords,
    LookbackTimeout,
    OnForeignOffset,
    OnLostHistory,
    RecoveryTimeout,
    RolloutBundleBytes,
    RolloutPause,
    RolloutShare,
    RolloutSilent,
)
from stream_rnn.settings_formats import (
    OnUnknownSchema,
    PredictionsFormat,
    PredictionsSchemaId,
    RegistryConfigFile,
    RegistryRetry,
    RegistryTimeout,
    SchemaAutoRegister,
    SchemaFile,
)

Delivery = Literal["exactly_once", "at_least_once"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]

FOLD_NAMES = ("app", "source", "predictions", "bundle")
"""Settings that a fold requires: they name it, its topics and its model."""
# Groups of settings that several verbs and functions take
REGISTRY = ("schema_registry_url", "schema_registry_config", "schemas", "on_unknown_schema")
FOLD = (
    *("state_ttl", "event_time_ahead_max_s", "event_year_max"),
    *("value_bytes_max", "key_bytes_max", "top_k", *REGISTRY),
)
CLUSTER = ("bootstrap_servers", "kafka_config")

DEFAULT_SERVERS = "127.0.0.1:9092"
Name = Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]


class Settings(SettingsBase):
    """All settings; each field has a unit, a bound and a description of one line."""

    # Names, servers and delivery
    app: Name | None = Field(
        None,
        description="App id: the name of the consumer group and the prefix of every key in Redis.",
    )
    source: Name | None = Field(
        None,
        description="Source topic of events; the fold has one hidden state for each record key.",
    )
    predictions: Name | None = Field(
        None, description="Topic that receives one prediction per valid event."
    )
    dead_letters: Name | None = Field(
        None,
        description="Topic that receives a dead letter per skipped record; default: `<predictions>.dead-letters`.",
    )
    bundle: str | None = Field(
        None, description="Directory of the model, with `bundle.json` and `model.safetensors`."
    )
    bootstrap_servers: str = Field(
        DEFAULT_SERVERS,
        description="Kafka brokers as `host:port`, comma-separated; if unset, `bootstrap.servers` of the Kafka config takes precedence over the default.",
    )
    kafka_config: str | None = Field(
        None,
        description="Path of a java.properties file with `bootstrap.servers`, `security.protocol`, `sasl.*` and `ssl.*`; read again before a new connection if it has changed.",
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis URL, with ACL user and password if needed: `redis://`, `rediss://` (TLS), `unix://`, `redis+cluster://` or `redis+sentinel://`.",
    )
    redis_url_file: str | None = Field(
        None,
        description="Path of a file with the Redis URL, such as a mounted secret, whose user and password each new connection reads again; instead of `redis_url`, whose password other users could see in the list of processes.",
    )
    schema_registry_url: SecretStr | None = Field(
        None,
        description="URL of the schema registry of framed events, or several, comma-separated; without it, `schema_registry_config` and `schemas`, framed records are no events.",
    )
    schema_registry_config: RegistryConfigFile = None
    schemas: SchemaFile = None
    on_unknown_schema: OnUnknownSchema = "stop"
    delivery: Delivery = Field(
        "exactly_once",
        description="Delivery guarantee: `exactly_once` uses a transaction per micro-batch, `at_least_once` may repeat outputs after a crash.",
    )
    compression: Compression = Field(
        "none", description="Compression of predictions and dead letters in Kafka."
    )

    predictions_format: PredictionsFormat = "json"
    predictions_schema_id: PredictionsSchemaId = None
    schema_auto_register: SchemaAutoRegister = False

    # Settings that change the fold (all of them are in the fold id)
    state_ttl: float | None = Field(
        None,
        gt=0,
        le=3.2e9,
        description="Seconds of stream time after which a hidden state without new events expires; unset means never.",
    )
    event_time_ahead_max_s: float = Field(
        3600,
        ge=0,
        le=3.2e9,
        description="Maximum seconds by which an event time may be later than the timestamp of its record; records beyond it are skipped.",
    )
    event_year_max: int | None = Field(
        None,
        ge=1970,
        le=9999,
        description="Last year (UTC) that an event time or the timestamp of its record may lie in; later records are skipped; unset means 9999.",
    )
    value_bytes_max: int = Field(
        1_000_000,
        ge=2,
        le=100_000_000,
        description="Maximum size of a record value in bytes; larger records are skipped.",
    )
    key_bytes_max: int = Field(
        4096,
        ge=1,
        le=1_000_000,
        description="Maximum size of a record key in bytes; larger records are skipped.",
    )
    top_k: int = Field(
        5,
        ge=1,
        le=100,
        description="Number of likeliest classes in the output of a multi-class head.",
    )

    # Recovery
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        "earliest",
        description="Origin of a new fold: `earliest` is the log start, `latest` the log end.",
    )
    on_lost_history: OnLostHistory = "stop"
    on_foreign_offset: OnForeignOffset = "stop"
    allow_compacted: AllowCompacted = False
    allow_short_retention: bool = Field(
        False, description="Whether to accept output topics with less retention than the source."
    )
    lookback_records_max: LookbackRecords = 1000

    # Roll-outs
    rollout_silent: RolloutSilent = False
    rollout_share: RolloutShare = 0.3
    rollout_pause_max_s: RolloutPause = 0.5
    rollout_bundle_bytes_max: RolloutBundleBytes = 100_000_000

    # Bounds
    batch_events_max: int = Field(
        16_384, ge=1, le=100_000, description="Maximum number of records in a micro-batch."
    )
    commit_bytes_max: int = Field(
        8_000_000,
        ge=1,
        le=1_000_000_000,
        description="Maximum size of the hidden states in one commit, and of its keys, in bytes; Redis serves no other client during a commit. A worker whose Redis or proxy takes less lowers it for itself.",
    )
    batch_bytes_max: int = Field(
        8_000_000,
        ge=1024,
        le=1_000_000_000,
        description="Maximum size of the keys and values in a micro-batch, in bytes.",
    )
    rounds_max: int = Field(
        4096, ge=1, le=100_000, description="Maximum number of events of one key in a micro-batch."
    )
    queue_messages_max: int = Field(
        16, ge=1, le=1024, description="Maximum number of fetches in Faust's queue."
    )
    pending_records_max: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of fetched records of one partition that wait for the processor; at the limit, fetching pauses.",
    )
    cache_bytes_max: int = Field(
        512_000_000,
        ge=0,
        le=1_000_000_000_000,
        description="Maximum size of the cache of hidden states in the worker, over all partitions, in bytes; 0 disables the cache. While a roll-out is open, a tenth of it is the candidates'.",
    )
    partitions_max: int = Field(
        64,
        ge=1,
        le=4096,
        description="Maximum number of source partitions of one worker; the worker exits if it is assigned more.",
    )
    output_batch_bytes_max: int = Field(
        900_000,
        ge=16_384,
        le=1_000_000_000,
        description="Maximum size of one record batch sent to Kafka, in bytes; must be below `max.message.bytes` of the output topics.",
    )
    dead_letter_bytes_max: int = Field(
        65_536,
        ge=0,
        le=800_000,
        description="Maximum size of the key and of the value in a dead letter, in bytes; more is cut off.",
    )
    sweep_fields_max: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Number of hidden states that a periodic sweep for expired states examines; a sweep also examines two states for each new key.",
    )
    sweep_interval_s: float = Field(
        1,
        gt=0,
        le=86_400,
        description="Minimum time between two periodic sweeps of a partition, in seconds.",
    )

    # Monitoring
    health_address: str = Field(
        "127.0.0.1:9464",
        max_length=255,
        description="Address `host:port` of `/live`, `/ready` and `/metrics`, without authentication; the default takes the next free port, and an empty text starts no server.",
    )
    facts_interval_s: float = Field(
        10,
        gt=0,
        le=3600,
        description="Interval at which log ends, retention and the memory of Redis are read for metrics, in seconds.",
    )

    # Deadlines
    redis_timeout_s: float = Field(
        5, gt=0, le=600, description="Deadline for one answer of Redis, in seconds."
    )
    redis_retry_s: float = Field(
        60,
        ge=0,
        le=86_400,
        description="Seconds without Redis after which a running worker exits; a worker that starts exits at once, unless Redis refuses the password of `redis_url_file`.",
    )
    schema_registry_timeout_s: RegistryTimeout = 10
    schema_registry_retry_s: RegistryRetry = 60
    kafka_timeout_s: float = Field(
        30, ge=0.5, le=600, description="Deadline for one answer of Kafka, in seconds."
    )
    transaction_timeout_ms: int = Field(
        10_000,
        ge=1000,
        le=900_000,
        description="Milliseconds after which the broker aborts the transaction of a dead worker.",
    )
    recovery_timeout_s: RecoveryTimeout = 60
    lookback_timeout_s: LookbackTimeout = 30
    revoke_timeout_s: float = Field(
        5,
        gt=0,
        le=600,
        description="Deadline for finishing the current micro-batch when a partition is revoked or the worker stops, in seconds.",
    )
    idle_check_s: float = Field(
        60,
        gt=0,
        le=86_400,
        description="Interval at which an idle partition checks its position in Redis, skips offsets without records and begins to free expired states, in seconds.",
    )
    watchdog_s: float = Field(
        120,
        gt=0,
        le=86_400,
        description="Seconds without progress after which a worker that has work to do exits.",
    )
    yield_ms: float = Field(
        20,
        gt=0,
        le=1000,
        description="Maximum time of a computation before heartbeats and other partitions run, in milliseconds.",
    )

    @property
    def explicit_servers(self) -> str | None:
        """``bootstrap_servers``, unless it has its default because nobody has set it."""
        return self.bootstrap_servers if "bootstrap_servers" in self.model_fields_set else None

    @property
    def dead_letters_topic(self) -> str:
        """Name of the dead-letter topic."""
        return self.dead_letters or f"{self.predictions}.dead-letters"

    @property
    def shadow_topic(self) -> str:
        """Name of the topic of a candidate's predictions."""
        return f"{self.predictions}.shadow"

    @property
    def reads_frames(self) -> bool:
        """Whether framed records are events."""
        return any((self.schema_registry_url, self.schema_registry_config, self.schemas))

    @property
    def state_ttl_ms(self) -> float | None:
        """``state_ttl`` in milliseconds; ``None`` if hidden states never expire."""
        return None if self.state_ttl is None else self.state_ttl * 1000

    def of_fold(self, needs: Collection[str] = FOLD_NAMES) -> "FoldSettings":
        """Return the settings of a fold, in which no name is ``None``.

        Args:
            needs: Names of the settings that must be set; the others become empty texts.

        Raises:
            ConfigError: A required setting is missing, or two topics are the same.
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
    """The settings of a fold, in which no name is ``None``; made by :meth:`Settings.of_fold`."""

    app: Name
    source: Name
    predictions: Name
    bundle: str
