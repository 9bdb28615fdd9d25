"""The outside world: each third-party package, clock, file, socket and child process in one place."""
