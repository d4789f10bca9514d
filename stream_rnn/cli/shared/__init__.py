"""Options and output that several verbs of the command line share."""
