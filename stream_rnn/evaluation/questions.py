"""The question of a head as an English sentence, and the unit of its values."""

from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Quantile, TimeToNext


def question(head: AnyHead) -> str:
    """Return the question that a head answers, as a sentence."""
    of = {"now": "the event's", "next": "the key's next", "label": "the label"}[head.of]
    match head:
        case TimeToNext():
            return "how many seconds until the key's next event?"
        case Binary():
            above = "true" if head.above is None else f"above {head.above:g}"
            return f"is {of} {head.path} {above}?"
        case Multiclass():
            end = ", or does it end" if head.end else ""
            return f"which of {len(head.classes)} classes is {of} {head.path}{end}?"
        case Quantile():
            cap = "" if head.cap is None else f", at most {head.cap:g}"
            levels = ", ".join(f"{one:g}" for one in head.quantiles)
            what = "is the quantile" if len(head.quantiles) == 1 else "are the quantiles"
            return f"what {what} {levels} of {of} {head.path}{cap}?"
        case _:
            cap = "" if head.cap is None else f", at most {head.cap:g}"
            return f"what is {of} {head.path}{cap}?"


def unit(head: AnyHead) -> str:
    """Return the unit of a head's values; empty for classes, probabilities and plain numbers."""
    return "s" if isinstance(head, TimeToNext) else ""
