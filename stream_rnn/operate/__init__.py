"""The tools of an operator: doctor, dashboard, export and import of states, dead letters."""
