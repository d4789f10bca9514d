"""Features of words: the words of a vocabulary, and words that a hash puts into buckets.

A feature has one or more columns of indexes in x, which the network replaces by one embedding.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Limits
from pydantic import model_validator

from stream_rnn.model.field import Field
from stream_rnn.model.hashing import bucket_of
from stream_rnn.model.heads import Word
from stream_rnn.model.paths import PATH
from stream_rnn.model.scaled import Name
from stream_rnn.model.spec_part import SpecPart

BUCKETS_MAX = 100_000

Vocabulary = Annotated[tuple[Word, ...], Limits(min_length=1, max_length=100_000, strict=False)]
Buckets = Annotated[int, Limits(ge=2, le=BUCKETS_MAX)]
EmbeddingSize = Annotated[int, Limits(ge=1, le=1024)]


class Embedded(NamedTuple):
    """How the network reads a feature of words.

    Attributes:
        columns: Number of columns of indexes.
        rows: Number of rows of the table of embeddings.
        width: Number of learned numbers of each row.
        is_list: Whether a column has the row plus 1, and 0 for none; the network takes the mean.
    """

    columns: int
    rows: int
    width: int
    is_list: bool = False

    @property
    def index_max(self) -> int:
        """Greatest value of a column."""
        return self.rows if self.is_list else self.rows - 1


class Categorical(SpecPart):
    """A word of a vocabulary; index 0 stands for missing values and all other words."""

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"lag"})

    kind: Literal["categorical"]
    name: Name
    path: PATH
    vocabulary: Vocabulary
    embedding: EmbeddingSize = 4
    missing: Literal["indicator", "error"] = "indicator"
    lag: bool = False

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        check_distinct(self.vocabulary)
        return self

    @property
    def field(self) -> Field:
        """The field that the feature reads."""
        return _field_of_word(self.path, required=self.missing == "error")

    @property
    def embedded(self) -> Embedded:
        """How the network reads the feature."""
        return Embedded(1, len(self.vocabulary) + 1, self.embedding)


class Hashed(SpecPart):
    """A word of any number of words; index 0 stands for a missing one, a hash gives the others."""

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"lag"})

    kind: Literal["hashed"]
    name: Name
    path: PATH
    buckets: Buckets = 1024
    embedding: EmbeddingSize = 8
    missing: Literal["indicator", "error"] = "indicator"
    lag: bool = False

    @property
    def field(self) -> Field:
        """The field that the feature reads."""
        return _field_of_word(self.path, required=self.missing == "error")

    @property
    def embedded(self) -> Embedded:
        """How the network reads the feature."""
        return Embedded(1, self.buckets + 1, self.embedding)


def _field_of_word(path: str, *, required: bool) -> Field:
    types = frozenset({"text", "number", "boolean"})
    return Field(path, types, required=required, has_words=True)


def check_distinct(words: Sequence[str]) -> None:
    """Check that a vocabulary contains no word twice."""
    if len(set(words)) < len(words):
        raise ValueError("the vocabulary contains a word twice")


def to_word(value: Any) -> str:
    """Return the word that a text, a number or a boolean is."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def to_words(values: Sequence[Any]) -> Sequence[Any]:
    """Return the words that values are; ``None`` stays."""
    if set(map(type, values)) == {str}:
        return values
    return [None if value is None else to_word(value) for value in values]


def indexes_of(
    words: Sequence[Any], feature: Categorical | Hashed, known: Mapping[str, int]
) -> NDArray[np.float64]:
    """Return the index (N,) of each word.

    Args:
        words: N words; ``None`` for a missing one.
        feature: The feature.
        known: Index of each word of the vocabulary.
    """
    if isinstance(feature, Hashed):
        known = hashed_indexes(words, feature.buckets)
    return np.array(list(map(known.get, words, repeat(0))), np.float64)


def hashed_indexes(words: Sequence[Any], buckets: int) -> dict[str, int]:
    """Return the index of each different word."""
    distinct = [word for word in dict.fromkeys(words) if word is not None]
    return dict(zip(distinct, (bucket_of(distinct, buckets) + 1).tolist(), strict=True))
