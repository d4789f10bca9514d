"""Features of several words: tags, genres, items of a basket."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Limits
from pydantic import model_validator

from stream_rnn.model.field import Field
from stream_rnn.model.paths import PATH
from stream_rnn.model.scaled import Name
from stream_rnn.model.spec_part import SpecPart
from stream_rnn.model.words import (
    Buckets,
    Embedded,
    EmbeddingSize,
    Vocabulary,
    check_distinct,
    hashed_indexes,
    to_words,
)

LENGTH_MAX = 256


class MultiCategorical(SpecPart):
    """A list of words of a vocabulary, or of any words; the network takes the mean of them.

    Each of ``max_length`` columns has the index of a word plus 1; 0 stands for no word.  The indexes
    are sorted, so that the bits of the mean do not depend on the order of the words.
    """

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"separator", "lag"})

    kind: Literal["multi_categorical"]
    name: Name
    path: PATH
    vocabulary: Vocabulary | None = None
    buckets: Buckets | None = None
    embedding: EmbeddingSize = 4
    max_length: Annotated[int, Limits(ge=1, le=LENGTH_MAX)] = 32
    separator: Annotated[str, Limits(min_length=1, max_length=8)] | None = None
    missing: Literal["indicator", "error"] = "indicator"
    lag: bool = False

    @model_validator(mode="after")
    def _has_words(self) -> Self:
        if (self.vocabulary is None) == (self.buckets is None):
            raise ValueError("set either vocabulary or buckets, which hash any word")
        check_distinct(self.vocabulary or ())
        return self

    @property
    def field(self) -> Field:
        """The field that the feature reads."""
        return Field(
            self.path,
            frozenset({"words"}),
            required=self.missing == "error",
            has_words=True,
            length=(1, self.max_length),
            separator=self.separator,
        )

    @property
    def embedded(self) -> Embedded:
        """How the network reads the feature."""
        words = self.buckets if self.vocabulary is None else len(self.vocabulary)
        assert words is not None
        return Embedded(self.max_length, words + 1, self.embedding, is_list=True)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(f"{self.name}_{slot}" for slot in range(self.max_length))

    def indexes(self, values: Sequence[Any], known: Mapping[str, int]) -> NDArray[np.float64]:
        """Return the indexes plus 1 (N, max_length) of the words of N lists.

        Args:
            values: N lists; ``None`` for a missing one.  An element may be ``None``.
            known: Index of each word of the vocabulary.
        """
        lists = [to_words(value) if value else () for value in values]
        if self.buckets is not None:
            known = hashed_indexes([word for words in lists for word in words], self.buckets)
        x = np.zeros((len(values), self.max_length))
        for row, words in enumerate(lists):
            if words:
                x[row, : len(words)] = sorted(known.get(word, 0) + 1 for word in words)
        return x
