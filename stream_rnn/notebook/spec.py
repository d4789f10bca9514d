"""The functions ``propose_spec`` and ``load_spec``, which return feature specs."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.html import text
from stream_rnn.notebook.options import SpecOptions
from stream_rnn.options import build_options
from stream_rnn.overwriting import write_whole
from stream_rnn.replay.event_loop import ctrl_c_raises_in_loop
from stream_rnn.replay.frames import Frame, index_names, read_frame
from stream_rnn.replay.logs import FRAME_NAME
from stream_rnn.spec.columns import read_sample
from stream_rnn.spec.proposal import Of, ProposalOptions, propose


@dataclass(frozen=True)
class ProposedSpec:
    """A feature spec that was proposed from a log.

    Attributes:
        toml: Text of the spec, with comments that explain each guess.
        spec: The spec itself, for ``train``.
    """

    toml: str
    spec: FeatureSpec

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


@ctrl_c_raises_in_loop()
def propose_spec(
    log: str | Path | Frame,
    *,
    rows: int = 100_000,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    target: str | Sequence[str] = (),
    of: Of = "next",
    classes: int = 1000,
) -> ProposedSpec:
    """Propose a feature spec from a log.

    The keywords are the options of ``stream-rnn spec init``.

    Args:
        log: Path of a file, or data frame of polars or pandas.
        rows: Number of rows to read, from the first row on.
        key: Fields that form the key, as a list or separated by commas; ``None`` guesses them.
        time: Field of the event time; ``None`` guesses it.
        target: Field or fields to predict; if empty, they are guessed.
        of: Event that contains the target: ``now`` for the predicting event, ``next`` for the next
            event of the key, or ``label`` for a labels file.
        classes: Maximum number of classes of a field.

    Returns:
        The proposed spec; a notebook displays its text.

    Raises:
        ConfigError: No field can be the key, no field can be a feature or a target, or a named
            field does not exist.

    Example:
        >>> from stream_rnn import propose_spec
        >>> from stream_rnn.notebook.example import machines
        >>> proposed = propose_spec(machines(), target="failed")
        >>> proposed.spec.event.key, [head.name for head in proposed.spec.heads]
        (('machine',), ['next_failed'])
    """
    options = build_options(
        SpecOptions,
        key=key.split(",") if isinstance(key, str) else key,
        time=time,
        target=(target,) if isinstance(target, str) else target,
        rows=rows,
        of=of,
        classes=classes,
    )
    is_path = isinstance(log, str | Path)
    sample = read_sample(Path(log) if is_path else read_frame(log), options.rows)
    parts = tuple(part.strip() for part in options.key)
    wanted = ProposalOptions(parts, options.time, options.target, options.of, options.classes)
    try:
        toml = propose(sample, Path(log).name if is_path else FRAME_NAME, wanted)
    except ConfigError as error:
        index = ", ".join(map(str, index_names(log)))
        hint = f". The index {index} of the frame is no column: call reset_index()"
        raise ConfigError(f"{error}{hint if index else ''}") from error
    return ProposedSpec(toml, FeatureSpec.parse(tomllib.loads(toml), "proposed"))


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
