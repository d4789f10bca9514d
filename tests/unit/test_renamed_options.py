"""Old names of options work for one version, with a warning that names the new one."""

import pytest
from click.testing import CliRunner

from stream_rnn.cli.shared.renamed_options import RENAMED
from stream_rnn.cli.verbs import compare, evaluate, train

VERBS = {"train": train, "evaluate": evaluate, "compare": compare}
OWN = {
    (verb, old): new
    for verb, module in VERBS.items()
    for old, new in RENAMED.items()
    if any(new in parameter.opts for parameter in module.command.params)
}


def parsed(verb, *words):
    """Return the values of a verb's options, and what is printed meanwhile."""
    given = {}

    def keep(**values):
        given.update(values)

    command = VERBS[verb].command
    before, command.callback = command.callback, keep
    try:
        done = CliRunner().invoke(command, [*words])
    finally:
        command.callback = before
    assert done.exit_code == 0, done.output
    return given, done.stderr


@pytest.mark.parametrize(("verb", "old"), sorted(OWN))
@pytest.mark.parametrize("form", ["{}=7", "{} 7"])
def test_an_old_name_sets_what_the_new_one_sets(verb, old, form):
    """In both forms; the new name says nothing."""
    needed = (
        ["--out=b"] if verb == "train" else ["--bundle=b"] if verb == "evaluate" else ["a", "b"]
    )
    value = form if old != "--average" else form.replace("7", "0.7")
    was, warned = parsed(verb, *needed, *value.format(old).split())
    now, quiet = parsed(verb, *needed, *value.format(OWN[verb, old]).split())
    assert was == now
    assert (warned, quiet) == (f"{old} is deprecated; use {OWN[verb, old]}\n", "")
    default, _ = parsed(verb, *needed)
    assert was != default


def test_every_new_name_is_somewhere():
    """And what stands behind -- is no option."""
    assert set(OWN.values()) == set(RENAMED.values())
    given, said = parsed("train", "--out=b", "--", "--runs-max")
    assert (given["log"], said) == (("--runs-max",), "")
