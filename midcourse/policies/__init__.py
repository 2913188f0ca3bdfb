"""Policies: guard rails that give a run commands of its own, by the values that it logs.

A policy sees numbers and proposes actions; it touches nothing. What it proposes is journalled,
carried out, receipted and shown like anybody's command, with the policy as actor.
"""

from midcourse.policies.policy import Policy

__all__ = ["Policy"]
