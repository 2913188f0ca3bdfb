"""Live parameters at work: how each is read from, checked against and applied to live objects."""
