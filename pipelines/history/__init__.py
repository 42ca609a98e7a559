"""History: archive files, recordings and REST pages of any venue as one table per kind, venue, symbol and UTC day.

``read`` turns a file into tables of ``schema``; ``build`` joins the files of a partition, sets aside what no rule
allows, notes every gap, and replaces that partition's files. Nothing here fills a gap.
"""
