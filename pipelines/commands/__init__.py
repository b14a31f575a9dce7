"""The commands of ``dsgd``, one module each; every module has a click command named ``command``."""
