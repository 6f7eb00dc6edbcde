"""The declared action when delay or loss reach their limit."""
