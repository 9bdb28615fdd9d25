"""The decision core: pure functions on frozen records. No I/O, no clock, no dice."""
