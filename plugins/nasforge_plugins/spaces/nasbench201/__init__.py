"""The cell space of NAS-Bench-201 (Dong and Yang, ICLR 2020), searched as in CDARTS."""
