"""The parts of the journals' contract suite; `engine.testing.journal_suite` is the door."""
