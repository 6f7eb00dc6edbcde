"""Impairments and their laws, link profiles, scenarios and the pure scheduler. No effects."""
