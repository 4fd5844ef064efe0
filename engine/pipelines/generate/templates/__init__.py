"""The prompts of the generate pipeline, as text that people can read and edit."""
