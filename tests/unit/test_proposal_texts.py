"""The texts of a proposed spec: names, vocabularies and what TOML reads."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.spec.column_roles import UniqueNames, embedding_size
from stream_rnn.spec.names import split_words
from stream_rnn.spec.toml import Block, format_comment, format_document


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CaseID", {"case", "id"}),
        ("userid", {"user", "id", "userid"}),
        ("session-key", {"session", "key"}),
        ("HTTPCode2", {"http", "code"}),
        ("gerät_id", {"gerät", "id"}),
        ("valid", {"valid"}),
    ],
)
def test_a_name_is_read_word_by_word(name, said):
    """Whatever its case."""
    assert split_words(name) == said


@given(st.lists(st.text(), max_size=20))
def test_names_are_legal_and_distinct(wanted):
    """With everything that columns of x add to them."""
    names = UniqueNames()
    found = [names.add(name) for name in wanted]
    features = [{"name": n, "kind": "boolean", "path": "x"} for n in [*found, names.add("last")]]
    head = {"name": "h", "kind": "time_to_next"}
    FeatureSpec.parse({"name": "t", "features": features, "heads": [head]}, "t")
    assert len(set(found)) == len(wanted)


def test_an_embedding_grows_with_the_vocabulary():
    """Between 2 and 64."""
    assert [embedding_size(n) for n in (1, 9, 100, 1000, 100_000)] == [2, 5, 21, 64, 64]


@given(st.text(), st.text(), st.lists(st.text()), st.floats(allow_nan=False, allow_infinity=False))
def test_whatever_is_written_is_what_toml_reads(text, said, texts, number):
    """Strings with quotes, backslashes and controls; comments never end early."""
    values = {"a": text, "b": texts, "c": number, "d": {"e": text}, "f": True}
    assert tomllib.loads(format_document([Block("[t]", values, [said])])) == {"t": values}
    assert (
        tomllib.loads(
            format_comment(said) + format_document([Block("[t]", values, is_commented_out=True)])
        )
        == {}
    )


@pytest.mark.parametrize("code", [*range(0x20), 0x22, 0x5C, 0x7F, 0x85, 0x2028, 0x202E, 0x10FFFF])
def test_every_letter_that_steers_is_escaped(code):
    """Quotes and backslashes stand with a backslash, what cannot be printed as its number."""
    written = format_document([Block(values={"x": chr(code)})])
    assert written.removesuffix("\n").isprintable()
    assert tomllib.loads(written) == {"x": chr(code)}


def test_half_of_a_surrogate_pair_is_refused():
    """No file of TOML could hold it."""
    with pytest.raises(ConfigError, match=r"U\+D800"):
        format_document([Block(values={"x": ["\ud800"]})])
