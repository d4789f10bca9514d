"""Guesses with a confidence, and the question that is asked when the confidence is too low."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stream_rnn.errors import ConfigError
from stream_rnn.text import visible

CONFIDENCE_MIN = 0.6  # below it, a question is asked
RIVAL_MARGIN = 0.15  # a candidate this close to the best one makes the choice unsure
UNSURE = 0.5  # confidence at most, if there is such a candidate
CANDIDATES_MAX = 12  # candidates that a question lists


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible answer.

    Attributes:
        answer: Value of the option that gives this answer.
        confidence: Confidence that the answer is right, from 0 to 1.
        reason: Reason for the confidence, without a full stop.
    """

    answer: str
    confidence: float
    reason: str

    @property
    def line(self) -> str:
        """The candidate as a line of a list."""
        return visible(f"{self.answer} ({format_confidence(self.confidence)}): {self.reason}")


@dataclass(frozen=True, slots=True)
class Question:
    """A question whose answer is not sure.

    Attributes:
        text: The question, as a sentence.
        option: Option of ``stream-rnn spec init`` that answers it.
        candidates: Possible answers, the best first.
        hint: What to do if no candidate is right; may be empty.
        check: Function that raises ``ConfigError`` if another answer than a candidate is wrong.
    """

    text: str
    option: str
    candidates: Sequence[Candidate]
    hint: str = ""
    check: Callable[[str], object] = str


Ask = Callable[[Question], str]


def refuse_to_choose(question: Question) -> str:
    """Raise an error that lists the candidates.

    Raises:
        ConfigError: Always.
    """
    raise ConfigError(list_candidates(question))


def list_candidates(question: Question) -> str:
    """Return the question with its candidates, a line each, and the option that answers it."""
    shown = question.candidates[:CANDIDATES_MAX]
    more = len(question.candidates) - len(shown)
    lines = [f"  {question.option} {_quoted(c.answer)}  {_details(c)}" for c in shown]
    rest = [f"  and {more} more"] if more else []
    hint = [visible(question.hint)] if question.hint else []
    return "\n".join([f"{question.text} Give {question.option}:", *lines, *rest, *hint])


def rank(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Sort candidates by confidence; a close rival makes the best ones unsure."""
    ranked = sorted(candidates, key=lambda candidate: -candidate.confidence)
    least = ranked[0].confidence - RIVAL_MARGIN if ranked else 0
    close = [candidate for candidate in ranked if candidate.confidence > least]
    if len(close) < 2:
        return ranked
    return [replace(c, confidence=min(c.confidence, UNSURE)) for c in ranked]


def format_confidence(confidence: float) -> str:
    """Return a confidence for people.

    Example:
        >>> format_confidence(0.9)
        'confidence 0.90'
    """
    return f"confidence {confidence:.2f}"


def _details(candidate: Candidate) -> str:
    return visible(f"{format_confidence(candidate.confidence)}: {candidate.reason}")


def _quoted(answer: str) -> str:
    """Return an answer as a shell takes it."""
    plain = visible(answer)
    return plain if plain.replace("_", "").replace(".", "").isalnum() else f"'{plain}'"
