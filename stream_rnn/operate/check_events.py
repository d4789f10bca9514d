"""The check of events: how many of some records the spec takes, and why it does not take the others."""

from collections import Counter
from collections.abc import Sequence

from stream_rnn.errors import StreamRNNError, reason
from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.operate.check_result import Finding, fine, warning
from stream_rnn.replay.filtered import FilteredRecords
from stream_rnn.replay.no_event import SkipReasons
from stream_rnn.settings import FoldSettings

WHAT = "events"


def judge_events(
    source: str, records: Sequence[Record], spec: FeatureSpec, settings: FoldSettings
) -> Finding:
    """Decode records as a worker does, and return what they are.

    Args:
        source: Name of the topic.
        records: At least one of its records.
        spec: Feature spec of the bundle.
        settings: Settings of the worker.
    """
    skips, filtered = SkipReasons(spec, settings), FilteredRecords(spec, settings)
    try:
        decoded = Decoder(spec, settings).decode(records)
    except StreamRNNError as error:
        remedy = "correct what the message names, and run doctor again"
        return warning(WHAT, f"not checked: {reason(error)}", remedy)
    _, errors = Encoder(spec).encode(decoded.columns, decoded.time_ms)
    skipped = decoded.skips | {int(decoded.rows[i]): error for i, error in errors.items()}
    for row, why_skipped in skipped.items():
        skips.add(records[row], why_skipped)
    filtered.add(records, decoded.filtered, skipped)
    events = len(decoded.rows) - len(errors)
    counts = {"forgets": len(decoded.forgets), "filtered by event.only": len(decoded.filtered)}
    counts |= Counter(f"skipped because of {each.code}" for each in skipped.values())
    others = "".join(f", {count:,} {what}" for what, count in counts.items() if count)
    text = f"{source}: {events:,} events in {len(records):,} of its newest records{others}"
    notes = "; ".join(filtered.notes(has_events=events > 0))
    if not events:
        why = skips.explain(
            source, len(records), len(decoded.filtered), len(decoded.forgets), source
        )
        remedy = "correct --source, or the spec, and train again"
        return warning(WHAT, f"{why}{'; ' * bool(notes)}{notes}", remedy)
    if notes:
        return warning(WHAT, f"{text}; {notes}", "correct the producer, or event.only of the spec")
    return fine(WHAT, text)
