"""Records, their backup and what a restore brings back."""
