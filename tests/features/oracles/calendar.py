"""Oracles of ``features.families.calendar``: what pandas calls the hour and the day of the week."""

import numpy as np
import pandas as pd


def _second(history, at):
    return pd.Timestamp(int(history.now[at]), unit="ns").floor("s")


def _seconds(history, at):
    """Since midnight, and since Monday's midnight."""
    now = _second(history, at)
    of_day = (now - now.normalize()).total_seconds()
    return of_day, of_day + 86_400 * now.dayofweek


def _circle(function, part, cycle):
    return lambda history, _, at: float(function(2 * np.pi * _seconds(history, at)[part] / cycle))


def _to_next(frequency):
    length = pd.Timedelta(frequency)

    def oracle(history, _, at):
        now = _second(history, at)
        return (now.floor(frequency) + length - now) / length

    return oracle


ORACLES = {
    ("calendar", "day_sin"): _circle(np.sin, 0, 86_400),
    ("calendar", "day_cos"): _circle(np.cos, 0, 86_400),
    ("calendar", "week_sin"): _circle(np.sin, 1, 7 * 86_400),
    ("calendar", "week_cos"): _circle(np.cos, 1, 7 * 86_400),
    ("calendar", "minute_of_hour"): lambda history, _, at: _second(history, at).minute / 60,
    ("calendar", "to_minute"): _to_next("1min"),
    ("calendar", "to_hour"): _to_next("1h"),
    ("calendar", "to_funding_boundary"): _to_next("8h"),
}
