"""The two wire forms of OpenAI's API as pure codecs, and its errors. Used by `openai.py` alone."""
