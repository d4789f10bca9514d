"""What ``spec init`` guesses from logs of many shapes, and when it asks instead."""

import tomllib

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.spec.proposal import propose
from stream_rnn.spec.proposal_options import ProposalOptions
from stream_rnn.spec.sample import read_sample
from tests.unit.logs_of_many_shapes import shapes

SHAPES = shapes()


def proposed(shape, directory, ask=None):
    """Propose a spec for a shape; return it, its text and the question that was asked."""
    path = directory / shape.name
    path.write_bytes(shape.content)
    questions = []

    def answer(question):
        questions.append(question)
        return ask(question)

    options = [] if ask is None else [answer]
    text = propose(read_sample(path, 1000), shape.name, ProposalOptions(), *options)
    return FeatureSpec.parse(tomllib.loads(text), shape.name), text, questions


def flat(text):
    """Return a text without the line ends and marks of comments."""
    return text.replace("\n# ", " ")


@pytest.mark.parametrize("shape", [s for s in SHAPES if not s.asks], ids=lambda s: s.name)
def test_a_sure_guess_is_right(shape, tmp_path):
    """Key, time, heads, format of the file, and the comments on them."""
    spec, text, _ = proposed(shape, tmp_path)
    time = spec.event.time
    assert spec.event.key == shape.key
    assert (time.path, time.unit, *([time.format] if time.format else [])) == shape.time
    assert [(head.kind, head.path) for head in spec.heads] == shape.heads
    assert {name: getattr(spec.file, name) for name in shape.file} == shape.file
    assert {name: getattr(spec.event, name) for name in shape.event} == shape.event
    for said in shape.says:
        assert said in text or said in flat(text)


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.asks], ids=lambda s: s.name)
def test_an_unsure_guess_is_a_question(shape, tmp_path):
    """The message lists the candidates with the option that chooses each."""
    with pytest.raises(ConfigError) as caught:
        proposed(shape, tmp_path)
    message = str(caught.value)
    assert f"Give {shape.asks}:" in message
    assert "confidence 0." in message
    for said in shape.says:
        assert said in message


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.name)
def test_each_field_becomes_what_it_is(shape, tmp_path):
    """Also after a question is answered by its first candidate."""
    spec, _, questions = proposed(shape, tmp_path, lambda question: question.candidates[0].answer)
    kinds = {getattr(feature, "path", feature.name): feature.kind for feature in spec.features}
    assert {path: kinds.get(path) for path in shape.features} == shape.features
    assert [question.option for question in questions][:1] == ([shape.asks] if shape.asks else [])
