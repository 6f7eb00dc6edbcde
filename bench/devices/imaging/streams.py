"""The names of the streams that every imaging device has beside its heartbeats."""

INPUT = "operator-input"
IMAGES = "images"
