"""What clients send to the control API and get from it: a module for each resource.

The link between a trainer and the control API has a module of its own, `contract.link`.
"""
