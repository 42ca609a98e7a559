"""Oracles of ``features.families.top``."""

import numpy as np


def ofi(history, feature, at):
    both = np.column_stack([history.change, np.abs(history.change)])
    upto = history.quote_of(at) + 1
    net, gross = history.decayed(both, history.quote_ns, upto, history.now[at], feature.window)
    return net / (gross + history.usual_size(at))


ORACLES = {("ofi", "ofi"): ofi}
