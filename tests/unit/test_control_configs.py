import pytest

from control_api.configs import check_experiment, merge_patch
from midcourse.contract.errors import InvalidInput


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [  # the appendix of RFC 7396, as far as its targets and patches may be here
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "foo"}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": {"b": 1}}, {}, {"a": {"b": 1}}),
    ],
)
def test_a_merge_patch_is_that_of_the_rfc(target, patch, merged):
    before = repr(target)
    assert merge_patch(target, patch) == merged
    assert repr(target) == before


@pytest.mark.parametrize("name", ["", "a b", "-a", 3, None, ["a"], "a" * 64, "a\n"])
def test_what_is_no_name_for_an_experiment(name):
    with pytest.raises(InvalidInput, match=r"config\.experiment: must be letters"):
        check_experiment(name)
