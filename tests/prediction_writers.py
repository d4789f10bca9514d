"""Writers of predictions with constant names."""

from stream_rnn.predictions.writer import PredictionWriter


def make_writer(heads, **changes) -> PredictionWriter:
    """Return a writer for some heads."""
    given = {
        "heads": heads,
        "name": "delay",
        "fingerprint": "ab" * 32,
        "numerics": "01234567",
        "topic": "flights",
        "partition": 2,
        "app": "departures",
        "fold_id": "0123456789ab",
    }
    return PredictionWriter(**{**given, **changes})
