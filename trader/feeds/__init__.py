"""The parts of a market feed: what to subscribe to, one connection, one link that outlives them, and their judges."""
