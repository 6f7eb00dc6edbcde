"""Network emulators: what stands between the two ends of a link and impairs it."""
