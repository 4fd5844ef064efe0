"""Contract suites, deterministic simulation and scripted doubles. Public: users test with them."""
