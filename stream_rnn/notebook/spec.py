"""The functions ``propose_spec`` and ``load_spec``, which return feature specs."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.html import text
from stream_rnn.notebook.options import SpecOptions, keywords
from stream_rnn.overwriting import write_whole
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.frames import Frame, index_names, read_frame
from stream_rnn.replay.logs import FRAME_NAME
from stream_rnn.settings import Settings
from stream_rnn.spec.examine import examine
from stream_rnn.spec.proposal import propose_for
from stream_rnn.spec.proposal_options import ProposalOptions
from stream_rnn.spec.questions import Ask, refuse_to_choose
from stream_rnn.spec.sample import Sample, read_sample
from stream_rnn.spec.topic_sample import read_topic_sample

FILE_OPTIONS = ("delimiter", "decimal", "thousands", "encoding", "columns")


@dataclass(frozen=True)
class ProposedSpec:
    """A feature spec that was proposed from a log.

    Attributes:
        toml: Text of the spec, with comments that explain each guess.
        spec: The spec itself, for ``train``.
        sort_by_time: Whether the rows are not in the order of time, so that ``train`` must sort
            them.
    """

    toml: str
    spec: FeatureSpec
    sort_by_time: bool = False

    def __repr__(self) -> str:
        """Return the text, for people to read before training."""
        return self.toml

    def _repr_html_(self) -> str:
        """Return the text as preformatted HTML."""
        lines = "\n".join(map(text, self.toml.splitlines()))
        return f"<pre>{lines}</pre>"

    def write(self, path: str | Path) -> None:
        """Write the text to a file, which people can edit and ``load_spec`` reads.

        Args:
            path: Path of the TOML file; an existing file is replaced.

        Raises:
            ConfigError: The file cannot be written.
        """
        write_whole(Path(path), self.toml, "the spec", lambda _path: None)


@keywords(options=SpecOptions)
def propose_spec(log: str | Path | Frame, *, options: SpecOptions) -> ProposedSpec:
    """Propose a feature spec from a log.

    The keywords are the options of ``stream-rnn spec init``.

    Args:
        log: Path of a file, or data frame of polars or pandas.
        options: The rows and fields from which the spec is proposed.

    Returns:
        The proposed spec; a notebook displays its text.

    Raises:
        ConfigError: No field can be the key, no field can be a feature or a target, a named field
            does not exist, or a guess is not sure: the message lists the candidates.

    Example:
        >>> from stream_rnn import propose_spec
        >>> from stream_rnn.notebook.example import machines
        >>> proposed = propose_spec(machines(), target="failed")
        >>> proposed.spec.event.key, [head.name for head in proposed.spec.heads]
        (('machine',), ['next_failed'])
    """
    return propose_with(log, options, refuse_to_choose)


def propose_for_topic(
    settings: Settings, topic: str, options: SpecOptions, ask: Ask
) -> ProposedSpec:
    """Propose a feature spec from the first records of a topic, and from their schemas.

    Args:
        settings: Settings with the connections to Kafka and to the schema registry.
        topic: Name of the topic.
        options: Options of the proposal.
        ask: Function that answers a question whose answer is not sure.

    Raises:
        ConfigError: See :func:`propose_spec`; or the topic does not exist, or an option is for a
            text file.
        UnreachableError: Kafka does not answer.
        UnavailableError: The schema registry does not answer.
    """
    if given := [name for name in FILE_OPTIONS if getattr(options, name)]:
        raise ConfigError(f"--topic {topic}: {', '.join(given)} is for delimited text files")
    sample = run_coroutine(read_topic_sample(settings, topic, options.rows))
    return _propose(sample, topic, options, ask)


def propose_with(log: str | Path | Frame, options: SpecOptions, ask: Ask) -> ProposedSpec:
    """Propose a feature spec from a log.

    Args:
        log: Path of a file, or data frame of polars or pandas.
        options: Options of the proposal.
        ask: Function that answers a question whose answer is not sure.

    Raises:
        ConfigError: See :func:`propose_spec`.
    """
    is_path = isinstance(log, str | Path)
    given = {name: value for name in FILE_OPTIONS if (value := getattr(options, name))}
    sample = read_sample(Path(log) if is_path else read_frame(log), options.rows, given)
    index = ", ".join(map(str, index_names(log)))
    if index:
        note = f"The index {index} of the frame is no column: to read it, call reset_index()."
        sample = replace(sample, reasons=(*sample.reasons, note))
    try:
        return _propose(sample, Path(log).name if is_path else FRAME_NAME, options, ask)
    except ConfigError as error:
        hint = f". The index {index} of the frame is no column: call reset_index()"
        raise ConfigError(f"{error}{hint if index else ''}") from error


def _propose(sample: Sample, name: str, options: SpecOptions, ask: Ask) -> ProposedSpec:
    choices = ProposalOptions(
        key=options.key or sample.key,
        time=options.time,
        targets=options.target,
        of=options.of,
        classes_max=options.classes,
        time_format=options.time_format or "",
        zone=options.zone or "",
    )
    examined = examine(sample, choices, ask)
    toml = propose_for(examined, sample, name, choices, ask)
    spec = FeatureSpec.parse(tomllib.loads(toml), "proposed")
    is_unordered = examined.unordered > 0 and not sample.is_topic
    return ProposedSpec(toml, spec, sort_by_time=is_unordered)


def load_spec(path: str | Path) -> FeatureSpec:
    """Read a feature spec from a TOML file.

    Args:
        path: Path of the file.

    Returns:
        The spec, for ``train``.

    Raises:
        SpecError: The file is missing, not TOML, or not a valid spec.

    Example:
        >>> from stream_rnn import load_spec
        >>> from stream_rnn.demo.flights import SPEC
        >>> load_spec(SPEC).event.key
        ('carrier', 'origin')
    """
    return FeatureSpec.read(path)
