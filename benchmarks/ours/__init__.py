"""dsgd's side of every comparison: each module does the work once and says how long it took."""
