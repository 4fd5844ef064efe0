"""Providers: sources of generated text, and the policies that wrap them."""
