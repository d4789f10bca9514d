"""Reasons for which a record is skipped."""

SKIP_REASONS = {
    "no_key": "the record has no key",
    "key_too_large": "the key is longer than key_bytes_max",
    "value_too_large": "the value is longer than value_bytes_max",
    "not_json": "the value is not JSON",
    "bad_body": "the body of a framed value is not of its schema",
    "unknown_schema": "the schema registry does not know the schema id",
    "unsupported_schema": "the schema does not parse, or exceeds a limit",
    "wrong_format": "the value has another format than value_format of the spec",
    "framed": "the value is not JSON; a schema registry has framed it",
    "wrong_schema": "a field that the spec names has another type",
    "missing": 'a field is missing for which the spec has missing = "error"',
    "not_finite": "a number is not finite as float32",
    "no_timestamp": "the record has no timestamp, and the spec names no event time",
    "no_event_time": "the event time that the spec names is missing",
    "bad_event_time": "the event time cannot be read",
    "time_out_of_bounds": "the event time is outside of the years 1 to 9999, or later than event_year_max",
    "time_ahead": "the event is later than its record's timestamp plus event_time_ahead_max_s",
    "step_not_finite": "the network gave a number that is not finite",
}
"""Codes in the header ``sr-error``, and their meanings."""
