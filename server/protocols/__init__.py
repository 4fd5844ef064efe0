"""Pure codecs, one for each protocol: no trio, no Quart, no sibling."""
