"""Antiphon's engine: sessions of actors that stream what language models write.

The only door: what a server or an application imports, it imports from here.
"""
