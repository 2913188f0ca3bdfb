"""`make up`: the control API, the default training, and what it does, in one terminal.

A client like any other: it starts the server as a command line and then only speaks HTTP to it.
"""
