"""One machine, real parts, real faults: shows the agent at work, and lends its faults to tests."""
