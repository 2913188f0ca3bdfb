"""Roles: each has what the ones before it have."""

from midcourse.contract.roles import Role


def test_each_role_has_what_those_before_it_have():
    has = {role: {other for other in Role if role.includes(other)} for role in Role}
    assert has == {
        Role.VIEWER: {Role.VIEWER},
        Role.OPERATOR: {Role.VIEWER, Role.OPERATOR},
        Role.ADMIN: {Role.VIEWER, Role.OPERATOR, Role.ADMIN},
    }
