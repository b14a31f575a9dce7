"""The peers: each module does one peer's work once and says how long it took, never importing dsgd."""
