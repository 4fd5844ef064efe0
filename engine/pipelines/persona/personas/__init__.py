"""The built-in personas, one file each: TOML between two lines of `+++`, then the prompt."""
