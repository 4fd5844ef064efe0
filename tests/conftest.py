"""What holds for all tests."""

import pytest

# The contract suites are engine modules; without this their failures would show no values.
pytest.register_assert_rewrite("engine.testing")
