"""The command line: stream-rnn <verb>."""
