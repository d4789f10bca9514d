"""The oracle of the readers' chaos finds what may not be."""

from tests.chaos.yields import check_yields

X, Y = (0, 1), (0, 2)


def test_what_was_yielded_and_committed_once_is_fine():
    """Again before a commit, or by who was assigned before it, is fine as well."""
    logs = {
        "a": ["1 A", "2 Y 0 1", "3 c", "4 F", "5 Y 0 1", "6 c", "7 C"],
        "b": ["1 A", "2 Y 0 2", "8 Y 0 1"],
        "c": ["9 A", "10 Y 0 2", "11 c", "12 C"],
    }
    found = check_yields(logs, [X, Y])
    assert (found.wrong, found.yielded, found.repeated) == (0, 5, 3)
    assert (found.commits, found.refused, found.zombies) == (2, 1, 1)


def test_what_nobody_was_yielded_or_nobody_did_is_found():
    """A refused commit does nothing; one whose answer is not known may have."""
    assert check_yields({"a": ["1 Y 0 1", "2 c", "3 C"]}, [X, Y]).lost == 1
    assert check_yields({"a": ["1 Y 0 1", "2 c", "3 F"]}, [X]).undone == 1
    assert check_yields({"a": ["1 Y 0 1"]}, [X]).undone == 1
    assert check_yields({"a": ["1 Y 0 1", "2 c"]}, [X]).wrong == 0
    assert check_yields({"a": ["1 Y 0 1", "2 c", "3 u"]}, [X]).wrong == 0


def test_what_is_yielded_again_after_its_commit_is_found():
    """By the same reader at any time, by another one if it was assigned afterwards."""
    logs = {"a": ["1 Y 0 1", "2 c", "3 C", "4 Y 0 1"]}
    assert check_yields(logs, [X]).again == 1
    logs = {"a": ["1 Y 0 1", "2 c", "3 C"], "b": ["4 A", "5 Y 0 1"]}
    assert check_yields(logs, [X]).again == 1


def test_what_comes_too_early_and_what_breaks_is_found():
    """A group that starts at the latest begins there, and a reader raises our errors only."""
    assert check_yields({"a": ["1 Y 0 1", "2 c", "3 C"]}, [], [X]).early == 1
    assert check_yields({"a": ["1 X KeyError 'x'"]}, []).broken == 1
