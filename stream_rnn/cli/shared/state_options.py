"""The options that every command about a fold has, so that one line of them serves all."""

from stream_rnn.settings import FOLD, FOLD_NAMES

OPTIONS = (
    *FOLD_NAMES,
    "dead_letters",
    "delivery",
    "redis_url",
    "bootstrap_servers",
    "kafka_config",
    "auto_offset_reset",
    "on_lost_history",
    "allow_compacted",
    "lookback_records_max",
    "kafka_timeout_s",
    "redis_timeout_s",
    *FOLD,
)
