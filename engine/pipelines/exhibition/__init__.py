"""The exhibition: from a curator's brief to a proposal, with people choosing in between."""
