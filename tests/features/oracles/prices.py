"""Oracles of ``features.families.prices``."""

from features.parameters import PARAMETERS as P

BPS = 1e4


def _past(history, lag, at):
    cell = P.fine_cell_ns if lag <= P.longest_fine_lag_ns else P.coarse_cell_ns
    return lambda times: history.lagged(
        history.mid, history.quote_ns, history.quote_of(at) + 1, history.now[at], times * lag, cell
    )


def lagged_return(history, feature, at):
    return BPS * (history.mid[history.quote_of(at)] - _past(history, feature.window, at)(1))


def acceleration(history, feature, at):
    past = _past(history, feature.window, at)
    return BPS * (history.mid[history.quote_of(at)] - 2 * past(1) + past(2))


def quote_return(history, feature, at):
    quote = history.quote_of(at)
    return BPS * (history.mid[quote] - history.mid[max(quote - feature.window, 0)])


def momentum(history, feature, at):
    upto = history.quote_of(at) + 1
    mean = history.mean_over_time(history.mid, history.quote_ns, upto, history.now[at], feature.window)
    return BPS * (history.mid[upto - 1] - mean)


def volatility(history, feature, at):
    upto = history.quote_of(at) + 1
    return BPS * history.decayed(history.step**2, history.quote_ns, upto, history.now[at], feature.window) ** 0.5


ORACLES = {
    ("lagged", "return"): lagged_return,
    ("lagged", "acceleration"): acceleration,
    ("lagged_quotes", "return"): quote_return,
    ("momentum", "momentum"): momentum,
    ("volatility", "volatility"): volatility,
}
