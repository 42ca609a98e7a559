"""Seven pure laws between a wish to trade and an order. No clock, no I/O, no randomness, no logging."""
