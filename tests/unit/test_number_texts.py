"""Numbers as files write them: which texts are numbers, and what is reported of the others."""

import polars as pl
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.model.file_format import FileFormat
from stream_rnn.replay.text_values import value_reader
from stream_rnn.spec.column_roles import Role, choose_feature_role, feature_options
from stream_rnn.spec.columns import Column
from stream_rnn.spec.sniffing import Sniffer
from stream_rnn.spec.text_columns import Marks, type_column


def sniffed(text, **given):
    """Sniff a text."""
    return Sniffer(text.encode(), given).sniff()


def column(texts, *, name="x", decimal=".", thousands="", is_json=False):
    """Return the typed column of some texts."""
    raw = Column((name,), "text", pl.Series(texts, dtype=pl.String))
    return type_column(raw, Marks(decimal, thousands, is_json))


def test_a_file_of_two_decimal_marks_is_a_question():
    """0.373 is no 373, whatever the numbers of another column are."""
    rows = "".join(f"d{i};{i % 9},7;{'-' * (i % 2)}0.{373 + i}\n" for i in range(40))
    with pytest.raises(ConfigError, match=r"--decimal ','.*such as 0,7") as caught:
        sniffed("device;a;b\n" + rows)
    assert "--decimal '.'  confidence 0.50: 40 numbers such as 0.373" in str(caught.value)
    assert sniffed("device;a;b\n" + rows, decimal=",").options["decimal"] == ","


def test_a_version_among_texts_asks_nothing_and_a_small_fraction_is_no_doubt():
    """Only a column of numbers has a decimal mark, and no group of digits begins with 0."""
    assert sniffed("a;b\n4,7;v 1.2\n5,5;v 1.3\n").options["decimal"] == ","
    assert sniffed("a;b\nx;0.373\ny;-0.499\n").reasons[1:] == ()


@pytest.mark.parametrize("text", ["0.123", "-0.499", "00.123", "012.345"])
def test_no_group_of_digits_begins_with_zero(text):
    """Such a text stays a text, so that its row is a dead letter."""
    read = value_reader({"number"}, FileFormat(decimal=",", thousands="."))
    assert read(text) == text
    assert read("1.234,5") == 1234.5
    assert column([text], decimal=",", thousands=".").kind == "text"


def measured(*more):
    """Return 3,000 texts of measurements with one decimal, and some others."""
    return [f"{(i * 37 % 93 - 46) / 10:.1f}" for i in range(3_000)] + list(more)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (measured(*["-0.0"] * 40), "number"),
        (measured("2"), "number"),
        (measured(*["2"] * 500), "number"),
        ([text.removeprefix("-") for text in measured("2.00")], "number"),
        (["1.1", "1.10", "1.9"] * 300, "text"),
    ],
)
def test_a_text_with_other_zeros_does_not_make_a_measurement_a_version(texts, kind):
    """Versions are frequent and of one form, such as 1.1 and 1.10."""
    assert column(texts).kind == kind


def test_a_name_makes_numbers_versions_and_a_doubt_is_noted():
    """Where it is no version, the comment beside the field shows the two texts."""
    assert column(measured("2"), name="fw_version").kind == "text"
    assert "2 and 2.0 are different texts of one number;" in column(measured("2")).notes[0]
    assert not column(measured("-0.0")).notes


@pytest.mark.parametrize("padded", ["   ", " NA ", "NULL  "])
def test_a_missing_word_with_blanks_around_it_is_missing(padded):
    """As the reader takes it, in numbers and in booleans; a text keeps its own blanks."""
    found = column(["1.5", padded, "2.5", padded])
    assert (found.kind, found.present, dict(found.unread)) == ("number", 2, {})
    assert column(["true", padded]).values.to_list() == [True, None]
    assert column(["x", padded]).values.to_list() == ["x", padded]
    assert value_reader({"number"}, FileFormat())(padded) is None


@pytest.mark.parametrize(
    ("write", "reported"),
    [
        (lambda i: f"({i}.82)", "numbers with a negative number in brackets, such as '(0.82)'"),
        (lambda i: f"{i}.82-", "numbers with the minus behind the number, such as '0.82-'"),
        (lambda i: f"{i}.1%", "numbers with a percent sign, such as '0.1%'; write 0.1"),
        (lambda i: f"{i},50 €", "numbers with a unit, such as '0,50 €'; write 0.50"),
        (lambda i: f"{i},56", "numbers with a decimal comma, such as '0,56'; write 0.56"),
        (lambda i: f"{i + 1}'234.50", 'numbers with groups of digits, such as "1\'234.50"'),
        (lambda i: f"{i + 1}\u00a0234,5", "; write 1234.5"),
    ],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_a_number_in_another_notation_is_named(write, reported, is_json):
    """The reason of a field that is left out shows how to write it, and is no word of missing."""
    found = column([write(i) for i in range(60)], is_json=is_json)
    role = choose_feature_role(found, 256)
    assert role.kind == "none"
    assert reported in role.reason
    assert "missing" not in role.reason


def test_a_few_negative_numbers_in_brackets_are_named():
    """They become dead letters, or make a column of mixed texts, which no missing word mends."""
    few = column([*(f"{i}.5" for i in range(99)), "(62.82)"])
    assert "such as '(62.82)'; write -62.82" in " ".join(
        feature_options(few, Role("numeric", ""))[1]
    )
    many = column([*(f"{i}.5" for i in range(50)), *(f"({i}.82)" for i in range(9))])
    reason = choose_feature_role(many, 256).reason
    assert reason.startswith("it has 50 numbers and 9 texts that are numbers with a negative")
    assert "missing" not in reason


def test_a_few_texts_among_the_numbers_of_json_become_dead_letters():
    """As in a delimited file; a column of which a twentieth is no number stays a text."""
    values = [str(i % 7) for i in range(995)]
    found = column([*values, *["12A"] * 5], is_json=True)
    assert (found.kind, found.needs_parse, found.unread) == ("number", True, {"12A": 5})
    reasons = feature_options(found, choose_feature_role(found, 256))[1]
    assert "'12A' is no number: 5 rows with such texts become dead letters" in reasons
    assert column([*values, *["12A"] * 60], is_json=True).kind == "text"


def test_a_measurement_of_fixed_width_is_a_number_and_an_id_is_none():
    """A decimal mark tells 0023.50 from 007; the reason of a field left out names the zero."""
    assert column([f"{i:04d}.50" for i in range(90)]).values[23] == 23.5
    assert column(["00.00", *(f"{i}.25" for i in range(90))]).kind == "number"
    assert value_reader({"number"}, FileFormat())("0023.50") == 23.5
    reason = choose_feature_role(column([f"{i:04d}" for i in range(90)]), 256).reason
    assert reason.endswith("90 texts such as 0000 have a leading zero, so they are texts")


@pytest.mark.parametrize("mark", ["'", "\u2019", " ", "\u00a0", "\u202f"])
def test_apostrophes_and_blanks_between_groups_of_digits_are_found(mark):
    """With either decimal mark; a text with a blank is no such number."""
    found = sniffed(f"a;b\nx;1{mark}234.50\ny;7.25\nz;NA\n")
    assert found.options == {"delimiter": ";", "thousands": mark}
    found = sniffed(f"a;b\nx;1{mark}234,50\ny;7,25\n")
    assert found.options == {"delimiter": ";", "decimal": ",", "thousands": mark}
    assert value_reader({"number"}, found.format)(f"1{mark}234,50") == 1234.5
    assert "thousands" not in sniffed(f"a;b\nx;1{mark}234\ny;no{mark}123\n").options
