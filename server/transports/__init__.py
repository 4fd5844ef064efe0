"""All the I/O and none of the meaning."""
