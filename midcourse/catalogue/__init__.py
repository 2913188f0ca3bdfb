"""Things that a run may choose by name, and swap: optimizers, schedulers, losses; and one's own.

A registry knows for each name the options that its maker's signature declares, so that a choice
can be checked, and refused with what is allowed, before anything is made.
"""
