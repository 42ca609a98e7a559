"""Files in the formats of the archives, written by the tests: rows from a seeded walk at any price."""

import gzip
import hashlib
import io
import random
import zipfile

DAY_MS = 1_721_260_800_000  # 2024-07-18
DAY = "2024-07-18"
MINUTE_MS = 60_000

AGG_HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
QUOTE_HEADER = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"
DEPTH_HEADER = "timestamp,percentage,depth,notional"
FORCED_HEADER = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,"
    "accumulated_fill_quantity"
)
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)


def agg_trades(n=200, start_ms=DAY_MS, first_id=10, scale=1, px=30_000.0, spot=False):
    """``scale`` 1000 writes µs; spot files have one more column."""
    draw, rows = random.Random(n), []
    for i in range(n):
        px *= 1 + draw.uniform(-1e-5, 1e-5)
        number = first_id + i
        maker = draw.choice(("true", "false"))
        cells = [number, f"{px:.10g}", "0.5", 2 * number, 2 * number + 1, (start_ms + 250 * i) * scale, maker]
        rows.append(",".join(map(str, cells + (["true"] if spot else []))))
    return rows


def klines(n=1_440, start_ms=DAY_MS, scale=1, px=2.5):
    rows = []
    for i in range(n):
        at = start_ms + i * MINUTE_MS
        end = (at + MINUTE_MS) * scale - 1
        rows.append(f"{at * scale},{px},{px * 1.01},{px * 0.99},{px},10,{end},25,7,4,10,0")
    return rows


def quotes(n=100, start_ms=DAY_MS, px=30_000.0):
    return [
        f"{7 + 3 * i},{px},1.5,{px * 1.0001:.10g},2.5,{start_ms + i * 100},{start_ms + i * 100 + 2}" for i in range(n)
    ]


def funding(n=3, start_ms=DAY_MS, hours=8):
    return [f"{start_ms + i * hours * 3_600_000 + i},{hours},0.0001{i}" for i in range(n)]


def metrics(n=288, symbol="XYZUSDT"):
    return [
        f"2024-07-18 {i * 5 // 60:02d}:{i * 5 % 60:02d}:00,{symbol},100.5,200000.25,1.1,1.2,1.3,0.9" for i in range(n)
    ]


def book_depth(n=60, bands=(-5, -1, -0.2, 0.2, 1, 5), padded=True, px=30_000.0):
    """A snapshot each half minute: how much stands between the middle price and so many percent from it."""
    rows = []
    for i in range(n):
        at = f"2024-07-18 {i // 120:02d}:{i // 2 % 60:02d}:{i % 2 * 30 + 7:02d}"
        for band in bands:
            percentage = f"{band:.2f}" if padded else f"{band:g}"
            rows.append(f"{at},{percentage},{100 * abs(band) + i:.3f},{(100 * abs(band) + i) * px:.4f}")
    return rows


def liquidations(n=20, start_ms=DAY_MS, px=63_000.0):
    """Every row twice, as the archive has it; every third order is filled in two steps."""
    rows = []
    for i in range(n):
        side, at = ("BUY", "SELL")[i % 2], start_ms + i * 60_000
        for last, filled in [(3, 3), (4, 7)] if i % 3 == 0 else [(7, 7)]:
            status = "FILLED" if filled == 7 else "PARTIALLY_FILLED"
            rows += [f"{at},{side},LIMIT,IOC,7,{px * 1.01:.10g},{px:.10g},{status},{last},{filled}"] * 2
    return rows


def tardis(kind, symbol="XYZUSDT", exchange="binance-futures", n=50):
    head, cells = {
        "trades": ("id,side,price,amount", lambda i: f"{100 + i},{'buy' if i % 2 else 'sell'},10.5,{i + 1}"),
        "quotes": ("ask_amount,ask_price,bid_price,bid_amount", lambda i: f"2,10.6,10.5,{i + 1}"),
        "incremental_book_L2": (
            "is_snapshot,side,price,amount",
            lambda i: f"{'true' if i < 10 else 'false'},{'bid' if i % 2 else 'ask'},10.{i:02d},{i % 3}",
        ),
        "derivative_ticker": (
            "funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price",
            lambda i: f"{(DAY_MS + 28_800_000) * 1000},{'' if i % 2 else '0.0001'},,{1000 + i},10,10.1,10.2",
        ),
    }[kind]
    rows = [f"exchange,symbol,timestamp,local_timestamp,{head}"]
    for i in range(n):
        at = DAY_MS * 1_000 + i * 1_000
        rows.append(f"{exchange},{symbol},{at},{at + 150},{cells(i)}")
    return rows


def text(rows, header=None):
    return "\n".join(([header] if header else []) + rows) + "\n"


def write(path, rows, header=None):
    """Zip, gzip or plain, as the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text(rows, header).encode()
    if path.suffix == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.with_suffix(".csv").name, data)
        data = packed.getvalue()
    elif path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    path.write_bytes(data)
    return path


def with_checksum(path):
    """The archive's file beside it that states its sha256."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return path
