"""``python -m stream_rnn.cli``."""

from stream_rnn.cli import main

main()
