"""Checkpoints of a fit: what a recipe needs to go on, written now and then, and found again by whoever begins the same fit.

``settings`` is what the user says, ``identity`` tells fits apart, ``folder`` holds the files, ``weights`` says which of all
weights a rank's vectors are, ``keeper`` is a rank's part, ``stepping`` what small steps need to go on, and ``replay`` is for
recipes whose steps follow from a few sums; ``beginning`` is the driver's side.
"""
