"""Faults injected into real fits, and what comes of them: ``python -m benchmarks.faults [--quick] [--write]``.

``plan`` says which faults meet which mode on which engine; ``session`` is a process that makes the fits of one of these pairs and
disturbs them (``injuries``), ``engines`` where they run, ``members`` what is put around their ranks, ``single`` a driver that can
be killed itself; ``leaks`` looks for what is left afterwards, ``watch`` ends a session that hangs, ``page`` makes the table.
"""
