"""A simulated exchange: a recorded market, a matching core that never invents a fill, and the venues' own protocols."""
