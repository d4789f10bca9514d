"""The encoding of a file that is not UTF-8: found if its words look right, asked otherwise."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.spec.encodings import find_encoding
from tests.unit.spec_command import run
from tests.unit.test_delimited import error, spec_of

WORDS = {
    "cp1250": ["Łódź", "Śląsk", "Kraków", "Gdańsk"],
    "cp1251": ["Цех", "Линия", "Привод"],
    "cp932": ["装置", "温度", "ライン"],
    "gbk": ["水泵", "产线", "温度"],
    "big5": ["水泵", "產線", "溫度"],
    "euc_kr": ["펌프", "라인", "온도"],
    "cp437": ["Zürich", "Köln", "Malmö"],
    "mac_roman": ["Zürich", "Köln", "Orléans"],
}
WESTERN = [
    *(
        "Zürich",
        "GRÖSSE",
        "Größe",
        "l\u2019été",
        "São",
        "ações",
        "Málaga",
        "Århus",
        "Öl",
        "ÖL",
        "à",
    ),
    *(
        "20\xa0°C",
        "m²",
        "5 µm",
        "£5",
        "20 €",
        "\u201eKöln\u201c",
        "¿Qué?",
        "½",
        "±3",
        "Çelik",
        "n°5",
    ),
]


def content(words, encoding):
    """Return a table with the words as keys."""
    rows = [f"{word}-{i},{i},{i * i % 7}.5" for i in range(3) for word in words]
    return "\n".join(["device,at,temp", *rows, ""]).encode(encoding)


@pytest.mark.parametrize("encoding", WORDS)
def test_letters_that_western_words_hardly_have_are_a_question(tmp_path, encoding):
    """The first candidate is right, and each shows words; the answer is taken."""
    log = tmp_path / "log.csv"
    log.write_bytes(content(WORDS[encoding], encoding))
    with pytest.raises(ConfigError) as got:
        find_encoding(log.read_bytes())
    _, first, *rest = str(got.value).splitlines()
    assert first.startswith(f"  --encoding {encoding} ")
    assert f"words such as {WORDS[encoding][0]}-0" in first
    assert "a key must equal that of the topic" in rest[-1]
    arguments = ("--key", "device", "--target", "temp", "--time", "at", "--encoding", encoding)
    assert f'encoding = "{encoding}"' in run("init", log, *arguments)


def test_western_words_are_windows_1252():
    """With some of them in the reason, and the option that names another encoding."""
    found = find_encoding(content(WESTERN, "cp1252"))
    assert (found.encoding, found.confidence) == ("cp1252", 0.7)
    assert "words such as Zürich-0, GRÖSSE-0, Größe-0; if letters look wrong" in found.reason
    assert "--encoding cp932" in found.reason
    for word in WESTERN:
        assert find_encoding(content([word], "cp1252")).encoding == "cp1252", word


def test_one_odd_word_among_many_is_no_question():
    """A name from abroad."""
    assert find_encoding(content([*WESTERN, "Škoda"], "cp1252")).encoding == "cp1252"


def test_the_remedy_for_a_wrong_encoding_is_one_that_may_be_right(tmp_path):
    """UTF-8 is proposed only for a file that is UTF-8."""
    said = error(
        tmp_path,
        content(["故障"], "cp932").replace(b"device", b"id"),
        spec_of(encoding="cp1252"),
    )
    assert 'encoding = "cp932" in [file], or by --encoding cp932 of spec init' in said
    said = error(
        tmp_path, content(["Dvořák", "Łódź", "Ё", "\u201d"], "utf-8"), spec_of(encoding="cp1252")
    )
    assert 'encoding = "utf-8" in [file], or by --encoding utf-8 of spec init' in said
