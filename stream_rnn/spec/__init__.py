"""The feature spec of a log: proposed from its columns, and checked against its rows."""
