"""The radio world: emitters, paths, receivers, and what a receiver makes of it. No effects."""
