"""What the doctor sees is what is there: frozen pictures, streams in step."""
