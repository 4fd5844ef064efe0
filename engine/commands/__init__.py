"""What a caller can ask for, one frozen class for each pipeline."""
