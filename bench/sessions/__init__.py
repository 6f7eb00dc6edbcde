"""Session, recording and stimulus: the types between benches and everything after them."""
