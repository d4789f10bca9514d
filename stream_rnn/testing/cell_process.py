"""The process in which :func:`stream_rnn.testing.check_cell` computes the bits of a cell again."""

import sys
from pathlib import Path

from stream_rnn.errors import CellError
from stream_rnn.testing.cells import digest_of_files


def main(folder: str) -> int:
    """Write the digest of the cell that the files of a directory describe; return the exit status."""
    try:
        sys.stdout.write(digest_of_files(Path(folder)) + "\n")
    except CellError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
