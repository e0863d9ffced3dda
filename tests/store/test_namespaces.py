import pytest

from skill_plugin.errors import NamespaceError
from skill_plugin.store.namespaces import check_namespace


@pytest.mark.parametrize("namespace", ["default", "team a", "Ünïcode", "a/b", "x" * 200])
def test_good_namespaces(namespace):
    assert check_namespace(namespace) == namespace


@pytest.mark.parametrize("namespace", [None, "", " ", 3, "a\n", " a", "x" * 201, "a\x00b"])
def test_a_missing_or_malformed_namespace_is_an_error_not_all(namespace):
    with pytest.raises(NamespaceError):
        check_namespace(namespace)
