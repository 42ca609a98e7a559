"""What the outside world says (events, books, tapes, codecs), and a stand-in for it (``market.simulator``)."""
