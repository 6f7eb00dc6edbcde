"""The audit plan: what a device records of a session, and whether its log can be trusted."""
