"""Speed, fidelity and long proofs. Run them as modules: ``python -m benchmarks.virtual_bench``."""
