"""The demo: a year of departures, a fold, and faults in it."""
