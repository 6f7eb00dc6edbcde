"""The benches: what carries a session out. ``virtual`` and ``local``."""
