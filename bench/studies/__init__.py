"""Plan, run, judge again: many sessions, one answer."""
