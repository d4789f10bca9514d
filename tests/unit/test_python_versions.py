"""The versions of Python: the distribution, the tools, the image and the pages name the same."""

import re
import tomllib

import pytest

from tests.deployed import DEPLOY, stages
from tests.pages import ROOT, read

PROJECT = tomllib.loads(read("pyproject.toml"))
CLASSIFIER = re.compile(r"Programming Language :: Python :: 3\.(\d+)")
CI = ROOT / ".ci/run"


def supported():
    """Return the minor versions that the classifiers name, in their order."""
    matches = map(CLASSIFIER.fullmatch, PROJECT["project"]["classifiers"])
    return [int(match[1]) for match in matches if match]


def images(dockerfile):
    """Return the minor version of each stage's base image."""
    bases = [instructions[0][1] for instructions in stages(dockerfile)]
    return [int(re.match(r"python:3\.(\d+)-slim\b", base)[1]) for base in bases]


def test_the_classifiers_begin_with_the_oldest_version_and_leave_none_out():
    """Pip reads requires-python, and people read the classifiers."""
    oldest = int(re.fullmatch(r">=3\.(\d+)", PROJECT["project"]["requires-python"])[1])
    assert supported() == [*range(oldest, supported()[-1] + 1)]
    assert len(supported()) > 1


def test_the_linter_allows_the_syntax_of_the_oldest_version_only():
    """A test on the newest version does not see newer syntax."""
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py3{supported()[0]}"


def test_the_readme_names_the_oldest_and_the_newest_version():
    """The command of its first page works on both, and on those between them."""
    first, last = re.findall(r"Python 3\.(\d+) to 3\.(\d+)", read("README.md"))[0]
    assert [*range(int(first), int(last) + 1)] == supported()


@pytest.mark.skipif(not CI.is_file(), reason="only a checkout has .ci/run")
def test_continuous_integration_needs_the_oldest_version():
    """It runs on the Python that the machine has."""
    (minor,) = re.findall(r"Python 3\.(\d+) or later", CI.read_text(encoding="utf-8"))
    assert int(minor) == supported()[0]


@pytest.mark.skipif(not DEPLOY.is_dir(), reason="only a checkout has deploy/")
def test_the_image_has_one_supported_version():
    """The environment of the first stage runs only on the Python of that stage."""
    (version,) = {*images(read("deploy/Dockerfile"))}
    assert version in supported()
    assert len(images(read("deploy/Dockerfile"))) == 2


@pytest.mark.skipif(not DEPLOY.is_dir(), reason="only a checkout has deploy/")
def test_the_run_book_has_a_row_of_tests_for_each_version():
    """A version without tests that were run has no classifier."""
    row = r"^ *\| 3\.(\d+)\.\d+ \| .*(?:[\d,]+ passed|`\.ci/run`)"
    rows = re.findall(row, read("deploy/README.md"), re.MULTILINE)
    assert [int(minor) for minor in rows] == supported()
