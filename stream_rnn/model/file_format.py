"""The table ``[file]`` of a feature spec: how a delimited text file is read."""

import codecs
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from stream_rnn.model.spec_part import ARRAY, SpecPart

BLANKS = "whitespace"
# Those of pandas.read_csv.  A dump leaves this default out, and it is part of every fold of files: a
# change would change the folds of existing bundles under the same fingerprint.
MISSING_WORDS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
_ENDS_A_FIELD = '"\n\r\0'


def _check_delimiter(delimiter: str) -> str:
    if delimiter != BLANKS and (len(delimiter) != 1 or delimiter in _ENDS_A_FIELD):
        raise ValueError(
            f'{delimiter!r} is no delimiter: write one character, "\\t" for a tab, or '
            '"whitespace" for runs of blanks'
        )
    return delimiter


def _check_thousands(mark: str) -> str:
    if mark in _ENDS_A_FIELD or mark.isalnum() or mark in "+-":
        raise ValueError(f"{mark!r} cannot separate thousands; write one mark, such as . or '")
    return mark


def _check_encoding(encoding: str) -> str:
    try:
        "".encode(encoding)  # fails for an unknown encoding, and for a codec that is not of text
        codecs.lookup(encoding)  # the first line accepts an encoding that is empty
    except (LookupError, ValueError):
        message = f"{encoding!r} is no encoding; write a name of Python's, such as utf-8 or cp1252"
        raise ValueError(message) from None
    return encoding


class FileFormat(SpecPart):
    """How a delimited text file (CSV) is read; topics, JSON and Parquet ignore it.

    Attributes:
        delimiter: Character between two fields, or ``whitespace`` for runs of blanks.
        decimal: Decimal mark of numbers.
        thousands: Mark between groups of digits; empty for none.
        encoding: Encoding of the text; a byte order mark in the file takes precedence.
        missing: Texts that mean that a field has no value, compared without quotation marks.
        columns: Names of the columns of a file without a header line; empty if the first line
            contains the names.
    """

    delimiter: Annotated[str, AfterValidator(_check_delimiter)] = ","
    decimal: Literal[".", ","] = "."
    thousands: Annotated[str, Field(max_length=1)] = ""
    encoding: Annotated[str, Field(max_length=64), AfterValidator(_check_encoding)] = "utf-8"
    missing: Annotated[tuple[str, ...], ARRAY, Field(max_length=1000)] = MISSING_WORDS
    columns: Annotated[tuple[str, ...], ARRAY, Field(max_length=100_000)] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.thousands:
            _check_thousands(self.thousands)
        if self.thousands == self.decimal:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("columns contains a name twice")
        if "" in self.columns:
            raise ValueError("columns contains an empty name")
        return self
