"""A field of an event, and the values that all who read it accept."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event that the decoder reads.

    Attributes:
        path: Dotted path of the field.
        types: JSON types that all readers of the field accept, and ``numbers`` or ``words`` for an
            array of them; a value of another type makes the
            record invalid.
        required: Whether a record without the field is invalid.
        is_label: Whether only heads read the field.  A value that does not fit them is no label,
            and the record stays valid.
        has_words: Whether a feature or head reads the value as a word; 1 and 1.0 are two words.
        is_exact: Whether an integer stays exact, rather than becoming a float.
        parse: Whether texts are read as the numbers or booleans that they are.
        length: Least and greatest length of an array; ``None`` for a scalar.
        separator: What separates the words of a text that stands for an array; ``None`` for none.
    """

    path: str
    types: frozenset[str]
    required: bool = False
    is_label: bool = False
    has_words: bool = False
    is_exact: bool = False
    parse: bool = False
    length: tuple[int, int] | None = None
    separator: str | None = None


def intersect(known: Field, reader: Field) -> Field:
    """Restrict a field to the values that another reader of the field accepts, too."""
    types, length = known.types & reader.types, known.length
    if length is not None and reader.length is not None:
        length = max(length[0], reader.length[0]), min(length[1], reader.length[1])
        is_possible = length[0] <= length[1] and known.separator == reader.separator
        types = types if is_possible else frozenset()
    return replace(
        known,
        types=types,
        length=length,
        required=known.required or reader.required,
        has_words=known.has_words or reader.has_words,
        is_exact=known.is_exact or reader.is_exact,
        parse=known.parse and reader.parse,
    )
