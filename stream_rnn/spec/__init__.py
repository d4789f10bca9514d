"""A feature spec for a log: proposed from its columns, and checked."""
