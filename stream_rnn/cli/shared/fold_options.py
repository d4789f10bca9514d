"""Options of the verbs that work on one fold: a worker's command line serves all of them."""

from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.settings import FOLD, FOLD_NAMES

OPTIONS = (
    *FOLD_NAMES,
    "dead_letters",
    "delivery",
    "predictions_format",
    "predictions_schema_id",
    "schema_registry_url",
    "schema_registry_timeout_s",
    "redis_url",
    "redis_url_file",
    "bootstrap_servers",
    "kafka_config",
    "auto_offset_reset",
    "on_lost_history",
    "on_foreign_offset",
    "allow_compacted",
    "lookback_records_max",
    "lookback_timeout_s",
    "kafka_timeout_s",
    "redis_timeout_s",
    *FOLD,
)
FOLD_WORDS = (
    "--app departures --source flights --predictions delays --bundle bundles/delay"  # in examples
)

fold_options = settings_options(*OPTIONS, required=FOLD_NAMES)

folds_options = settings_options(*OPTIONS, required=FOLD_NAMES, repeated="bundle")
"""The same options, of which ``--bundle`` may be repeated; the argument ``bundles`` has all."""
